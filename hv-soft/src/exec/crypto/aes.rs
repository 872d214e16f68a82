//! AESE, AESD, AESMC, AESIMC (FIPS 197).
//!
//! Byte `n` of a register is the state's row `n % 4`, column `n / 4`.

use crate::cpu::Cpu;
use crate::exec::simd::lanes::{set_v, v};
use crate::insn::{Flow, Insn};

/// Doubling in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
const fn double(x: u8) -> u8 {
    x << 1 ^ if x & 0x80 != 0 { 0x1b } else { 0 }
}

const fn product(mut a: u8, mut b: u8) -> u8 {
    let mut r = 0;
    while b != 0 {
        if b & 1 != 0 {
            r ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    r
}

/// The S-box: inverse in GF(2^8), then the affine map (FIPS 197, 5.1.1).
const SBOX_TABLE: [u8; 256] = {
    let mut table = [0x63; 256];
    let mut x = 1usize;
    while x < 256 {
        let mut y = 1usize;
        while product(x as u8, y as u8) != 1 {
            y += 1;
        }
        let inverse = y as u8;
        table[x] = 0x63
            ^ inverse
            ^ inverse.rotate_left(1)
            ^ inverse.rotate_left(2)
            ^ inverse.rotate_left(3)
            ^ inverse.rotate_left(4);
        x += 1;
    }
    table
};

static SBOX: [u8; 256] = SBOX_TABLE;

static INVERSE_SBOX: [u8; 256] = {
    let mut table = [0; 256];
    let mut x = 0;
    while x < 256 {
        table[SBOX_TABLE[x] as usize] = x as u8;
        x += 1;
    }
    table
};

/// A step of the cipher: with the host's instruction where it has one.
macro_rules! step {
    ($step:ident, $state:expr) => {{
        let state = $state;
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("aes") {
            // SAFETY: the host has the instructions.
            return unsafe { host::$step(state) };
        }
        portable::$step(state)
    }};
}

/// ShiftRows and SubBytes.
#[inline]
fn encrypt(state: u128) -> u128 {
    step!(encrypt, state)
}

/// InvShiftRows and InvSubBytes.
#[inline]
fn decrypt(state: u128) -> u128 {
    step!(decrypt, state)
}

/// MixColumns.
#[inline]
fn mix_columns(state: u128) -> u128 {
    step!(mix_columns, state)
}

/// InvMixColumns.
#[inline]
fn inverse_mix_columns(state: u128) -> u128 {
    step!(inverse_mix_columns, state)
}

/// AESE: AddRoundKey, ShiftRows, SubBytes.
pub(crate) fn aese(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = encrypt(v(cpu, i.rd) ^ v(cpu, i.rn));
    set_v(cpu, i.rd, r);
    Flow::Next
}

/// AESD: AddRoundKey, InvShiftRows, InvSubBytes.
pub(crate) fn aesd(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = decrypt(v(cpu, i.rd) ^ v(cpu, i.rn));
    set_v(cpu, i.rd, r);
    Flow::Next
}

/// AESMC: MixColumns.
pub(crate) fn aesmc(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = mix_columns(v(cpu, i.rn));
    set_v(cpu, i.rd, r);
    Flow::Next
}

/// AESIMC: InvMixColumns.
pub(crate) fn aesimc(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = inverse_mix_columns(v(cpu, i.rn));
    set_v(cpu, i.rd, r);
    Flow::Next
}

/// The steps by table and arithmetic.
mod portable {
    use super::{INVERSE_SBOX, SBOX};

    /// ShiftRows and SubBytes.
    #[inline]
    pub(super) fn encrypt(state: u128) -> u128 {
        let bytes = state.to_le_bytes();
        // Row r moves left by r columns.
        u128::from_le_bytes(core::array::from_fn(|n| {
            SBOX[usize::from(bytes[(n + n % 4 * 4) % 16])]
        }))
    }

    /// InvShiftRows and InvSubBytes.
    #[inline]
    pub(super) fn decrypt(state: u128) -> u128 {
        let bytes = state.to_le_bytes();
        let from = |n: usize| (n + 16 - n % 4 * 4) % 16;
        u128::from_le_bytes(core::array::from_fn(|n| INVERSE_SBOX[usize::from(bytes[from(n)])]))
    }

    /// Doubles every byte in GF(2^8).
    #[inline]
    fn double_bytes(state: u128) -> u128 {
        const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
        let high = state >> 7 & ONES;
        ((state & !(ONES << 7)) << 1) ^ (high * 0x1b)
    }

    /// Rotates every column by `rows` rows.
    #[inline]
    fn rotate_columns(state: u128, rows: u32) -> u128 {
        let rotate = |column: u32| (state >> (32 * column)) as u32;
        (0..4).fold(0, |r, c| r | u128::from(rotate(c).rotate_right(8 * rows)) << (32 * c))
    }

    /// MixColumns: `2a + 3b + c + d` for the rows a, b, c, d below one another.
    #[inline]
    pub(super) fn mix_columns(state: u128) -> u128 {
        let double = double_bytes(state);
        let triple = double ^ state;
        double ^ rotate_columns(triple, 1) ^ rotate_columns(state, 2) ^ rotate_columns(state, 3)
    }

    /// InvMixColumns: `14a + 11b + 13c + 9d`.
    #[inline]
    pub(super) fn inverse_mix_columns(state: u128) -> u128 {
        let two = double_bytes(state);
        let four = double_bytes(two);
        let eight = double_bytes(four);
        (eight ^ four ^ two)
            ^ rotate_columns(eight ^ two ^ state, 1)
            ^ rotate_columns(eight ^ four ^ state, 2)
            ^ rotate_columns(eight ^ state, 3)
    }
}

/// The steps by the host's AES instructions, whose rounds have the same parts in another order.
#[cfg(target_arch = "x86_64")]
mod host {
    use core::arch::x86_64::{
        __m128i, _mm_aesdeclast_si128, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aesimc_si128,
        _mm_setzero_si128,
    };

    #[inline(always)]
    fn to_host(state: u128) -> __m128i {
        // SAFETY: both are 16 bytes of plain integers, any pattern is valid.
        unsafe { core::mem::transmute::<u128, __m128i>(state) }
    }

    #[inline(always)]
    fn from_host(state: __m128i) -> u128 {
        // SAFETY: both are 16 bytes of plain integers, any pattern is valid.
        unsafe { core::mem::transmute::<__m128i, u128>(state) }
    }

    #[target_feature(enable = "aes")]
    pub(super) fn encrypt(state: u128) -> u128 {
        from_host(_mm_aesenclast_si128(to_host(state), _mm_setzero_si128()))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn decrypt(state: u128) -> u128 {
        from_host(_mm_aesdeclast_si128(to_host(state), _mm_setzero_si128()))
    }

    /// The inverse of all that a round does before it mixes, then the round.
    #[target_feature(enable = "aes")]
    pub(super) fn mix_columns(state: u128) -> u128 {
        let before = _mm_aesdeclast_si128(to_host(state), _mm_setzero_si128());
        from_host(_mm_aesenc_si128(before, _mm_setzero_si128()))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn inverse_mix_columns(state: u128) -> u128 {
        from_host(_mm_aesimc_si128(to_host(state)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sbox_entries_of_fips_197() {
        assert_eq!([SBOX[0x00], SBOX[0x53], SBOX[0xff]], [0x63, 0xed, 0x16]);
        assert_eq!([INVERSE_SBOX[0x63], INVERSE_SBOX[0xed]], [0x00, 0x53]);
    }

    /// FIPS 197, appendix B, round 1.
    #[test]
    fn first_round_of_the_example() {
        let state = u128::from_le_bytes(0x193de3be_a0f4e22b_9ac68d2a_e9f84808u128.to_be_bytes());
        let shifted = u128::from_le_bytes(0xd4bf5d30_e0b452ae_b84111f1_1e2798e5u128.to_be_bytes());
        let mixed = u128::from_le_bytes(0x046681e5_e0cb199a_48f8d37a_2806264cu128.to_be_bytes());
        assert_eq!((encrypt(state), portable::encrypt(state)), (shifted, shifted));
        assert_eq!((mix_columns(shifted), portable::mix_columns(shifted)), (mixed, mixed));
        let unmixed = (inverse_mix_columns(mixed), portable::inverse_mix_columns(mixed));
        assert_eq!(unmixed, (shifted, shifted));
        assert_eq!((decrypt(shifted), portable::decrypt(shifted)), (state, state));
    }
}
