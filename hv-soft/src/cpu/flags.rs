//! The condition flags, kept in the form in which arithmetic leaves them.

use crate::cpu::Cpu;

/// NZCV, evaluated when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// N is the sign of this.
    pub(crate) n: u64,
    /// Z is whether this is zero.
    pub(crate) z: u64,
    /// C.
    pub(crate) c: bool,
    /// V.
    pub(crate) v: bool,
}

impl Cpu {
    /// N, Z, C and V as bits 3 to 0.
    pub fn nzcv(&self) -> u8 {
        let f = &self.flags;
        ((f.n >> 63) as u8) << 3 | u8::from(f.z == 0) << 2 | u8::from(f.c) << 1 | u8::from(f.v)
    }

    /// Sets N, Z, C and V from bits 3 to 0.
    pub fn set_nzcv(&mut self, nzcv: u8) {
        self.flags = Flags {
            n: u64::from(nzcv) << 60,
            z: u64::from(nzcv >> 2 & 1 ^ 1),
            c: nzcv >> 1 & 1 != 0,
            v: nzcv & 1 != 0,
        };
    }

    /// Whether a condition holds (Arm ARM C1.2.4).
    #[inline(always)]
    pub fn cond(&self, condition: u8) -> bool {
        let f = &self.flags;
        let negative = f.n >> 63 != 0;
        match condition & 15 {
            0 => f.z == 0,
            1 => f.z != 0,
            2 => f.c,
            3 => !f.c,
            4 => negative,
            5 => !negative,
            6 => f.v,
            7 => !f.v,
            8 => f.c && f.z != 0,
            9 => !(f.c && f.z != 0),
            10 => negative == f.v,
            11 => negative != f.v,
            12 => negative == f.v && f.z != 0,
            13 => !(negative == f.v && f.z != 0),
            _ => true,
        }
    }
}
