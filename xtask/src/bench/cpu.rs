//! The CPU: the same bare-metal kernels on hv-soft and under QEMU TCG. A kernel times itself by the
//! guest's counter, which is the host's clock on both sides, and reports the quickest of several rounds.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::pairs;
use crate::run::{announce, cargo, measured, output, root, run};
use crate::setup::{self, Purpose};

/// In the order of `kernels` in `cpu/kernels.c`.
const KERNELS: [&str; 8] = [
    "integer",
    "branchy",
    "memcpy",
    "SHA-256",
    "SHA-256, crypto instructions",
    "scalar floating point",
    "AdvSIMD",
    "atomics",
];

/// As in `cpu/link.ld`.
const ENTRY: &str = "0x40200000";
/// As in `cpu/kernels.c`: the number of the kernel, and whether HVC takes the result.
const KERNEL: &str = "0x41000000";
const HYPERVISOR: &str = "0x41000008";

/// What hv-soft may take at most, as a multiple of QEMU's time: in the geometric mean, and for any kernel.
const MEAN_LIMIT: f64 = 10.0;
const LIMIT: f64 = 20.0;

pub(super) fn run_all(count: usize, filter: Option<&str>) -> Result<()> {
    setup::ensure(&[Purpose::Test])?;
    let place = tempfile::tempdir()?;
    let image = place.path().join("kernels.bin");
    build(place.path(), &image)?;
    announce("building hv-soft");
    run(cargo().args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "hv",
        "--example",
        "run_image",
    ]))?;
    let runner = root().join("target/release/examples/run_image");
    let mut ratios = Vec::new();
    for (number, name) in KERNELS.iter().enumerate() {
        if filter.is_some_and(|part| !name.contains(part)) {
            continue;
        }
        let results = RefCell::new(Vec::new());
        let note = |(seconds, result)| {
            results.borrow_mut().push(result);
            Ok(seconds)
        };
        let ratio = pairs(
            name,
            count,
            || timed(&mut on_hv_soft(&runner, &image, number)).and_then(note),
            || timed(&mut on_qemu(&image, number)).and_then(note),
        )?;
        let results = results.into_inner();
        ensure!(
            results.windows(2).all(|r| r[0] == r[1]),
            "{name}: the sides compute different results: {results:?}"
        );
        ratios.push((name, ratio));
    }
    ensure!(!ratios.is_empty(), "no kernel has that in its name");
    let mean =
        (ratios.iter().map(|(_, ratio)| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    println!("geometric mean of hv-soft's time over QEMU's: {mean:.2}");
    for (name, ratio) in &ratios {
        ensure!(
            *ratio <= LIMIT,
            "{name} takes {ratio:.1} times as long as under QEMU; the limit is {LIMIT}"
        );
    }
    ensure!(mean <= MEAN_LIMIT, "the geometric mean is {mean:.1}; the limit is {MEAN_LIMIT}");
    Ok(())
}

fn build(place: &Path, image: &Path) -> Result<()> {
    let elf = place.join("kernels.elf");
    run(Command::new("aarch64-linux-gnu-gcc")
        .current_dir(root().join("xtask/src/bench/cpu"))
        .args([
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-march=armv8.1-a+crypto",
            "-nostdlib",
            "-static",
            "-ffreestanding",
        ])
        .args(["-fno-pie", "-no-pie", "-fno-stack-protector", "-fno-tree-loop-distribute-patterns"])
        .args([
            "-Wl,--build-id=none",
            "-Wl,--no-warn-rwx-segments",
            "-T",
            "link.ld",
            "start.S",
            "kernels.c",
            "-o",
        ])
        .arg(&elf))?;
    run(Command::new("aarch64-linux-gnu-objcopy").args(["-O", "binary"]).arg(&elf).arg(image))
}

fn on_hv_soft(runner: &Path, image: &Path, number: usize) -> Command {
    let mut command = measured(runner);
    command.arg(image).args([ENTRY, &format!("{KERNEL}={number:x}"), &format!("{HYPERVISOR}=1")]);
    command
}

fn on_qemu(image: &Path, number: usize) -> Command {
    let mut command = measured("qemu-system-aarch64");
    command.args(["-nodefaults", "-M", "virt", "-cpu", "neoverse-n1", "-accel", "tcg", "-m", "64"]);
    command.args(["-display", "none", "-chardev", "stdio,id=out"]);
    command.args(["-semihosting-config", "enable=on,target=native,chardev=out"]);
    command.arg("-device");
    command.arg(format!("loader,file={},addr={ENTRY},cpu-num=0,force-raw=on", image.display()));
    for (address, value) in [(KERNEL, number), (HYPERVISOR, 0)] {
        command.args(["-device", &format!("loader,addr={address},data={value},data-len=8")]);
    }
    command
}

/// Seconds, and the result that both sides have to agree on.
fn timed(command: &mut Command) -> Result<(f64, u64)> {
    let text = output(command)?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || {
        numbers.next().context("a kernel prints two numbers")?.context("a kernel prints numbers")
    };
    Ok((next()? as f64 / 1e9, next()?))
}
