//! `kiln boot` and `kiln doctor` as a person uses them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// The guest kernel that `cargo xtask guest-kernel` keeps in the user's cache.
fn kernel() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || std::env::home_dir().expect("a home directory").join(".cache"),
        PathBuf::from,
    );
    let path = cache.join("kiln/guest-kernel/current/Image");
    assert!(path.exists(), "no guest kernel at {}: run cargo xtask guest-kernel", path.display());
    path
}

/// `kiln boot` of the kernel alone, which panics for want of a root file system.
fn boot() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.arg("boot").arg("--kernel").arg(kernel()).args(["--memory", "128M"]);
    command
}

/// Waits for the end; a hang is an error.
fn end(mut child: Child) -> ExitStatus {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(200) {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("kiln boot hung");
}

/// Reads lines until one contains `what`.
fn read_until(lines: &mut impl BufRead, what: &str) {
    let mut all = String::new();
    loop {
        let mut line = Vec::new();
        let len = lines.read_until(b'\n', &mut line).unwrap();
        let line = String::from_utf8_lossy(&line);
        all.push_str(&line);
        assert!(len > 0, "{what:?} was not said:\n{all}");
        if line.contains(what) {
            return;
        }
    }
}

#[test]
fn a_panic_ends_the_run_if_asked_to() {
    let output = boot()
        .args(["--no-reboot", "--timings", "--cmdline", "console=ttyAMA0 panic=-1"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(said.contains("Kernel panic - not syncing: VFS"), "{said}");
    for timing in ["machine built after", "first serial output after", "machine ended after"] {
        assert!(told.contains(timing), "{told}");
    }
    let account =
        if cfg!(target_os = "linux") { "KiB beyond it" } else { "cannot be told without /proc" };
    assert!(told.contains(account), "{told}");
}

#[test]
fn the_escape_stops_a_guest_that_panicked() {
    let mut child = boot().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    read_until(&mut stdout, "end Kernel panic");
    stdin.write_all(b"\x01x").unwrap();
    assert!(end(child).success());
}

#[test]
fn the_terminal_is_raw_meanwhile_and_restored_afterwards() {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal: OwnedFd =
        rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let is_raw = || {
        let modes = tcgetattr(&terminal).unwrap().local_modes;
        !modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    };
    assert!(!is_raw());

    let child = boot()
        .stdin(terminal.try_clone().unwrap())
        .stdout(terminal.try_clone().unwrap())
        .spawn()
        .unwrap();
    let controller = File::from(controller);
    let mut lines = BufReader::new(controller.try_clone().unwrap());
    read_until(&mut lines, "end Kernel panic");
    assert!(is_raw());
    // More than the machine takes of a guest that does not read, and then the escape. This would block for
    // ever if nobody read it.
    let mut keyboard = controller.try_clone().unwrap();
    std::thread::spawn(move || {
        keyboard.write_all(&[b'.'; 100 << 10]).unwrap();
        keyboard.write_all(b"\x01x").unwrap();
    });
    // The rest of the output must not fill the terminal's buffer; the last clone of the terminal is
    // ours, so this ends with the test's process.
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    assert!(end(child).success());
    assert!(!is_raw());
}

/// A reader that has stopped reading, like a terminal after Ctrl-S, does not hold up whoever stops the machine.
#[test]
#[cfg(target_os = "linux")]
fn the_escape_stops_a_guest_whose_output_nobody_takes() {
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let size = fcntl_setpipe_size(&writer, 4096).unwrap() as u64;
    let mut child = boot().stdin(Stdio::piped()).stdout(writer).spawn().unwrap();
    let began = Instant::now();
    // The pipe is full when no more comes in, which is a little before its size.
    let mut held = 0;
    loop {
        assert!(began.elapsed() < Duration::from_secs(100), "the guest is silent");
        std::thread::sleep(Duration::from_millis(200));
        let before = std::mem::replace(&mut held, rustix::io::ioctl_fionread(&reader).unwrap());
        if held > size / 2 && held == before {
            break;
        }
    }
    child.stdin.take().unwrap().write_all(b"\x01x").unwrap();
    assert!(end(child).success());
    drop(reader);
}

#[test]
fn mistakes_are_one_sentence() {
    for (arguments, words) in [
        (["--kernel", "/nowhere"], "/nowhere"),
        (["--kernel", "/dev/null"], "not a file"),
        (["--kernel", env!("CARGO_BIN_EXE_kiln")], "ELF file"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
            .arg("boot")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(output.stdout.is_empty());
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(words), "{told}");
        // Each cause is named once.
        assert_eq!(told.matches(words).count(), 1, "{told}");
    }
}

#[test]
fn the_doctor_proves_life() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .arg("doctor")
        .env("KILN_HOME", home.path())
        .env("XDG_CACHE_HOME", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let line = |what: &str| said.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    assert!(line("proof of life").contains("ok"), "{said}");
    if !cfg!(target_vendor = "apple") {
        assert!(line("entitlement").contains("ok"), "{said}");
    }
    // In an empty home there is no kernel, which is said with its remedy.
    assert!(line("kernel").contains("FAIL") && line("kernel").contains("guest-kernel"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
