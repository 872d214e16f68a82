//! Many machines from one snapshot at once: each answers, and what memory of the host each adds, beside one QEMU that was
//! restored from the same guest's state.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::qemu::Saved;
use super::serving::{Forwarder, Kiln, NGINX, first_byte};
use crate::run::output;

/// Memory of each guest, in MiB.
const MEMORY: u32 = 256;

/// What an idle machine may add at most, in MiB.
const LIMIT: f64 = 12.0;

/// How long the machines are left alone before they are measured.
const REST: Duration = Duration::from_secs(5);

pub(super) fn run(count: usize) -> Result<()> {
    ensure!(count > 1, "there must be at least two machines");
    let kiln = Kiln::new()?;
    kiln.bake(&NGINX, &format!("{MEMORY}m"), "nginx")?;
    let one = fork(&kiln, 1)?;
    let began = Instant::now();
    let mut all = fork(&kiln, count - 1)?;
    println!("{} more machines answered after {:.1} s", all.len(), began.elapsed().as_secs_f64());
    all.extend(one);
    std::thread::sleep(REST);
    let each: Vec<f64> = all.iter().map(|&process| pss(process)).collect::<Result<_>>()?;
    let total: f64 = each.iter().sum();
    for &process in &all[1..] {
        // The machine ends with its process; what is left is one machine alone.
        kill_process(process, Signal::KILL)?;
    }
    std::thread::sleep(REST);
    let alone = pss(all[0])?;
    let added = (total - alone) / (count - 1) as f64;
    kiln.remove_machines()?;
    let qemu = Saved::new(&NGINX, MEMORY)?.restore()?;
    std::thread::sleep(REST);
    let peer = pss(qemu.process())?;
    println!(
        "{count} idle machines of {MEMORY} MiB: {total:.1} MiB, {alone:.1} MiB for one alone, \
         {added:.2} MiB for each more, QEMU {peer:.1} MiB, ratio {:.2}",
        added / peer
    );
    ensure!(added < LIMIT, "an idle machine adds {added:.2} MiB; the limit is {LIMIT}");
    Ok(())
}

/// So many machines that have answered, by their processes.
fn fork(kiln: &Kiln, count: usize) -> Result<Vec<Pid>> {
    let count = count.to_string();
    let text = output(kiln.command(&["fork", "-n", &count, "nginx"]).stdin(Stdio::null()))?;
    let mut processes = Vec::new();
    for line in text.lines() {
        let (id, port) = line.split_once(' ').context("an id and a port")?;
        let port = port.split(['>', '-', ':']).nth(1).context("ADDRESS:PORT->80")?.parse()?;
        first_byte(port, Forwarder::Honest, || false)?;
        processes.push(kiln.process(id)?);
    }
    Ok(processes)
}

/// The proportional set size of a process, in MiB.
fn pss(process: Pid) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.as_raw_nonzero()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib: f64 =
        line.and_then(|line| line.trim().strip_suffix(" kB")).context("no Pss")?.parse()?;
    Ok(kib / 1024.0)
}
