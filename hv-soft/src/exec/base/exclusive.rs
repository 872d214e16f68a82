//! Load-exclusive, store-exclusive, load-acquire and store-release (Arm ARM B2.9, C6.2).
//!
//! A store-exclusive succeeds if memory still holds what the load-exclusive read: a compare-exchange.
//! A store of another PE that leaves the same value goes unnoticed, which no guest can tell from its
//! having come before the load.
//!
//! Order: a store-release is followed by a full barrier, so that STLR before LDAR holds on any host.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use super::atomic::compare_exchange_128;
use crate::cpu::{Cpu, Monitor};
use crate::decode::base::BaseOp::{self, *};
use crate::exec::thread::{Threaded, thread};
use crate::insn::{Flow, Insn};
use crate::mem::GuestInt;
use crate::mmu::Access;

pub(super) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    macro_rules! by_width {
        ($handler:ident) => {
            match insn.aux {
                0 => thread($handler::<u8>),
                1 => thread($handler::<u16>),
                2 => thread($handler::<u32>),
                _ => thread($handler::<u64>),
            }
        };
    }
    match op {
        LoadExclusive => by_width!(load_exclusive),
        StoreExclusive => by_width!(store_exclusive),
        // LDAPR may be as strong as LDAR.
        LoadAcquire | LoadAcquirePc => by_width!(load_acquire),
        StoreRelease => by_width!(store_release),
        LoadExclusivePair if insn.aux == 2 => thread(load_exclusive_pair::<u32>),
        LoadExclusivePair => thread(load_exclusive_pair::<u64>),
        StoreExclusivePair if insn.aux == 2 => thread(store_exclusive_pair::<u32>),
        _ => thread(store_exclusive_pair::<u64>),
    }
}

/// An integer with atomic operations on guest memory.
pub(super) trait Atomic: GuestInt {
    fn widen(self) -> u64;

    /// Atomically stores `new` if memory holds `old`; returns what it held.
    ///
    /// # Safety
    /// `host` lies in guest memory, is naturally aligned, and valid for reads and writes.
    unsafe fn compare_exchange(host: *mut u8, old: Self, new: Self) -> Result<Self, Self>;

    /// Atomically replaces the value by what `update` gives; returns the old one.
    ///
    /// # Safety
    /// As for [`compare_exchange`](Atomic::compare_exchange).
    unsafe fn update(host: *mut u8, update: impl Fn(Self) -> Self) -> Self;

    /// Sequentially consistent load.
    ///
    /// # Safety
    /// `host` lies in guest memory, is naturally aligned, and valid for reads.
    unsafe fn load(host: *const u8) -> Self;
}

macro_rules! atomic {
    ($($t:ty, $a:ty);*) => {$(
        impl Atomic for $t {
            fn widen(self) -> u64 {
                self.into()
            }

            unsafe fn compare_exchange(host: *mut u8, old: $t, new: $t) -> Result<$t, $t> {
                // SAFETY: aligned and valid by the caller's contract.
                let cell = unsafe { &*host.cast::<$a>() };
                cell.compare_exchange(old.to_le(), new.to_le(), Ordering::SeqCst, Ordering::SeqCst)
                    .map(<$t>::from_le)
                    .map_err(<$t>::from_le)
            }

            #[inline(always)]
            unsafe fn update(host: *mut u8, update: impl Fn($t) -> $t) -> $t {
                // SAFETY: aligned and valid by the caller's contract.
                let cell = unsafe { &*host.cast::<$a>() };
                let mut old = cell.load(Ordering::Relaxed);
                loop {
                    let new = update(<$t>::from_le(old)).to_le();
                    match cell.compare_exchange_weak(old, new, Ordering::SeqCst, Ordering::Relaxed) {
                        Ok(_) => return <$t>::from_le(old),
                        Err(seen) => old = seen,
                    }
                }
            }

            unsafe fn load(host: *const u8) -> $t {
                // SAFETY: aligned and valid by the caller's contract.
                <$t>::from_le(unsafe { (*host.cast::<$a>()).load(Ordering::SeqCst) })
            }
        }
    )*};
}
atomic!(u8, AtomicU8; u16, AtomicU16; u32, AtomicU32; u64, AtomicU64);

fn load_exclusive<T: Atomic>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.read_ptr(va, T::SIZE)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    // SAFETY: `read_ptr` returned aligned guest memory, valid for reads of `SIZE` bytes.
    let value = unsafe { T::load(host) }.widen();
    cpu.monitor = Some(Monitor { host: host as usize, size: T::SIZE, value: value.into() });
    cpu.set_x(i.rd, value);
    Flow::Next
}

fn load_exclusive_pair<T: Atomic>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.read_ptr(va, 2 * T::SIZE)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    let (first, second) = if T::SIZE == 4 {
        // SAFETY: `read_ptr` returned guest memory aligned to both elements and valid for reads.
        let both = unsafe { <u64 as Atomic>::load(host) };
        (both & 0xffff_ffff, both >> 32)
    } else {
        // SAFETY: as above.
        unsafe { (<u64 as Atomic>::load(host), <u64 as Atomic>::load(host.add(8))) }
    };
    // The store-exclusive compares both elements, so one that changed in between fails it: the pair
    // is single-copy atomic only once that has succeeded (Arm ARM B2.2.1).
    let value = u128::from(first) | u128::from(second) << (8 * T::SIZE);
    cpu.monitor = Some(Monitor { host: host as usize, size: 2 * T::SIZE, value });
    cpu.set_x(i.rd, first);
    cpu.set_x(i.ra, second);
    Flow::Next
}

/// Takes the monitor if it covers the address; `None` fails the store.
fn claim(cpu: &mut Cpu, host: *mut u8, size: u64) -> Option<u128> {
    let monitor = cpu.monitor.take()?;
    (monitor.host == host as usize && monitor.size == size).then_some(monitor.value)
}

fn store_exclusive<T: Atomic>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.write_ptr(va, T::SIZE)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    let new = T::from_u64(cpu.x(i.rd));
    let stored = claim(cpu, host, T::SIZE).is_some_and(|old| {
        // SAFETY: `write_ptr` returned aligned guest memory, valid for writes, and the monitor shows
        // that the same memory was read.
        unsafe { T::compare_exchange(host, T::from_u64(old as u64), new) }.is_ok()
    });
    cpu.set_x(i.rm, u64::from(!stored));
    Flow::Next
}

fn store_exclusive_pair<T: Atomic>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.write_ptr(va, 2 * T::SIZE)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    let (first, second) = (cpu.x(i.rd), cpu.x(i.ra));
    let stored = claim(cpu, host, 2 * T::SIZE).is_some_and(|old| {
        if T::SIZE == 4 {
            let new = first & 0xffff_ffff | second << 32;
            // SAFETY: as in `store_exclusive`.
            unsafe { u64::compare_exchange(host, old as u64, new) }.is_ok()
        } else {
            let new = u128::from(first) | u128::from(second) << 64;
            // SAFETY: as in `store_exclusive`.
            unsafe { compare_exchange_128(host, old, new) }.is_ok()
        }
    });
    cpu.set_x(i.rm, u64::from(!stored));
    Flow::Next
}

fn load_acquire<T: Atomic>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = cpu.base(i.rn).and_then(|va| cpu.load::<T>(va, Access::Aligned));
    match value {
        Ok(value) => {
            fence(Ordering::Acquire);
            cpu.set_x(i.rd, value.widen());
            Flow::Next
        }
        Err(flow) => flow,
    }
}

fn store_release<T: Atomic>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = T::from_u64(cpu.x(i.rd));
    fence(Ordering::Release);
    match cpu.base(i.rn).and_then(|va| cpu.store::<T>(va, value, Access::Aligned)) {
        Ok(()) => {
            // A later load-acquire must not be seen before this store.
            fence(Ordering::SeqCst);
            Flow::Next
        }
        Err(flow) => flow,
    }
}
