//! FPCR as the arithmetic sees it, and the FPSR flags that it raises (DDI 0487, C5.2.8 and C5.2.9).

/// FPSR.IOC: Invalid Operation.
pub(crate) const IOC: u32 = 1 << 0;
/// FPSR.DZC: Divide by Zero.
pub(crate) const DZC: u32 = 1 << 1;
/// FPSR.OFC: Overflow.
pub(crate) const OFC: u32 = 1 << 2;
/// FPSR.UFC: Underflow.
pub(crate) const UFC: u32 = 1 << 3;
/// FPSR.IXC: Inexact.
pub(crate) const IXC: u32 = 1 << 4;
/// FPSR.IDC: Input Denormal.
pub(crate) const IDC: u32 = 1 << 7;
/// FPSR.QC: an AdvSIMD integer operation saturated.
pub(crate) const QC: u64 = 1 << 27;

/// FPCR.RMode, bits 23:22.
pub(crate) const FPCR_RMODE: u32 = 3 << 22;
/// FPCR.FZ: flush denormal operands and results to zero.
pub(crate) const FPCR_FZ: u32 = 1 << 24;
/// FPCR.DN: every NaN result is the default NaN.
const FPCR_DN: u32 = 1 << 25;
/// FPCR.AHP: half precision is the alternative format, which has neither infinities nor NaNs.
const FPCR_AHP: u32 = 1 << 26;

/// A rounding mode (`FPRounding` of the pseudocode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To nearest, ties to even.
    TieEven,
    /// Towards plus infinity.
    PosInf,
    /// Towards minus infinity.
    NegInf,
    /// Towards zero.
    Zero,
    /// To nearest, ties away from zero: conversions to integer only.
    TieAway,
    /// Von Neumann rounding, used by FCVTXN.
    Odd,
}

impl Rounding {
    /// Decodes the two-bit field of FPCR.RMode and of the FCVT* and FRINT* encodings.
    #[inline]
    pub(crate) fn from_rmode(rmode: u32) -> Rounding {
        match rmode & 3 {
            0 => Rounding::TieEven,
            1 => Rounding::PosInf,
            2 => Rounding::NegInf,
            _ => Rounding::Zero,
        }
    }
}

/// Controls of one operation and the exceptions that it has raised so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env {
    /// Rounding mode of FPCR.RMode.
    pub(crate) rounding: Rounding,
    /// FPCR.FZ.
    pub(crate) fz: bool,
    /// FPCR.DN.
    pub(crate) dn: bool,
    /// FPCR.AHP.
    pub(crate) ahp: bool,
    /// FPSR bits raised: to be ORed into FPSR.
    pub(crate) flags: u32,
}

impl Env {
    /// The environment that an FPCR value selects, no exception raised.
    #[inline]
    pub(crate) fn new(fpcr: u32) -> Env {
        Env {
            rounding: Rounding::from_rmode(fpcr >> 22),
            fz: fpcr & FPCR_FZ != 0,
            dn: fpcr & FPCR_DN != 0,
            ahp: fpcr & FPCR_AHP != 0,
            flags: 0,
        }
    }

    /// Records an exception (`FPProcessException`, none is trapped).
    #[inline]
    pub(super) fn raise(&mut self, flags: u32) {
        self.flags |= flags;
    }
}
