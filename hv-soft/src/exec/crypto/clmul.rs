//! Carry-less product of two 64-bit polynomials over GF(2).

/// The 127-bit product, with the host's instruction where it has one.
#[inline]
pub(crate) fn clmul(a: u64, b: u64) -> u128 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("pclmulqdq") {
        // SAFETY: the host has the instruction.
        return unsafe { host(a, b) };
    }
    portable(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "pclmulqdq")]
fn host(a: u64, b: u64) -> u128 {
    use core::arch::x86_64::{__m128i, _mm_clmulepi64_si128, _mm_set_epi64x};
    let r = _mm_clmulepi64_si128(_mm_set_epi64x(0, a as i64), _mm_set_epi64x(0, b as i64), 0);
    // SAFETY: both are 16 bytes of plain integers, any pattern is valid.
    unsafe { core::mem::transmute::<__m128i, u128>(r) }
}

fn portable(a: u64, b: u64) -> u128 {
    (0..64).fold(0, |r, bit| if b >> bit & 1 != 0 { r ^ u128::from(a) << bit } else { r })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_products() {
        // (x + 1)^2 = x^2 + 1; x^63 * x^63 = x^126.
        for f in [clmul, portable] {
            assert_eq!(f(3, 3), 5);
            assert_eq!(f(1 << 63, 1 << 63), 1 << 126);
        }
    }

    #[test]
    fn host_and_portable_agree() {
        let mut x = 0x0123_4567_89ab_cdef_u64;
        for _ in 0..1000 {
            x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let y = x.rotate_left(23) ^ 0xdead_beef;
            assert_eq!(clmul(x, y), portable(x, y));
        }
    }
}
