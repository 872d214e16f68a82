//! From the kernel's first call to the first request.

use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use agent::{DEFAULT_PORT, FailureKind};
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, move_mount, open_tree};

use super::control::Control;
use super::failure::{Explain, Outcome, failure};
use super::transport::{Listener, dial_host};
use super::{cgroup, kernel, power, reaper, server};

pub(crate) fn main() {
    if std::process::id() != 1 {
        eprintln!("the kiln guest agent is PID 1 of a guest and nothing else");
        std::process::exit(2);
    }
    let Err(failure) = serve();
    log(&format!("the guest agent cannot start: {}", failure.message));
    power::off();
}

fn serve() -> Outcome<Infallible> {
    mount_kernel_file_systems()?;
    end_thrashing();
    leave_rootfs()?;
    kernel::loopback_up().explain("bring the loopback interface up")?;
    cgroup::prepare()?;
    let port = port(&fs::read_to_string("/proc/cmdline").explain("read the command line")?)?;
    let control = Arc::new(Control::default());
    reaper::start(Arc::clone(&control)).explain("start the reaper")?;
    power::watch_button(Arc::clone(&control)).explain("watch the power button")?;
    let listener = Listener::bind(port).explain(format_args!("listen on vsock port {port}"))?;
    announce(&control, port).explain("start the thread that greets the host")?;
    server::run(listener, control)
}

/// Tells a waiting host that we are here; one that does not wait refuses, which is fine.
fn announce(control: &Arc<Control>, port: u32) -> std::io::Result<()> {
    let control = Arc::clone(control);
    std::thread::Builder::new().name("greeting".to_owned()).spawn(move || {
        if let Ok(stream) = dial_host(port) {
            server::serve(stream, &control);
        }
    })?;
    Ok(())
}

fn mount_kernel_file_systems() -> Outcome<()> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    for (kind, target, flags) in [
        ("proc", "/proc", plain),
        ("sysfs", "/sys", plain),
        ("devtmpfs", "/dev", MountFlags::NOSUID),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV),
        ("cgroup2", "/sys/fs/cgroup", plain),
    ] {
        if target == "/dev" && Path::new("/dev/null").exists() {
            continue;
        }
        mount(kind, target, kind, flags, None).explain(format_args!("mount {kind} on {target}"))?;
    }
    Ok(())
}

/// Has the kernel kill a process rather than evict what was used within the last second: a guest without
/// swap that is short of memory would otherwise do nothing but read its programs again.
fn end_thrashing() {
    const MIN_TTL: &str = "/sys/kernel/mm/lru_gen/min_ttl_ms";
    if let Err(error) = fs::write(MIN_TTL, "1000") {
        log(&format!(
            "a guest short of memory may be slow to kill what takes it: {MIN_TTL}: {error}"
        ));
    }
}

/// Moves to a mount of the initramfs over itself: `pivot_root` works only from a root that has a
/// parent, and the first root file system has none.
fn leave_rootfs() -> Outcome<()> {
    let what = "bind the initramfs over itself";
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
    let root = open_tree(CWD, "/", flags).explain(what)?;
    move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).explain(what)?;
    rustix::process::fchdir(&root).explain(what)?;
    rustix::process::chroot(".").explain(what)
}

/// The port to listen on: the last `kiln.port=` of the kernel's command line.
fn port(command_line: &str) -> Outcome<u32> {
    let words = command_line.split_ascii_whitespace();
    match words.filter_map(|word| word.strip_prefix("kiln.port=")).next_back() {
        None => Ok(DEFAULT_PORT),
        Some(text) => text.parse().map_err(|_| {
            failure(
                FailureKind::Invalid,
                format!("kiln.port={text} on the kernel command line is not a port"),
            )
        }),
    }
}

/// One line for the console.
pub(crate) fn log(line: &str) {
    if let Ok(mut file) = fs::File::options().write(true).open("/dev/kmsg") {
        let _ = writeln!(file, "<4>kiln: {line}");
    } else {
        eprintln!("kiln: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_comes_from_the_command_line() {
        assert_eq!(port("console=ttyAMA0 quiet").unwrap(), DEFAULT_PORT);
        assert_eq!(port("kiln.port=5 kiln.port=77\n").unwrap(), 77);
        assert!(port("kiln.port=x").is_err());
        assert!(port("kiln.port=-1").is_err());
    }
}
