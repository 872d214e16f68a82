//! Disk throughput: the same raw file behind virtio-mmio blk on kiln and on QEMU.

use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use super::machine::{Guest, Session, arguments};
use super::pairs;

/// As the guest's program has it.
const LENGTH: usize = 256 << 20;

/// What init does with the disk, and what that measures.
const WORKLOADS: [(&str, &str); 3] = [
    ("read", "256 MiB read in order, through the guest's page cache"),
    ("write", "256 MiB written in order and flushed"),
    ("small", "16384 direct reads of 4 KiB, one after the other, in scattered order"),
];

pub(super) fn run(count: usize) -> Result<()> {
    let guest = Guest::build()?;
    let disk = guest.path("disk");
    let mut file = File::create(&disk)?;
    for number in 0..LENGTH >> 20 {
        file.write_all(&vec![number as u8; 1 << 20])?;
    }
    file.sync_all()?;
    let ours = arguments(&[&"--disk", &disk]);
    let drive = format!("file={},if=none,id=d,format=raw", disk.display());
    let peer = arguments(&[&"-drive", &drive, &"-device", &"virtio-blk-device,drive=d"]);
    for (workload, meaning) in WORKLOADS {
        pairs(
            &format!("{workload}: {meaning}"),
            count,
            || seconds(guest.on_kiln(workload, &ours)),
            || seconds(guest.on_qemu(workload, &peer)),
        )?;
    }
    Ok(())
}

fn seconds(command: Command) -> Result<f64> {
    let mut session = Session::start(command)?;
    session.wait_for("bench begins")?;
    let begin = Instant::now();
    session.wait_for("bench ends")?;
    Ok(begin.elapsed().as_secs_f64())
}
