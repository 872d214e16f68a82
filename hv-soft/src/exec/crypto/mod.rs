//! Cryptographic extensions: AES, PMULL, SHA-1, SHA-256.

mod aes;
mod clmul;
mod sha1;
mod sha256;

pub(crate) use aes::{aesd, aese, aesimc, aesmc};
pub(crate) use clmul::clmul;
pub(crate) use sha1::{sha1c, sha1h, sha1m, sha1p, sha1su0, sha1su1};
pub(crate) use sha256::{sha256h, sha256h2, sha256su0, sha256su1};
