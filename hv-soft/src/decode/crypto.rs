//! AES, SHA-1 and SHA-256 (Arm ARM C4.1.96, "Cryptographic AES", "… three-register SHA",
//! "… two-register SHA").

use super::Pattern;
use super::simd::SimdOp::*;
use super::simd::{SimdOp, aux, with_registers};
use crate::insn::Insn;

/// All classes of this file.
pub(super) static GROUPS: [&[Pattern]; 1] = [CRYPTO];

fn plain(word: u32, op: SimdOp) -> Option<Insn> {
    Some(with_registers(word, op, aux::WIDTH_128, 0))
}

static CRYPTO: &[Pattern] = &[
    Pattern::new("aese", "01001110 00101000 010010nn nnnddddd", |w| plain(w, Aese)),
    Pattern::new("aesd", "01001110 00101000 010110nn nnnddddd", |w| plain(w, Aesd)),
    Pattern::new("aesmc", "01001110 00101000 011010nn nnnddddd", |w| plain(w, Aesmc)),
    Pattern::new("aesimc", "01001110 00101000 011110nn nnnddddd", |w| plain(w, Aesimc)),
    Pattern::new("sha1c", "01011110 000mmmmm 000000nn nnnddddd", |w| plain(w, Sha1c)),
    Pattern::new("sha1p", "01011110 000mmmmm 000100nn nnnddddd", |w| plain(w, Sha1p)),
    Pattern::new("sha1m", "01011110 000mmmmm 001000nn nnnddddd", |w| plain(w, Sha1m)),
    Pattern::new("sha1su0", "01011110 000mmmmm 001100nn nnnddddd", |w| plain(w, Sha1su0)),
    Pattern::new("sha256h", "01011110 000mmmmm 010000nn nnnddddd", |w| plain(w, Sha256h)),
    Pattern::new("sha256h2", "01011110 000mmmmm 010100nn nnnddddd", |w| plain(w, Sha256h2)),
    Pattern::new("sha256su1", "01011110 000mmmmm 011000nn nnnddddd", |w| plain(w, Sha256su1)),
    Pattern::new("sha1h", "01011110 00101000 000010nn nnnddddd", |w| plain(w, Sha1h)),
    Pattern::new("sha1su1", "01011110 00101000 000110nn nnnddddd", |w| plain(w, Sha1su1)),
    Pattern::new("sha256su0", "01011110 00101000 001010nn nnnddddd", |w| plain(w, Sha256su0)),
];
