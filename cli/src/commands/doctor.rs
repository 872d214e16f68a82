//! `kiln doctor`: what this host can do, and what to do about the rest.

use std::fmt;
use std::num::NonZero;
use std::process::Command;

use vmm::Host;

use crate::{Home, guest_files, text};

/// Says what this host can do, and proves it with a virtual machine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What a program needs on macOS to have a virtual machine.
const ENTITLEMENT: &str = "com.apple.security.hypervisor";

/// One line of the report.
enum Finding {
    Good(String),
    /// What is wrong, and the remedy.
    Bad(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(text) => write!(f, "ok    {text}"),
            Self::Bad(text) => write!(f, "FAIL  {text}"),
        }
    }
}

/// Prints the report; the status is 1 if anything is wrong.
pub(crate) fn run(_args: &Args) -> anyhow::Result<u8> {
    let mut healthy = true;
    for (what, check) in CHECKS {
        let finding = check();
        text::say!("{what:<15} {finding}")?;
        healthy &= matches!(finding, Finding::Good(_));
    }
    Ok(u8::from(!healthy))
}

type Check = fn() -> Finding;

/// In the order of dependence; the last is the proof of life.
const CHECKS: [(&str, Check); 8] = [
    ("hypervisor", hypervisor),
    ("entitlement", entitlement),
    ("limits", limits),
    ("kernel", kernel),
    ("guest agent", agent),
    ("memory", memory),
    ("cores", cores),
    ("proof of life", life),
];

fn hypervisor() -> Finding {
    if cfg!(target_vendor = "apple") {
        Finding::Good("Hypervisor.framework, in hardware".into())
    } else {
        Finding::Good(
            "software: complete and slow, and no security boundary; for hardware isolation use a Mac \
             with Apple silicon"
                .into(),
        )
    }
}

/// Without it the framework refuses every call that makes something.
fn entitlement() -> Finding {
    if !cfg!(target_vendor = "apple") {
        return Finding::Good("none is needed for the software hypervisor".into());
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Finding::Bad(format!("this program's file is not known: {error}")),
    };
    let shown = Command::new("codesign")
        .args(["--display", "--entitlements", "-", "--xml"])
        .arg(&program)
        .output();
    match shown {
        Ok(shown) if String::from_utf8_lossy(&shown.stdout).contains(ENTITLEMENT) => {
            Finding::Good(ENTITLEMENT.into())
        }
        _ => Finding::Bad(format!(
            "{ENTITLEMENT} is missing; codesign --force --sign - --entitlements cli/kiln.entitlements {}",
            program.display()
        )),
    }
}

fn limits() -> Finding {
    match Host::query() {
        Ok(Host { vcpus, ipa_bits, .. }) => Finding::Good(format!(
            "up to {vcpus} vCPUs and {ipa_bits} bits of guest-physical address"
        )),
        Err(error) => Finding::Bad(error.to_string()),
    }
}

fn kernel() -> Finding {
    found(guest_files::kernel)
}

fn agent() -> Finding {
    found(guest_files::initramfs)
}

fn found(find: fn(&Home) -> anyhow::Result<std::path::PathBuf>) -> Finding {
    match Home::open().and_then(|home| find(&home)) {
        Ok(path) => Finding::Good(path.display().to_string()),
        Err(error) => Finding::Bad(format!("{error:#}")),
    }
}

fn memory() -> Finding {
    /// A machine of the default size, and room for the rest of the host.
    const ENOUGH: u64 = 2 * vmm::DEFAULT_MEMORY;
    match Host::query() {
        Ok(Host { memory, .. }) if memory >= ENOUGH => Finding::Good(text::memory(memory)),
        Ok(Host { memory, .. }) => Finding::Bad(format!(
            "{} are little; give machines less with --memory",
            text::memory(memory)
        )),
        Err(error) => Finding::Bad(error.to_string()),
    }
}

fn cores() -> Finding {
    match std::thread::available_parallelism().map(NonZero::get) {
        Ok(1) => Finding::Good("1: machines with several vCPUs share it".into()),
        Ok(count) => Finding::Good(count.to_string()),
        Err(error) => Finding::Bad(format!("not known: {error}")),
    }
}

fn life() -> Finding {
    match vmm::proof_of_life() {
        Ok(()) => Finding::Good(
            "a 64 MiB virtual machine ran one HVC and was seen to exit with it".into(),
        ),
        Err(error) => Finding::Bad(error.to_string()),
    }
}
