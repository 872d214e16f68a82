//! Taking a snapshot: time and bytes by the guest's memory, beside `dd` writing the same bytes that are not zero.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::fs::seek;

use super::pairs;
use super::serving::Kiln;
use crate::run::{measured, output, run as run_command};

/// Guests' memory in MiB, and how much of it is filled.
const GUESTS: [(u32, u32); 5] = [(256, 0), (4096, 0), (256, 128), (1024, 512), (4096, 2048)];

/// What a guest of 4 GiB may take at most, as a multiple of one of 256 MiB, each by its peer: zero pages cost nothing.
const LIMIT: f64 = 1.2;

pub(super) fn run(count: usize) -> Result<()> {
    let kiln = Kiln::new()?;
    let mut ratios = Vec::new();
    for (memory, filled) in GUESTS {
        start(&kiln, memory, filled)?;
        let data = kiln.path("data");
        save(&kiln)?;
        copy_data(&kiln.path("home/snapshots/saved/memory"), &data)?;
        let bytes = data.metadata()?.len() >> 20;
        let what = format!("{memory} MiB, {bytes} MiB of it not zero: snapshot against dd");
        ratios.push(pairs(&what, count, || save(&kiln), || dd(&data, &kiln.path("copy")))?);
        kiln.remove_machines()?;
    }
    let ratio = ratios[1] / ratios[0];
    println!("idle, by dd of what is not zero: 4 GiB against 256 MiB {ratio:.2}");
    ensure!(ratio <= LIMIT, "zero pages cost: the ratio is {ratio:.2}; the limit is {LIMIT}");
    Ok(())
}

/// Starts the machine `guest`, whose process holds so many MiB of what is not zero.
fn start(kiln: &Kiln, memory: u32, filled: u32) -> Result<()> {
    let program = format!(
        "import time\nheld = b'kiln' * ({filled} << 18)\nprint('filled', flush=True)\ntime.sleep(1e6)"
    );
    let memory = format!("{memory}m");
    let mut command = kiln.command(&["run", "--detach", "--name", "guest", "--memory", &memory]);
    command.args([&kiln.image, "/usr/bin/python3", "-c", &program]);
    run_command(command.stdout(Stdio::null()))?;
    while !output(&mut kiln.command(&["logs", "guest"]))?.contains("filled") {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Seconds that a snapshot takes, from the start of the command; it is replaced by the next one.
fn save(kiln: &Kiln) -> Result<f64> {
    if kiln.path("home/snapshots/saved").exists() {
        run_command(kiln.command(&["snapshot", "rm", "saved"]).stdout(Stdio::null()))?;
    }
    let began = Instant::now();
    let mut command = kiln.command(&["snapshot", "create", "guest", "saved"]);
    run_command(command.stdout(Stdio::null()))?;
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds that dd takes to write the bytes, and to see them on the disk.
fn dd(from: &Path, to: &Path) -> Result<f64> {
    let operand = |name: &str, path: &Path| format!("{name}={}", path.display());
    let began = Instant::now();
    let mut command = measured("dd");
    command.args([operand("if", from), operand("of", to)]).args(["bs=1M", "conv=fsync"]);
    run_command(command.stderr(Stdio::null()))?;
    let seconds = began.elapsed().as_secs_f64();
    fs::remove_file(to)?;
    Ok(seconds)
}

/// Copies what is not a hole of a file, one piece after the other.
fn copy_data(from: &Path, to: &Path) -> Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut at = 0;
    loop {
        let start = match seek(&from, rustix::fs::SeekFrom::Data(at)) {
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            start => start?,
        };
        at = seek(&from, rustix::fs::SeekFrom::Hole(start))?;
        from.seek(SeekFrom::Start(start))?;
        io::copy(&mut (&from).take(at - start), &mut to)?;
    }
}
