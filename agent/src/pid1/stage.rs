//! Between `clone` and `execve`: a program of one thread in the workload's namespaces.
//!
//! Descriptors: 0–2 the stdio of the process to come, 3 the [`Order`], 4 where a failure is
//! reported (closed by a successful `execve`), and 5 the workload's own process if its namespaces
//! are to be joined.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use agent::{Config, DEFAULT_SHM_SIZE, Failure, FailureKind, ProcessSpec, Rlimit};
use rustix::fs::{CWD, Dev, FileType, Gid, Mode, Uid, makedev, mknodat};
use rustix::mount::{
    MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{Resource, chdir, ioctl_tiocsctty, pivot_root, setrlimit, setsid, umask};
use rustix::thread::{
    ThreadNameSpaceType, move_into_thread_name_spaces, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::ROOT;
use super::failure::{Explain, Outcome, failure};
use super::identity::{self, Identity};
use super::kernel;
use super::root::{TERMINALS, mount_new};
use super::spawn::Order;

/// Open files of a process unless the order says otherwise: Docker's.
const OPEN_FILES: u64 = 1_048_576;

pub(crate) fn main() {
    let Ok(report) = kernel::inherited(4) else { std::process::exit(127) };
    let Err(failure) = run();
    let mut bytes = Vec::new();
    if ciborium::into_writer(&failure, &mut bytes).is_ok() {
        let _ = File::from(report).write_all(&bytes);
    }
    std::process::exit(127);
}

/// Returns only if the command does not run.
fn run() -> Outcome<std::convert::Infallible> {
    let order = kernel::inherited(3).explain("find the order")?;
    let order: Order = ciborium::from_reader(File::from(order)).explain("read the order")?;
    match &order.config {
        Some(config) => build_surroundings(config)?,
        None => join(kernel::inherited(5).explain("find the workload")?)?,
    }
    become_command(&order.spec)
}

fn join(workload: OwnedFd) -> Outcome<()> {
    let spaces = ThreadNameSpaceType::MOUNT | ThreadNameSpaceType::CONTROL_GROUP;
    move_into_thread_name_spaces(workload.as_fd(), spaces)
        .map_err(|_| failure(FailureKind::NotRunning, "the workload runs no longer"))
}

/// Makes the workload's root this process's own, with all that a program expects to find in it.
fn build_surroundings(config: &Config) -> Outcome<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).explain("make the mounts private")?;
    kernel::new_cgroup_namespace().explain("make a cgroup namespace")?;
    let terminals = open_tree(CWD, TERMINALS, OpenTreeFlags::OPEN_TREE_CLONE)
        .explain("take over the terminals")?;
    // pivot_root(2), "pivot_root(".", ".")": the old root ends up below the new one, and goes.
    chdir(ROOT).explain("enter the root")?;
    pivot_root(".", ".").explain("change the root")?;
    unmount(".", UnmountFlags::DETACH).explain("leave the old root")?;
    chdir("/").explain("enter the root")?;

    let nodev = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let plain = nodev | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    mount_new("proc", "/proc", &[], &[], plain)?;
    mount_new("sysfs", "/sys", &[], &[], plain)?;
    mount_new("cgroup2", "/sys/fs/cgroup", &[], &[], plain)?;
    let mode = |mode: &str| ("mode", mode.to_owned());
    mount_new("tmpfs", "/dev", &[mode("0755")], &[], MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    fill_dev()?;
    move_mount(&terminals, "", CWD, "/dev/pts", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .explain("mount the terminals on /dev/pts")?;
    let shm = config.shm_size.unwrap_or(DEFAULT_SHM_SIZE).to_string();
    mount_new("tmpfs", "/dev/shm", &[mode("1777"), ("size", shm)], &[], plain)?;
    mount_new("mqueue", "/dev/mqueue", &[], &[], plain)?;
    for (path, size) in &config.tmpfs {
        let mut options = vec![mode("1777")];
        options.extend(size.map(|size| ("size", size.to_string())));
        mount_new("tmpfs", path, &options, &[], nodev)?;
    }
    write_names(config)
}

/// The devices and links of every container (OCI runtime specification, "Default Devices").
fn fill_dev() -> Outcome<()> {
    umask(Mode::empty());
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
        let device: Dev = makedev(major, minor);
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, format!("/dev/{name}"), FileType::CharacterDevice, mode, device)
            .explain(format_args!("make /dev/{name}"))?;
    }
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        symlink(target, link).explain(format_args!("make {link}"))?;
    }
    umask(Mode::from_raw_mode(0o022));
    fs::create_dir("/dev/pts").explain("make /dev/pts")
}

/// The files in `/etc` that say who and where we are.
fn write_names(config: &Config) -> Outcome<()> {
    let name = if config.hostname.is_empty() { "kiln" } else { &config.hostname };
    let hosts = config.hosts.clone().unwrap_or_else(|| {
        format!(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{name}\n"
        )
    });
    replace("/etc/hostname", &format!("{name}\n"))?;
    replace("/etc/hosts", &hosts)?;
    match &config.resolv_conf {
        Some(text) => replace("/etc/resolv.conf", text),
        None => Ok(()),
    }
}

/// Writes a file of its own, whatever the image has there.
fn replace(path: &str, content: &str) -> Outcome<()> {
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).explain(format_args!("make {}", parent.display()))?;
    }
    let _ = fs::remove_file(path);
    fs::write(path, content).explain(format_args!("write {path}"))
}

/// Takes on the user, limits, terminal and directory of the command, and becomes it.
fn become_command(spec: &ProcessSpec) -> Outcome<std::convert::Infallible> {
    let identity = identity::resolve(&spec.user, &spec.groups)?;
    setsid().explain("start a session")?;
    if spec.tty.is_some() {
        ioctl_tiocsctty(std::io::stdin()).explain("make the terminal the controlling one")?;
    }
    own_stdio(identity.uid).explain("hand over the standard streams")?;
    limit(&Rlimit { resource: "nofile".to_owned(), soft: OPEN_FILES, hard: OPEN_FILES })?;
    spec.rlimits.iter().try_for_each(limit)?;
    enter(&spec.cwd)?;
    let env = environment(spec, &identity);
    take_on(&identity).explain("change the user")?;

    let program = look_up(&spec.args[0], &env)?;
    let path = c_strings([&program.to_string_lossy()])?;
    let error = kernel::execute(&path[0], &c_strings(&spec.args)?, &c_strings(&env)?);
    let what = program.display();
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => failure(
            FailureKind::CommandNotFound,
            format!(
                "{what} cannot be started: no such file or directory (its interpreter is missing)"
            ),
        ),
        _ => {
            failure(FailureKind::CommandNotExecutable, format!("{what} cannot be started: {error}"))
        }
    })
}

fn c_strings(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Outcome<Vec<CString>> {
    let strings = texts.into_iter().map(|text| CString::new(text.as_ref()));
    strings.collect::<Result<_, _>>().map_err(|_| {
        failure(FailureKind::Invalid, "a command and its environment cannot contain a zero byte")
    })
}

/// A program that opens `/dev/stdout` anew must be allowed to, whoever runs it.
fn own_stdio(uid: u32) -> std::io::Result<()> {
    for fd in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
        let device = rustix::fs::fstat(fd)?.st_rdev;
        let null = kind == FileType::CharacterDevice && device == makedev(1, 3);
        if !null {
            fchown(fd, Some(uid), None)?;
        }
    }
    Ok(())
}

fn limit(limit: &Rlimit) -> Outcome<()> {
    let resource = match limit.resource.as_str() {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        other => {
            return Err(failure(
                FailureKind::Invalid,
                format!("there is no resource limit named {other}"),
            ));
        }
    };
    let value = |limit: u64| (limit != u64::MAX).then_some(limit);
    setrlimit(
        resource,
        rustix::process::Rlimit { current: value(limit.soft), maximum: value(limit.hard) },
    )
    .explain(format_args!("set the limit {}", limit.resource))
}

/// Enters the working directory, which Docker makes if it is missing.
fn enter(cwd: &str) -> Outcome<()> {
    let cwd = if cwd.is_empty() { "/" } else { cwd };
    if !cwd.starts_with('/') {
        return Err(failure(
            FailureKind::Invalid,
            format!("the working directory {cwd} is not an absolute path"),
        ));
    }
    fs::create_dir_all(cwd).explain(format_args!("make the working directory {cwd}"))?;
    chdir(cwd).explain(format_args!("enter the working directory {cwd}"))
}

fn environment(spec: &ProcessSpec, identity: &Identity) -> Vec<String> {
    let mut env = spec.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    env
}

fn take_on(identity: &Identity) -> rustix::io::Result<()> {
    let group = Gid::from_raw(identity.gid);
    let user = Uid::from_raw(identity.uid);
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)
}

/// Finds the command as a shell would, in the `PATH` of its own environment.
fn look_up(command: &str, env: &[String]) -> Outcome<PathBuf> {
    if command.contains('/') {
        return match fs::metadata(command) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(not_executable(command, "permission denied"))
            }
            Err(_) => Err(failure(
                FailureKind::CommandNotFound,
                format!("{command} cannot be started: no such file or directory"),
            )),
            Ok(found) if found.is_dir() => Err(not_executable(command, "is a directory")),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                Err(not_executable(command, "permission denied"))
            }
            Ok(_) => Ok(PathBuf::from(command)),
        };
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let mut seen = None;
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = Path::new(directory).join(command);
        match fs::metadata(&candidate) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
                return Ok(candidate);
            }
            Ok(found) if found.is_file() => seen = Some(candidate),
            _ => {}
        }
    }
    Err(match seen {
        Some(path) => not_executable(&path.to_string_lossy(), "permission denied"),
        None => failure(
            FailureKind::CommandNotFound,
            format!("{command} cannot be started: executable file not found in $PATH"),
        ),
    })
}

fn not_executable(command: &str, why: &str) -> Failure {
    failure(FailureKind::CommandNotExecutable, format!("{command} cannot be started: {why}"))
}
