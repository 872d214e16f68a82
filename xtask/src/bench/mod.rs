//! `cargo xtask bench`: ours against a peer, measured in turns on the same machine.

mod blk;
mod boot;
mod cpu;
mod fork;
mod image;
mod machine;
mod qemu;
mod restore;
mod run;
mod save;
mod serving;
mod vsock;

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::run::{announce, cargo, root, run as run_command};

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Process start to the first line of init, against QEMU TCG
    Boot {
        /// Pairs of runs
        #[arg(long, default_value_t = 7)]
        pairs: usize,
    },
    /// `kiln run` to the first output, against QEMU TCG with the same kernel and files
    Run {
        /// Pairs of runs
        #[arg(long, default_value_t = 7)]
        pairs: usize,
    },
    /// A restored server's first byte, against the cold run and against QEMU TCG's restore; fails beyond the limits
    Restore {
        /// Pairs of runs of each comparison
        #[arg(long, default_value_t = 11)]
        pairs: usize,
    },
    /// Memory of the host that many idle machines of one snapshot take, beside QEMU; fails beyond the limit
    Fork {
        /// Machines at once
        #[arg(long, default_value_t = 50)]
        count: usize,
    },
    /// Taking a snapshot, against dd of the same bytes that are not zero
    Save {
        /// Pairs of runs of each size
        #[arg(long, default_value_t = 5)]
        pairs: usize,
    },
    /// Disk throughput and latency in the guest, against QEMU TCG
    Blk {
        /// Pairs of runs of each workload
        #[arg(long, default_value_t = 5)]
        pairs: usize,
    },
    /// Streams to the guest and back, against a virtio-serial port on QEMU TCG
    Vsock {
        /// Pairs of runs of each workload
        #[arg(long, default_value_t = 5)]
        pairs: usize,
    },
    /// Conversion of an image of 150 MB, against umoci, and umoci with mkfs.erofs; fails if slower
    Image {
        /// Pairs of runs
        #[arg(long, default_value_t = 5)]
        pairs: usize,
    },
    /// Bare-metal kernels on hv-soft against QEMU TCG; fails beyond the limits that are promised
    Cpu {
        /// Pairs of runs of each kernel
        #[arg(long, default_value_t = 5)]
        pairs: usize,
        /// Only kernels with this in their name
        kernel: Option<String>,
    },
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Bench::Boot { pairs } => boot::run(*pairs),
            Bench::Cpu { pairs, kernel } => cpu::run_all(*pairs, kernel.as_deref()),
            Bench::Image { pairs } => image::run(*pairs),
            Bench::Restore { pairs } => restore::run(*pairs),
            Bench::Fork { count } => fork::run(*count),
            Bench::Save { pairs } => save::run(*pairs),
            Bench::Run { pairs } => run::run(*pairs),
            Bench::Blk { pairs } => blk::run(*pairs),
            Bench::Vsock { pairs } => vsock::run(*pairs),
        }
    }
}

/// Builds kiln as its users have it and returns the program's path.
pub(crate) fn kiln() -> Result<std::path::PathBuf> {
    announce("building kiln");
    run_command(cargo().args(["build", "--quiet", "--release", "--package", "kiln"]))?;
    Ok(root().join("target/release/kiln"))
}

/// Runs both sides in turns, so that whatever else the machine does meets both, and prints each
/// side's median and the median of the pairs' ratios, which is returned. Smaller is better for us.
pub(crate) fn pairs(
    what: &str,
    count: usize,
    mut ours: impl FnMut() -> Result<f64>,
    mut peer: impl FnMut() -> Result<f64>,
) -> Result<f64> {
    ensure!(count > 0, "there must be at least one pair");
    let mut measured = Vec::with_capacity(count);
    for number in 1..=count {
        // The side that goes first changes, too.
        let pair = if number % 2 == 1 {
            let first = ours()?;
            (first, peer()?)
        } else {
            let first = peer()?;
            (ours()?, first)
        };
        println!(
            "    pair {number}: {:.3} s, peer {:.3} s, ratio {:.2}",
            pair.0,
            pair.1,
            pair.0 / pair.1
        );
        measured.push(pair);
    }
    let ratio = median(measured.iter().map(|pair| pair.0 / pair.1));
    println!(
        "{what}: {:.3} s, peer {:.3} s, ratio {ratio:.2} (medians of {count})",
        median(measured.iter().map(|pair| pair.0)),
        median(measured.iter().map(|pair| pair.1)),
    );
    Ok(ratio)
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    f64::midpoint(values[low], values[high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }

    #[test]
    fn sides_take_turns_in_going_first() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char, value: f64| {
            order.borrow_mut().push(name);
            Ok(value)
        };
        let ratio = pairs("test", 3, || side('o', 1.0), || side('p', 2.0)).unwrap();
        assert_eq!(ratio, 0.5);
        assert_eq!(*order.borrow(), "oppoop");
    }
}
