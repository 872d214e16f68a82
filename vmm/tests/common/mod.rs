//! What tests of whole machines share: a process of its own for each, a kernel, an init, and a
//! console to listen to.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use vmm::{Machine, MachineConfig, Resources};

const CHILD: &str = "KILN_TEST_CHILD";

/// Runs `test` in a process of its own, because a process has at most one VM, and kills it when it
/// hangs.
pub(crate) fn in_its_own_process(name: &str, test: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return test();
    }
    in_a_child(name, name);
}

/// Runs `test` in so many processes, one after the other: each is given the same directory, and its number from 0.
pub(crate) fn in_new_processes(name: &str, count: usize, test: impl FnOnce(&Path, usize)) {
    if let Ok(place) = std::env::var(CHILD) {
        let (number, directory) = place.split_once(' ').expect("a number and a directory");
        return test(Path::new(directory), number.parse().expect("a number"));
    }
    let directory = tempfile::tempdir().expect("a directory");
    for number in 0..count {
        in_a_child(name, &format!("{number} {}", directory.path().display()));
    }
}

/// Runs the test of this name in a new process, which sees `child` in its environment.
fn in_a_child(name: &str, child: &str) {
    let limit = Duration::from_secs(if soak() { 3600 } else { 300 });
    let mut process = Command::new(std::env::current_exe().expect("the test knows its program"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, child)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test's own process starts");
    let outputs = [
        collect(process.stdout.take().expect("piped")),
        collect(process.stderr.take().expect("piped")),
    ];
    let began = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().expect("the child can be waited for") {
            break Some(status);
        }
        if began.elapsed() > limit {
            process.kill().expect("the child can be killed");
            process.wait().expect("the child can be waited for");
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let [stdout, stderr] =
        outputs.map(|thread| String::from_utf8_lossy(&thread.join().unwrap()).into_owned());
    match status {
        Some(status) if status.success() => {
            assert!(stdout.contains("1 passed"), "{name} is not the test's name:\n{stdout}");
        }
        status => panic!("{name} ({child}): {status:?} (none: hung)\n{stdout}\n{stderr}"),
    }
}

fn collect(mut from: impl io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("the pipe can be read");
        bytes
    })
}

/// Whether to run at the counts that take hours (`cargo xtask soak`).
pub(crate) fn soak() -> bool {
    std::env::var_os("KILN_SOAK").is_some()
}

/// The guest kernel that `cargo xtask guest-kernel` keeps in the user's cache.
pub(crate) fn kernel() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || std::env::home_dir().expect("a home directory").join(".cache"),
        PathBuf::from,
    );
    let path = cache.join("kiln/guest-kernel/current/Image");
    assert!(path.exists(), "no guest kernel at {}: run cargo xtask guest-kernel", path.display());
    path
}

/// The initramfs with the init of most tests.
pub(crate) fn initramfs() -> PathBuf {
    initramfs_of("init.c")
}

/// The initramfs with an init compiled from that source.
pub(crate) fn initramfs_of(source: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest").join(source);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let init = directory.path().join("init");
    let status = Command::new("aarch64-linux-gnu-gcc")
        .args(["-O2", "-static", "-s", "-march=armv8-a+crypto", "-ffp-contract=off", "-o"])
        .args([&init, &source])
        .status()
        .expect("aarch64-linux-gnu-gcc runs; cargo xtask setup installs it");
    assert!(status.success());
    let mut archive = Vec::new();
    entry(&mut archive, "dev", 0o040_755, (0, 0), &[]);
    entry(&mut archive, "dev/console", 0o020_600, (5, 1), &[]);
    entry(&mut archive, "init", 0o100_755, (0, 0), &fs::read(&init).unwrap());
    entry(&mut archive, "TRAILER!!!", 0, (0, 0), &[]);
    let path = directory.path().join("initramfs.cpio");
    fs::write(&path, archive).unwrap();
    // Kept: the machine reads it again at a reset.
    let _ = directory.keep();
    path
}

/// One entry of a "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst).
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
    let size = content.len() as u32;
    let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name.len() as u32 + 1, 0];
    archive.extend(b"070701");
    for field in fields {
        write!(archive, "{field:08X}").unwrap();
    }
    archive.extend(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// Everything the guest has said on its serial console.
#[derive(Clone, Default)]
pub(crate) struct Console(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().extend(bytes);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Console {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap()).into_owned()
    }

    /// Waits until the guest has said it `times` times. The test's process has a time limit.
    pub(crate) fn wait_for(&self, what: &str, times: usize) {
        let mut bytes = self.0.0.lock().unwrap();
        loop {
            if String::from_utf8_lossy(&bytes).matches(what).count() >= times {
                return;
            }
            let (next, waited) = self.0.1.wait_timeout(bytes, Duration::from_secs(250)).unwrap();
            bytes = next;
            assert!(
                !waited.timed_out(),
                "the guest did not say {what:?}:\n{}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }

    /// What follows `kiln: key ` on the lines that begin so. A machine may be stopped in the middle of a line, which then
    /// says nothing.
    pub(crate) fn values(&self, key: &str) -> Vec<String> {
        let prefix = format!("kiln: {key} ");
        self.text()
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(|value| value.trim_end().to_owned())
            .collect()
    }
}

/// A machine whose init does `test`.
pub(crate) fn config(test: &str, vcpus: u32) -> MachineConfig {
    let mut config = MachineConfig::new(kernel());
    config.initramfs = Some(initramfs());
    config.memory = 256 << 20;
    config.vcpus = vcpus;
    config.command_line = format!("console=ttyAMA0 earlycon kiln.test={test}");
    config
}

/// Builds it, with its serial output going to the console.
pub(crate) fn machine(config: &MachineConfig) -> (Machine, Console) {
    let console = Console::default();
    let machine = Machine::new(config, Resources::serial(console.clone()))
        .unwrap_or_else(|error| panic!("{error}"));
    (machine, console)
}

/// Descriptors that this process has open; none where the host does not tell.
pub(crate) fn descriptors() -> Vec<PathBuf> {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut targets: Vec<_> =
        open.filter_map(|open| fs::read_link(open.ok()?.path()).ok()).collect();
    targets.sort();
    targets
}

/// What is left of a machine's threads: a thread that has been joined is listed for a moment longer.
pub(crate) fn threads_left() -> Vec<String> {
    let begin = Instant::now();
    loop {
        let threads = machine_threads();
        if threads.is_empty() || begin.elapsed() > Duration::from_secs(10) {
            return threads;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Threads of this process that belong to a machine.
pub(crate) fn machine_threads() -> Vec<String> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with("kiln-"))
        .collect()
}
