//! A restored server's first byte, from the start of kiln: against the cold run of the same image and against QEMU TCG that
//! takes the saved state of the same guest; with and without the page cache; small against large memory.

use anyhow::{Result, ensure};

use super::pairs;
use super::qemu::Saved;
use super::serving::{Kiln, NGINX, PYTHON, drop_caches};
use crate::run::run as run_command;

/// Memory of all machines but those that are compared by their memory, in MiB.
const MEMORY: u32 = 512;

/// What a restore may take at most, as a part of the cold run, of QEMU's restore, and of itself with less memory.
const OF_COLD_RUN: f64 = 0.1;
const OF_QEMU: f64 = 0.5;
const OF_SMALL: f64 = 1.2;

pub(super) fn run(count: usize) -> Result<()> {
    let kiln = Kiln::new()?;
    let memory = format!("{MEMORY}m");
    let restore = |name: &str| kiln.seconds_to_answer(&["restore"], &[name]);
    let mut ratios = Vec::new();
    let root = rustix::process::geteuid().is_root();
    for server in [NGINX, PYTHON] {
        let name = server.name;
        kiln.bake(&server, &memory, name)?;
        let qemu = Saved::new(&server, MEMORY)?;
        let cold_run = || {
            let mut rest = vec!["--cpus", "1", "--memory", &memory, &kiln.image];
            rest.extend(server.command);
            kiln.seconds_to_answer(&["run"], &rest)
        };
        for cached in [true, false] {
            if !cached && !root {
                println!("without the page cache: only root can empty it");
                continue;
            }
            let prepare = || if cached { Ok(()) } else { drop_caches() };
            let cache = if cached { "page cache warm" } else { "page cache empty" };
            let what = format!("{name}, {cache}: restore against the cold run");
            let ratio = pairs(
                &what,
                count,
                || prepare().and_then(|()| restore(name)),
                || prepare().and_then(|()| cold_run()),
            )?;
            ratios.push((what, ratio, OF_COLD_RUN));
            let what = format!("{name}, {cache}: restore against QEMU's");
            let ratio = pairs(
                &what,
                count,
                || prepare().and_then(|()| restore(name)),
                || prepare().and_then(|()| qemu.seconds_to_answer()),
            )?;
            ratios.push((what, ratio, OF_QEMU));
        }
    }
    for (memory, name) in [("256m", "small"), ("4g", "large")] {
        kiln.bake(&NGINX, memory, name)?;
    }
    let what = "nginx: 4 GiB against 256 MiB".to_owned();
    let ratio = pairs(&what, count, || restore("large"), || restore("small"))?;
    ratios.push((what, ratio, OF_SMALL));
    println!("where the time goes, nginx with {memory}:");
    run_command(&mut kiln.command(&["restore", "--rm", "--detach", "--timings", "nginx"]))?;
    kiln.remove_machines()?;
    for (what, ratio, limit) in ratios {
        ensure!(ratio <= limit, "{what} is {ratio:.2}; the limit is {limit}");
    }
    Ok(())
}
