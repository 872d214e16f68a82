//! The primitives of the handshakes between threads, named once, so that a test can put a model
//! checker's in their place (`tests/handshakes.rs`).

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
pub(crate) use std::thread::{Thread, park};
