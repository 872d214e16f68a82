//! What must agree between the two output records of an instance.

use std::fmt::Write;

use crate::classes::{Class, Form, exceptions};
use crate::deviations::{self, Ruling};
use crate::instance::{FPCR_MASK, FPSR_MASK, Instance};
use crate::layout::*;

/// The kind of a fault, as both sides can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    None,
    Undefined,
    Breakpoint,
    Translation,
    Permission,
    Alignment,
    /// A signal or exception that no instance should cause.
    Other(u64),
}

/// From signal number and code (Linux `siginfo_t`).
pub(crate) fn oracle_fault(raw: u64) -> Fault {
    match (raw >> 32, raw as u32) {
        (0, _) => Fault::None,
        (4, _) => Fault::Undefined,
        (5, _) => Fault::Breakpoint,
        (11, 1) => Fault::Translation,
        (11, 2) => Fault::Permission,
        (7, 1) => Fault::Alignment,
        _ => Fault::Other(raw),
    }
}

/// From ESR_EL1 (DDI 0487, D17.2.37): exception class and fault status code.
pub(crate) fn soft_fault(esr: u64) -> Fault {
    match (esr >> 26, esr & 0x3f) {
        (0x00, _) if esr == 0 => Fault::None,
        (0x00 | 0x18, _) => Fault::Undefined,
        (0x3c, _) => Fault::Breakpoint,
        (0x20 | 0x24, 0x04..=0x07) => Fault::Translation,
        (0x20 | 0x24, 0x0d..=0x0f) => Fault::Permission,
        (0x20 | 0x24, 0x21) | (0x22 | 0x26, _) => Fault::Alignment,
        _ => Fault::Other(esr),
    }
}

/// What became of one instance.
pub(crate) struct Outcome {
    pub fault: Fault,
    /// Differences, empty if there are none.
    pub differences: String,
    /// The deviation of the oracle that was taken into account.
    pub deviation: Option<&'static str>,
}

/// Compares the oracle's record with ours.
pub(crate) fn compare(
    class: &Class,
    instance: &Instance,
    before: &Record,
    theirs: &Record,
    ours: &Record,
) -> Outcome {
    let mut out = String::new();
    let fault = soft_fault(ours.flags);
    let mut expected = oracle_fault(theirs.flags);
    if let Some(extension) = exceptions::unpromised(instance.word) {
        if fault != Fault::Undefined {
            let _ = writeln!(out, "  {extension} is not promised, but: {fault:?}");
        }
        return Outcome { fault, differences: out, deviation: None };
    }
    // A fetch from a misaligned address: EC 0x22, which this version of the oracle reports as SIGBUS or SIGILL.
    if matches!(class.form, Form::BranchRegister) && fault == Fault::Alignment {
        expected = Fault::Alignment;
    }
    let (deviation, ruling) =
        match deviations::ruling(instance.word, before, theirs, ours, expected, fault) {
            Some((name, ruling)) => (Some(name), Some(ruling)),
            None => (None, None),
        };
    let theirs = match &ruling {
        Some(Ruling::Accepted) => return Outcome { fault, differences: out, deviation },
        Some(Ruling::Corrected(record)) => record,
        None => theirs,
    };
    if fault != expected {
        let _ = writeln!(
            out,
            "  fault: oracle {expected:?} (signal {:#x} at pc {:#x}), ours {fault:?} (ESR {:#x} at pc {:#x})",
            theirs.flags,
            theirs.fault_pc(),
            ours.flags,
            ours.fault_pc()
        );
        return Outcome { fault, differences: out, deviation };
    }
    if fault != Fault::None {
        differ(&mut out, "fault pc", theirs.fault_pc(), ours.fault_pc());
    }
    if matches!(fault, Fault::Translation | Fault::Permission) && !instance.may_tear {
        // The tag of a faulting address is not always reported.
        differ(
            &mut out,
            "fault address",
            theirs.fault_address() << 8 >> 8,
            ours.fault_address() << 8 >> 8,
        );
    }
    let torn = instance.may_tear && fault != Fault::None && fault != Fault::Undefined;
    let rt = (instance.word & 31) as usize;
    let rt2 = (instance.word >> 10 & 31) as usize;
    for i in 0..31 {
        if !(torn && (i == rt || i == rt2)) {
            differ(&mut out, &format!("x{i}"), theirs.x[i], ours.x[i]);
        }
    }
    differ(&mut out, "sp", theirs.sp, ours.sp);
    differ(&mut out, "nzcv", theirs.nzcv, ours.nzcv);
    differ(&mut out, "fpcr", theirs.fpcr & FPCR_MASK, ours.fpcr & FPCR_MASK);
    differ(&mut out, "fpsr", theirs.fpsr & FPSR_MASK, ours.fpsr & FPSR_MASK);
    for i in 0..32 {
        let destination = (i + 32 - rt) % 32 < 4 || i == rt2;
        if theirs.v[i] != ours.v[i] && !(torn && destination) {
            let _ = writeln!(out, "  v{i}: oracle {:#034x}, ours {:#034x}", theirs.v[i], ours.v[i]);
        }
    }
    // Memory after a store that faulted is UNKNOWN where the store would have gone.
    let faulted = !matches!(fault, Fault::None | Fault::Undefined);
    if before.flags & FLAG_WINDOW != 0 && !faulted && theirs.window != ours.window {
        let at = (0..WINDOW_SIZE).find(|i| theirs.window[*i] != ours.window[*i]).unwrap_or(0) & !7;
        let show = |window: &[u8]| {
            window[at..(at + 16).min(WINDOW_SIZE)]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        };
        let _ = writeln!(
            out,
            "  memory at {:#x}: oracle {}, ours {}",
            WINDOW_VA + at as u64,
            show(&theirs.window),
            show(&ours.window)
        );
    }
    Outcome { fault, differences: out, deviation }
}

fn differ(out: &mut String, name: &str, oracle: u64, ours: u64) {
    if oracle != ours {
        let _ = writeln!(out, "  {name}: oracle {oracle:#x}, ours {ours:#x}");
    }
}

/// The registers that a person wants to see beside the differences.
pub(crate) fn describe(instance: &Instance, before: &Record) -> String {
    let mut out = String::new();
    let word = instance.word;
    let _ = writeln!(
        out,
        "  before: nzcv {:#x} fpcr {:#x} fpsr {:#x} sp {:#x}; {}",
        before.nzcv,
        before.fpcr,
        before.fpsr,
        before.sp,
        disassemble(word)
    );
    let fields = [(0, "Rd/Rt"), (5, "Rn"), (16, "Rm/Rs"), (10, "Ra/Rt2")];
    for (low, role) in fields {
        let r = (word >> low & 31) as usize;
        let x = before.x.get(r).copied().unwrap_or(0);
        let _ = writeln!(out, "  {role} {r}: x {x:#x}, v {:#034x}", before.v[r]);
    }
    out
}

/// The instruction in text, by binutils; the word itself if there is no objdump.
fn disassemble(word: u32) -> String {
    let text = || {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("word-{}", std::process::id()));
        std::fs::write(&path, word.to_le_bytes()).ok()?;
        let output = std::process::Command::new("aarch64-linux-gnu-objdump")
            .args(["-D", "-b", "binary", "-m", "aarch64"])
            .arg(&path)
            .output()
            .ok()?;
        let _ = std::fs::remove_file(&path);
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.lines().last()?.split('\t').skip(2).collect::<Vec<_>>().join(" "))
    };
    text().unwrap_or_else(|| format!("{word:#010x}"))
}
