//! `kiln inspect`

use clap::Parser;
use image::Store;
use serde_json::{Value, json};

use crate::{Home, record::Machines};

/// Show everything that is known about machines and images, as JSON
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Names or ids of machines, or references or ids of images
    #[arg(required = true)]
    names: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let home = Home::open()?;
    let machines = Machines::open(&home)?;
    let store = Store::open(home.root())?;
    let mut found = Vec::new();
    let mut missing = None;
    for name in &args.names {
        match machines.find(name) {
            Ok(machine) => found.push(json!({
                "id": machine.spec.id, "name": machine.spec.name, "directory": machine.directory,
                "spec": machine.spec, "state": machine.state,
            })),
            Err(error) => match images(&store, name)? {
                images if images.is_empty() => missing = Some(error),
                images => found.extend(images),
            },
        }
    }
    crate::text::say!("{}", serde_json::to_string_pretty(&found)?)?;
    missing.map_or(Ok(0), Err)
}

/// The images of that name, one for each platform.
fn images(store: &Store, name: &str) -> anyhow::Result<Vec<Value>> {
    let tags = match store.find(name, None) {
        Ok(tags) => tags,
        Err(image::Error::NoSuchImage { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for tag in tags {
        let Some(image) = store.image(&tag.manifest)? else { continue };
        found.push(json!({
            "id": image.digest, "reference": tag.reference, "platform": tag.platform,
            "digest": tag.served, "pulled": tag.pulled, "config": image.config,
            "layers": image.layers, "root": image.root,
        }));
    }
    Ok(found)
}
