//! `kiln images`

use clap::Parser;
use image::{Image, Reference, Store, Tag};
use serde_json::json;

use super::Format;
use crate::{Home, text};

/// List images
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Only this repository, or this repository and tag
    name: Option<Reference>,
    /// Only print identifiers
    #[arg(short, long)]
    quiet: bool,
    /// Show the digests that the registries serve
    #[arg(long)]
    digests: bool,
    /// Do not shorten identifiers
    #[arg(long)]
    no_trunc: bool,
    /// How to show them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let store = Store::open(Home::open()?.root())?;
    let mut listed = Vec::new();
    for tag in store.tags()? {
        if args.name.as_ref().is_none_or(|name| matches(name, &tag.reference)) {
            // An image that lost a file, or has a damaged one, is listed all the same, so that it can
            // be removed.
            let image = store.image(&tag.manifest).unwrap_or_else(|error| {
                tracing::warn!("{}: {error}", tag.reference);
                None
            });
            listed.push((tag, image));
        }
    }
    listed.sort_by_key(|(tag, _)| std::cmp::Reverse(tag.pulled));
    let id = |tag: &Tag| match args.no_trunc {
        true => tag.manifest.to_string(),
        false => tag.manifest.short().to_owned(),
    };
    if args.quiet {
        listed.iter().try_for_each(|(tag, _)| text::say!("{}", id(tag)))?;
        return Ok(0);
    }
    if args.format == Format::Json {
        let all: Vec<_> = listed
            .iter()
            .map(|(tag, image)| {
                json!({
                    "id": tag.manifest, "reference": tag.reference, "platform": tag.platform,
                    "digest": tag.served, "pulled": tag.pulled,
                    "created": image.as_ref().and_then(|image| image.config.created.clone()),
                    "size": image.as_ref().map(size), "complete": image.is_some(),
                })
            })
            .collect();
        text::say!("{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(0);
    }
    let mut header = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    if args.digests {
        header.insert(2, "DIGEST");
    }
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|(tag, image)| {
            let (name, label) = name_and_tag(&tag.reference);
            let created = image.as_ref().and_then(|image| image.config.created.as_ref());
            let created = created.and_then(|created| created.parse().ok());
            let mut row = vec![
                name,
                label,
                id(tag),
                created.map_or("N/A".to_owned(), |time| format!("{} ago", text::since(time))),
                image.as_ref().map_or("incomplete".to_owned(), |image| text::size(size(image))),
            ];
            if args.digests {
                row.insert(2, tag.served.to_string());
            }
            row
        })
        .collect();
    text::table(&header, &rows)?;
    Ok(0)
}

fn size(image: &Image) -> u64 {
    image.layers.iter().map(|layer| layer.size).sum()
}

/// A name that was given without tag and digest stands for the whole repository.
fn matches(wanted: &Reference, have: &Reference) -> bool {
    match (wanted, have) {
        (Reference::Registry(wanted), Reference::Registry(have)) => {
            let same = wanted.domain() == have.domain() && wanted.path() == have.path();
            let any_tag = wanted.tag() == Some("latest") && wanted.digest().is_none();
            same && (any_tag || wanted == have)
        }
        _ => wanted == have,
    }
}

fn name_and_tag(reference: &Reference) -> (String, String) {
    match reference {
        Reference::Registry(name) => {
            (name.familiar_name(), name.tag().unwrap_or("<none>").to_owned())
        }
        Reference::Local(local) => (
            format!("{}:{}", local.kind.scheme(), local.path.display()),
            local.tag.clone().unwrap_or_else(|| "<none>".to_owned()),
        ),
    }
}
