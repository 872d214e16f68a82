//! What the fuzz targets call: the parts that read an image's bytes, without a store.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::erofs::Reader;
use crate::layer::{LayerError, LayerLimits, Lower};
use crate::manifest::Document;
use crate::{Digest, LAYERS_MAX};

/// Converts layers, lowest first, and reads back what comes out. A layer that is refused ends it.
pub fn convert(layers: &[&[u8]]) -> Result<(), LayerError> {
    let limits = LayerLimits {
        tar_bytes: 64 << 20,
        metadata_bytes: 16 << 20,
        absolute_names: layers.len() & 1 == 0,
    };
    let mut done: Vec<File> = Vec::new();
    for layer in layers.iter().take(LAYERS_MAX) {
        let lower = || -> io::Result<Lower> {
            let readers = done.iter().rev().map(|file| Reader::open(file.try_clone()?));
            readers.collect::<io::Result<_>>().map(Lower::new)
        };
        let output = File::from(memfd_create("layer", MemfdFlags::CLOEXEC).expect("a file"));
        let blob = io::Cursor::new(layer.to_vec());
        let converted = convert_one(blob, layer, output, &limits, lower)?;
        let reader = Reader::open(converted.try_clone().expect("a file")).expect("our own image");
        crate::store::walk(&reader).expect("our own image is sound");
        done.push(converted);
    }
    Ok(())
}

fn convert_one(
    blob: io::Cursor<Vec<u8>>,
    tar: &[u8],
    output: File,
    limits: &LayerLimits,
    mut lower: impl FnMut() -> io::Result<Lower>,
) -> Result<File, LayerError> {
    let diff_id = Digest::of(tar);
    let converted =
        crate::layer::convert(Box::new(blob), &diff_id, output, limits, &mut lower, &|_| Ok(()))?;
    Ok(converted.file)
}

/// Reads a manifest or an index.
pub fn document(bytes: &[u8]) {
    let _ = Document::parse(bytes, None, "fuzz");
}
