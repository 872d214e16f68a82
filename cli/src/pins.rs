//! Which images machines and snapshots hold in the store.
//!
//! The claims follow from what there is: [`renew`] makes them anew from the machines and snapshots on disk, so that one
//! that was lost to a crash, or outlived its owner, is put right before anything is removed.

use std::collections::BTreeMap;

use anyhow::Context;
use image::{Digest, Store};

use crate::{
    Home,
    record::{Machines, Origin, SHORT},
    snapshots::Snapshots,
};

/// The owner's name of a machine's claim.
pub(crate) fn machine(id: &str) -> String {
    format!("machine-{}", &id[..SHORT])
}

/// The owner's name of a snapshot's claim.
pub(crate) fn snapshot(name: &str) -> String {
    format!("snapshot-{name}")
}

/// Keeps the layers of an image as long as `owner` needs them.
pub(crate) fn pin(home: &Home, owner: &str, digest: &str) -> anyhow::Result<()> {
    let store = Store::open(home.root())?;
    let digest: Digest = digest.parse()?;
    let image = store
        .image(&digest)?
        .with_context(|| format!("the image {digest} that it runs is not here; pull it first"))?;
    Ok(store.pin(owner, &[&image])?)
}

/// Takes a claim back.
pub(crate) fn unpin(home: &Home, owner: &str) -> anyhow::Result<()> {
    Ok(Store::open(home.root())?.unpin(owner)?)
}

/// Takes back the claims of machines that are gone (a record is there before its pin, so these have no owner), and
/// removes what else killed processes left in the store.
pub(crate) fn sweep(home: &Home) -> anyhow::Result<()> {
    let store = Store::open(home.root())?;
    store.remove_leftovers()?;
    for held in store.pins()? {
        let machine = held.owner.strip_prefix("machine-");
        if machine.is_some_and(|id| !home.machines().join(id).exists()) {
            store.unpin(&held.owner)?;
        }
    }
    Ok(())
}

/// Whether the machine comes from a snapshot that carries its layers.
pub(crate) fn carries(home: &Home, origin: &Origin) -> bool {
    match origin {
        Origin::Boot { .. } => false,
        Origin::Snapshot { layers, .. } => {
            layers.iter().any(|layer| layer.starts_with(home.snapshots()))
        }
    }
}

/// Makes all claims anew.
pub(crate) fn renew(home: &Home) -> anyhow::Result<()> {
    let store = Store::open(home.root())?;
    // Read first: a record is there before its pin, so every pin that is seen here has its owner below, if it has one.
    let held = store.pins()?;
    let mut wanted = BTreeMap::new();
    for listed in Machines::open(home)?.list()? {
        if carries(home, &listed.spec.origin) {
            continue;
        }
        wanted.insert(machine(&listed.spec.id), listed.spec.digest);
    }
    for listed in Snapshots::open(home)?.list()? {
        if !listed.snapshot.layers()?.is_empty() {
            continue;
        }
        wanted.insert(snapshot(&listed.name), listed.workload.spec.digest);
    }
    for held in held {
        let ours = held.owner.starts_with("machine-") || held.owner.starts_with("snapshot-");
        if ours && wanted.remove(&held.owner).is_none() {
            store.unpin(&held.owner)?;
        }
    }
    for (owner, digest) in wanted {
        if let Err(error) = pin(home, &owner, &digest) {
            tracing::warn!("{owner} lacks its image: {error:#}");
        }
    }
    Ok(())
}
