//! Where the oracle (QEMU 7.2) differs from the Arm pseudocode or makes another of the choices that it allows. Each
//! rule accepts exactly what the pseudocode says, and the report counts how often it was needed.

use crate::compare::Fault;
use crate::layout::Record;

/// What the oracle should have left, or that ours is right as it is.
pub(crate) enum Ruling {
    /// Compare with the corrected record.
    Corrected(Box<Record>),
    /// Nothing is left to compare.
    Accepted,
}

/// The ruling for this word, if one applies, and the name under which it is counted.
pub(crate) fn ruling(
    word: u32,
    before: &Record,
    theirs: &Record,
    ours: &Record,
    expected: Fault,
    fault: Fault,
) -> Option<(&'static str, Ruling)> {
    let rs = (word >> 16 & 31) as usize;
    let rn = (word >> 5 & 31) as usize;
    let base = if rn == 31 { before.sp } else { before.x[rn] };
    // `AArch64.ExclusiveMonitorsPass`: "It is IMPLEMENTATION DEFINED whether the detection of memory aborts happens
    // before or after the check on the local Exclusives monitor." The oracle checks the monitor first.
    if word & 0x3fc0_0000 == 0x0800_0000
        && (word >> 21 & 1 == 0 || word >> 31 == 1)
        && expected == Fault::None
        && matches!(fault, Fault::Translation | Fault::Permission | Fault::Alignment)
        && (rs == 31 || theirs.x[rs] == 1)
    {
        return Some(("a store-exclusive that fails may abort", Ruling::Accepted));
    }
    // `AArch64.CheckAlignment`: an access of AccType_ORDERED, as LDAPR makes, is checked without FEAT_LSE2. The oracle
    // leaves LDAPR out.
    if word & 0x3fff_fc00 == 0x38bf_c000
        && base & ((1 << (word >> 30)) - 1) != 0
        && fault == Fault::Alignment
    {
        return Some(("LDAPR checks alignment", Ruling::Accepted));
    }
    // "Advanced SIMD across lanes" and "scalar pairwise" (C4.1.96): half precision has U and size<0> clear. The oracle
    // does not look at size<0>.
    if (word & 0xbf7e_0c00 == 0x0e70_0800 || word & 0xff7e_0c00 == 0x5e70_0800)
        && matches!(word >> 12 & 31, 0b01100 | 0b01101 | 0b01111)
        && fault == Fault::Undefined
    {
        return Some((
            "half-precision reductions of another size are unallocated",
            Ruling::Accepted,
        ));
    }
    // "Advanced SIMD modified immediate": FMOV of half precision has op clear. The oracle does not look at op.
    if word & 0xbff8_fc00 == 0x2f00_fc00 && fault == Fault::Undefined {
        return Some((
            "FMOV (immediate) of half precision with op set is unallocated",
            Ruling::Accepted,
        ));
    }
    // CASP: `X[s+1, 64]` with s = 30 is X[31], which is not written. The oracle writes SP.
    if word & 0xbfa0_7c00 == 0x0820_7c00 && rs == 30 && fault == Fault::None {
        let mut corrected = Box::new(theirs.clone());
        corrected.sp = before.sp;
        return Some(("CASP of X30 and XZR leaves SP alone", Ruling::Corrected(corrected)));
    }
    // FAR_EL1 (D17.2.40): after a fault of a DC instruction it "holds the address specified in the register argument".
    // The oracle reports the block's base, and a program counter some instructions back.
    if word & 0xffff_ffe0 == 0xd50b_7420 && fault != Fault::None {
        let mut corrected = Box::new(theirs.clone());
        let rt = (word & 31) as usize;
        let address = before.x.get(rt).copied().unwrap_or(0);
        corrected.code[0] = address as u32;
        corrected.code[1] = (address >> 32) as u32;
        corrected.code[2..4].copy_from_slice(&ours.code[2..4]);
        return Some(("DC ZVA faults at its operand", Ruling::Corrected(corrected)));
    }
    None
}
