//! From an image and options to a machine's record.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use image::{Image, Progress, Reference, Store};

use crate::{
    Home, guest_files,
    options::{Options, Pull},
    pins,
    record::{Machine, Machines, Origin, SHORT, Spec, random_id},
};

/// Makes a machine's record; its image is in the store and pinned there by the machine.
pub(crate) fn from_image(
    home: &Home,
    options: &Options,
    progress: Progress<'_>,
) -> anyhow::Result<Machine> {
    let kernel = guest_files::kernel(home)?;
    let initramfs = guest_files::initramfs(home)?;
    let writable = options.writable.as_deref().map(writable_disk).transpose()?;
    pins::sweep(home)?;
    let store = Store::open(home.root())?;
    let image = obtain(&store, options, progress)?;
    let id = random_id()?;
    let hostname = options.hostname.clone().unwrap_or_else(|| id[..SHORT].to_owned());
    let mut labels = image.config.labels.clone();
    labels.extend(options.labels.clone());
    let layers: Vec<PathBuf> = image.layers.iter().map(|layer| layer.path.clone()).collect();
    let devices = (1..=layers.len())
        .map(|n| agent::Layer { device: format!("/dev/vda{n}"), fstype: "erofs".into() });
    let spec = Spec {
        name: options.name.clone().unwrap_or_default(),
        created: jiff::Timestamp::now(),
        image: options.image.clone(),
        digest: image.digest.to_string(),
        memory: options.memory,
        cpus: options.cpus,
        guest: agent::Config {
            layers: devices.collect(),
            writable: match writable {
                None => agent::Writable::default(),
                Some(_) => agent::Writable::Disk(agent::Layer {
                    device: "/dev/vdb".into(),
                    fstype: "ext4".into(),
                }),
            },
            root: Some(root_of(&image)),
            hostname: hostname.clone(),
            ..agent::Config::default()
        },
        process: options.process(&image.config, &hostname)?,
        origin: Origin::Boot { kernel, initramfs, layers, writable },
        ports: options.ports.clone(),
        labels,
        auto_remove: options.auto_remove,
        stdin_once: options.stdin_once,
        stop_signal: options.signal(&image.config),
        stop_timeout: options.stop_timeout,
        init_timeout: options.init_timeout,
        id,
    };
    let machine = Machines::open(home)?.create(spec)?;
    // The machine outlives this process, and so must its claim on the image.
    if let Err(error) = store.pin(&pins::machine(&machine.spec.id), &[&image]) {
        machine.remove()?;
        return Err(error.into());
    }
    Ok(machine)
}

/// The disk's own path; it must hold what the guest's kernel can mount.
fn writable_disk(path: &Path) -> anyhow::Result<PathBuf> {
    /// Where an ext4 file system says so: `s_magic` of its superblock, fs/ext4/ext4.h.
    const MAGIC: (u64, [u8; 2]) = (1024 + 0x38, 0xef53_u16.to_le_bytes());
    let mut found = [0; 2];
    let file =
        File::open(path).with_context(|| format!("cannot read the disk {}", path.display()))?;
    match file.read_exact_at(&mut found, MAGIC.0) {
        Ok(()) if found == MAGIC.1 => Ok(path.canonicalize()?),
        _ => bail!("{0} holds no ext4 file system; make one with `mkfs.ext4 {0}`", path.display()),
    }
}

fn root_of(image: &Image) -> agent::RootAttributes {
    let image::RootAttributes { mode, uid, gid, mtime, mtime_ns, xattrs } = image.root.clone();
    agent::RootAttributes { mode, uid, gid, mtime, mtime_ns, xattrs }
}

fn obtain(store: &Store, options: &Options, progress: Progress<'_>) -> anyhow::Result<Image> {
    let reference: Reference = options.image.parse()?;
    // A local one may have changed, and it costs little to look.
    let local = matches!(reference, Reference::Local(_));
    let look_here = match options.pull {
        Pull::Always => false,
        Pull::Missing => !local,
        Pull::Never => true,
    };
    if look_here && let Some(image) = store.get(&reference, &options.fetch.platform)? {
        return Ok(image);
    }
    if options.pull == Pull::Never {
        bail!(
            "the image {reference} is not here and --pull=never forbids to fetch it; pull it first"
        );
    }
    store
        .pull(&reference, &options.fetch, progress)
        .with_context(|| format!("cannot pull {reference}"))
}
