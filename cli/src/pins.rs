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

/// Whether whoever made a claim is still there, whether or not this version can read it.
fn has_owner(home: &Home, claim: &str) -> bool {
    if let Some(id) = claim.strip_prefix("machine-") {
        return home.machines().join(id).exists();
    }
    let snapshot = claim.strip_prefix("snapshot-");
    // Claims of other names are not kiln's to take back.
    snapshot.is_none_or(|name| home.snapshots().join(name).exists())
}

/// Takes back the claims of machines that are gone (a record is there before its pin, so these have no owner), and
/// removes what else killed processes left in the store.
pub(crate) fn sweep(home: &Home) -> anyhow::Result<()> {
    let store = Store::open(home.root())?;
    store.remove_leftovers()?;
    release(home, &store)
}

fn release(home: &Home, store: &Store) -> anyhow::Result<()> {
    for held in store.pins()? {
        if !has_owner(home, &held.owner) {
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

/// Makes all claims anew. A claim whose owner is there but cannot be read, as one of another version, stays.
///
/// # Errors
/// When a claim cannot be written: what it would hold must not be removed then.
pub(crate) fn renew(home: &Home) -> anyhow::Result<()> {
    let store = Store::open(home.root())?;
    let mut wanted = Vec::new();
    for listed in Machines::open(home)?.list()? {
        if !carries(home, &listed.spec.origin) {
            wanted.push((machine(&listed.spec.id), listed.spec.digest));
        }
    }
    for listed in Snapshots::open(home)?.list()? {
        if listed.snapshot.layers()?.is_empty() {
            wanted.push((snapshot(&listed.name), listed.workload.spec.digest));
        }
    }
    release(home, &store)?;
    let held: BTreeMap<_, _> =
        store.pins()?.into_iter().map(|pin| (pin.owner, pin.manifests)).collect();
    for (owner, digest) in wanted {
        let digest: Digest = digest.parse()?;
        if held.get(&owner).is_some_and(|manifests| *manifests == [digest.clone()]) {
            continue;
        }
        match store.image(&digest)? {
            Some(image) => store.pin(&owner, &[&image])?,
            None => tracing::warn!("{owner} lacks its image {digest}; pull it again"),
        }
    }
    Ok(())
}
