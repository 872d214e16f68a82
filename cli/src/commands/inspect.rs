//! `kiln inspect`

use anyhow::{Context, anyhow};
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
    let mut failure: Option<anyhow::Error> = None;
    for name in &args.names {
        let outcome = match machines.find(name) {
            Ok(machine) => Ok(vec![json!({
                "id": machine.spec.id, "name": machine.spec.name, "directory": machine.directory,
                "spec": machine.spec, "state": machine.state,
            })]),
            Err(error) => images(&store, name).and_then(|found| {
                found.ok_or_else(|| {
                    anyhow!("{error}; no such image either: `kiln images` lists those")
                })
            }),
        };
        match outcome {
            Ok(values) => found.extend(values),
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    eprintln!("kiln: {earlier:#}");
                }
            }
        }
    }
    crate::text::say!("{}", serde_json::to_string_pretty(&found)?)?;
    failure.map_or(Ok(0), Err)
}

/// The images of that name, one for each platform, if there is any.
fn images(store: &Store, name: &str) -> anyhow::Result<Option<Vec<Value>>> {
    let tags = match store.find(name, None) {
        Ok(tags) => tags,
        Err(image::Error::NoSuchImage { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for tag in tags {
        let image = store.image(&tag.manifest)?;
        let image = image.with_context(|| {
            format!("{} has lost a file or has a damaged one; pull it again", tag.reference)
        })?;
        found.push(json!({
            "id": image.digest, "reference": tag.reference, "platform": tag.platform,
            "digest": tag.served, "pulled": tag.pulled, "config": image.config,
            "layers": image.layers, "root": image.root,
        }));
    }
    Ok(Some(found))
}
