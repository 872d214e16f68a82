//! The whole way of one layer.

use std::fs::File;
use std::io::{self, Read};

use super::builder::Builder;
use super::decompress::{self, ChunkReader, End};
use super::{EntryProblem, LayerError, LayerLimits, Lower};
use crate::Digest;
use crate::erofs::{DataWriter, Label, Reader, emit};
use crate::tar::TarReader;
use crate::text::clip_bytes;

/// Volume names: they say where the root directory's attributes come from, for whoever composes
/// layers, since overlayfs shows those of its writable layer's root.
const ROOT_STATED: [u8; 16] = *b"layer\0\0\0\0\0\0\0\0\0\0\0";
const ROOT_IMPLIED: [u8; 16] = *b"layer, no root\0\0";

/// What a conversion made.
pub(crate) struct Converted {
    /// The image, complete but not synced.
    pub(crate) file: File,
    /// Nothing in it was taken from the layers below.
    pub(crate) stands_alone: bool,
}

/// Whether the layer had an entry for the root directory.
pub(crate) fn root_is_stated(layer: &Reader) -> bool {
    layer.volume_name() == ROOT_STATED
}

/// Converts the layer in `blob`, whose tar must hash to `diff_id`, into `output`, an empty file.
///
/// `lower` is called at most once, when something of the layers below is needed. `read` is told of
/// every piece of the blob that is read, in bytes, and may stop it; also, with nought bytes, while
/// something is copied from below.
pub(crate) fn convert(
    blob: Box<dyn Read + Send>,
    diff_id: &Digest,
    output: File,
    limits: &LayerLimits,
    lower: &mut dyn FnMut() -> io::Result<Lower>,
    read: &(dyn Fn(u64) -> io::Result<()> + Sync),
) -> Result<Converted, LayerError> {
    let mut builder = Builder::new(DataWriter::new(output, 1), limits, lower, read);
    let (outcome, end) = std::thread::scope(|scope| {
        let (tar, thread) =
            decompress::start(scope, blob, diff_id.algorithm(), limits.tar_bytes, read);
        let outcome = read_entries(tar, &mut builder);
        let end = thread.join().unwrap_or(End::Failed(io::ErrorKind::Other.into()));
        (outcome, end)
    });
    // A stream that broke off explains an archive that ends early, so its end is looked at first.
    match end {
        End::OverLimit => return Err(LayerError::Bomb { limit: limits.tar_bytes }),
        End::Failed(e) => return Err(LayerError::Decompress(e)),
        End::Abandoned => outcome?,
        End::Complete(actual) => {
            outcome?;
            if actual != *diff_id {
                return Err(LayerError::DiffId { expected: diff_id.clone(), actual });
            }
        }
    }
    let built = builder.finish()?;
    let mut uuid = [0; 16];
    for (byte, hex) in uuid.iter_mut().zip(diff_id.hex().as_bytes().chunks(2)) {
        let hex = std::str::from_utf8(hex).unwrap_or_default();
        *byte = u8::from_str_radix(hex, 16).unwrap_or_default();
    }
    let name = if built.root_stated { ROOT_STATED } else { ROOT_IMPLIED };
    let file = emit(&built.tree, built.data, Label { uuid, name }).map_err(LayerError::Output)?;
    Ok(Converted { file, stands_alone: built.stands_alone })
}

fn read_entries(tar: ChunkReader, builder: &mut Builder<'_>) -> Result<(), LayerError> {
    let mut tar = TarReader::new(tar);
    loop {
        let entry = match tar.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(e) => {
                let entry = clip_bytes(tar.name());
                return Err(LayerError::Entry { entry, problem: EntryProblem::Tar(e) });
            }
        };
        builder.add(&entry, &mut tar)?;
    }
    // The diff id covers what follows the end marker too.
    let drained = io::copy(&mut tar.into_inner(), &mut io::sink());
    drained.map(drop).map_err(LayerError::Decompress)
}
