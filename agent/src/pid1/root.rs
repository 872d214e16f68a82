//! The workload's root: read-only layers below, changes above.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use agent::{Config, FailureKind, Layer, MAX_LAYERS, RootAttributes, Writable};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags, setxattr, utimensat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::ROOT;
use super::failure::{Explain, Outcome, failure};
use super::kernel::pause;

const LAYERS: &str = "/run/layers";
const CHANGES: &str = "/run/changes";
/// The workload's terminals; the workload gets this very file system as `/dev/pts`.
pub(crate) const TERMINALS: &str = "/run/pts";

/// Builds the root and mounts it on [`ROOT`].
pub(crate) fn assemble(config: &Config) -> Outcome<()> {
    if config.layers.is_empty() || config.layers.len() > MAX_LAYERS {
        return Err(failure(
            FailureKind::Invalid,
            format!("an image has 1 to {MAX_LAYERS} layers, not {}", config.layers.len()),
        ));
    }
    for (number, layer) in config.layers.iter().enumerate() {
        mount_device(layer, &format!("{LAYERS}/{number}"), true)?;
    }
    let volatile = match &config.writable {
        Writable::Memory { size } => {
            let size = size.map(|size| ("size", size.to_string()));
            mount_new("tmpfs", CHANGES, size.as_slice(), &[], MountAttrFlags::empty())?;
            true
        }
        Writable::Disk(device) => {
            mount_device(device, CHANGES, false)?;
            false
        }
    };
    let (upper, work) = (format!("{CHANGES}/upper"), format!("{CHANGES}/work"));
    let unchanged = !Path::new(&upper).exists();
    for directory in [&upper, &work] {
        fs::create_dir_all(directory).explain(format_args!("make {directory}"))?;
    }
    if let Some(root) = config.root.as_ref().filter(|_| unchanged) {
        take_on(root, &upper)?;
    }
    // overlayfs wants the topmost layer first. "lowerdir+" takes one at a time, so that no number
    // of layers runs into the limit of one option string.
    let mut options: Vec<(&str, String)> = (0..config.layers.len())
        .rev()
        .map(|number| ("lowerdir+", format!("{LAYERS}/{number}")))
        .collect();
    options.push(("upperdir", upper));
    options.push(("workdir", work));
    options.push(("redirect_dir", "on".to_owned()));
    // One space of inode numbers for all layers, so that readdir and stat agree on each.
    options.push(("xino", "on".to_owned()));
    // What lives in memory needs no fsync.
    let flags: &[&str] = if volatile { &["volatile"] } else { &[] };
    mount_new("overlay", ROOT, &options, flags, MountAttrFlags::empty())?;

    let terminals = [("mode", "0620"), ("ptmxmode", "0666"), ("gid", "5")]
        .map(|(name, value)| (name, value.to_owned()));
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    mount_new("devpts", TERMINALS, &terminals, &[], safe)
}

/// Gives a directory these attributes.
fn take_on(root: &RootAttributes, directory: &str) -> Outcome<()> {
    let system = |what: &str| format!("{what} of the root directory");
    chown(directory, Some(root.uid), Some(root.gid)).explain(system("set the owner"))?;
    let mode = fs::Permissions::from_mode(root.mode.into());
    fs::set_permissions(directory, mode).explain(system("set the mode"))?;
    for (name, value) in &root.xattrs {
        setxattr(directory, name.as_slice(), value, XattrFlags::empty())
            .explain(system(&format!("set the attribute {}", name.escape_ascii())))?;
    }
    let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let modified = Timespec { tv_sec: root.mtime, tv_nsec: root.mtime_ns.into() };
    let times = Timestamps { last_access: omitted, last_modification: modified };
    utimensat(CWD, directory, &times, AtFlags::empty()).explain(system("set the time"))
}

/// Lets go of the root, so that a writable disk is clean.
pub(crate) fn disassemble() {
    for target in [ROOT, CHANGES] {
        for _ in 0..100 {
            match unmount(target, UnmountFlags::empty()) {
                Err(Errno::BUSY) => pause(10),
                _ => break,
            }
        }
    }
}

/// Mounts a new file system through the kernel's fsconfig interface.
pub(crate) fn mount_new(
    fstype: &str,
    target: &str,
    options: &[(&str, String)],
    flags: &[&str],
    attributes: MountAttrFlags,
) -> Outcome<()> {
    fs::create_dir_all(target).explain(format_args!("make {target}"))?;
    let mount = || -> Result<(), Errno> {
        let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
        // What /proc/mounts shows as the device.
        if !options.iter().any(|(name, _)| *name == "source") {
            fsconfig_set_string(context.as_fd(), "source", fstype)?;
        }
        for (name, value) in options {
            fsconfig_set_string(context.as_fd(), *name, value.as_str())?;
        }
        for flag in flags {
            fsconfig_set_flag(context.as_fd(), *flag)?;
        }
        fsconfig_create(context.as_fd())?;
        let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    };
    mount().explain(format_args!("mount {fstype} on {target}"))
}

fn mount_device(layer: &Layer, target: &str, read_only: bool) -> Outcome<()> {
    let source = [("source", layer.device.clone())];
    let flags: &[&str] = if read_only { &["ro"] } else { &[] };
    let attributes =
        if read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    mount_new(&layer.fstype, target, &source, flags, attributes).map_err(|error| {
        failure(error.kind, format!("{} (device {})", error.message, layer.device))
    })
}
