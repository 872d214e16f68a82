//! Every interleaving, and every reordering that a weakly ordered host allows, of the handshakes between
//! threads: the crate's own sources over loom's primitives.
//!
//! x86 hosts cannot show what these check.

/// What `src/sync.rs` names, by the model checker.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
    pub(crate) use loom::thread::{Thread, park};
}

#[path = "../src/cpu/exit_request.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of the crate")]
mod exit_request;
#[path = "../src/cpu/lines.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of the crate")]
mod lines;
#[path = "../src/gic/port.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of the crate")]
mod port;

/// The names that the sources use.
mod cpu {
    pub(crate) use crate::lines;
}

use exit_request::ExitRequest;
use lines::{EXIT_REQUEST, FIQ, IRQ, Lines, MAINTENANCE, Maintenance};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use port::{InterruptPort, Source};

fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// WFI ends when the interrupt controller asserts a line, whenever that is. A lost wake-up would be a
/// deadlock, which the model checker reports.
#[test]
fn wfi_wakes_when_a_line_rises() {
    check(4, || {
        let lines = Arc::new(Lines::default());
        let port = InterruptPort::new(lines.clone(), thread::current());
        let driver = port.clone();
        thread::spawn(move || driver.drive(Source::Gic, IRQ));
        port.wait();
        assert_eq!(lines.attention() & IRQ, IRQ);
    });
}

/// Two sources drive the lines at once: a line is high while one of them drives it.
#[test]
fn two_sources_of_a_line_do_not_disturb_each_other() {
    check(4, || {
        let lines = Arc::new(Lines::default());
        // loom lets `unpark` end a `join`, so the one who joins is not the one who is unparked.
        let sleeper = thread::spawn(|| {});
        let port = InterruptPort::new(lines.clone(), sleeper.thread().clone());
        port.drive(Source::Host, IRQ);
        let driver = port.clone();
        let gic = thread::spawn(move || driver.drive(Source::Gic, IRQ | FIQ));
        port.drive(Source::Host, 0);
        gic.join().expect("no panic");
        assert_eq!(lines.attention() & (IRQ | FIQ), IRQ | FIQ);
    });
}

/// The loop of `hv_vcpu_run`: it looks for a request, runs, and when the core leaves it acknowledges and
/// looks again. A request at any time ends the run, and is reported once.
#[test]
fn an_exit_request_is_never_lost() {
    check(4, || {
        let lines = Arc::new(Lines::default());
        let request = Arc::new(ExitRequest::new(lines.clone(), thread::current()));
        let port = InterruptPort::new(lines.clone(), thread::current());
        let requester = request.clone();
        thread::spawn(move || requester.request());
        // One run: ends only when the request has been taken.
        while !request.take() {
            // The core, or WFI: leaves when the attention word says so.
            port.wait();
            assert_eq!(lines.attention() & EXIT_REQUEST, EXIT_REQUEST);
            request.acknowledge();
        }
        assert!(!request.take(), "reported once");
    });
}

/// A host thread takes memory away while a vCPU enters, uses a cached translation and leaves. When the
/// wait is over, the vCPU cannot touch the memory any more: the cell reports any overlap.
#[test]
fn unmapped_memory_is_not_touched() {
    check(4, || {
        let lines = Arc::new(Lines::default());
        let memory = Arc::new(UnsafeCell::new(0u32));
        let (target, page) = (lines.clone(), memory.clone());
        let vcpu = thread::spawn(move || {
            let mut cached = true;
            for _ in 0..2 {
                target.set_running(true);
                if target.attention() & MAINTENANCE != 0 {
                    let (operations, ticket) = target.collect();
                    cached &= !operations.contains(&Maintenance::RemappedAll);
                    target.finish(ticket);
                }
                if cached {
                    page.with(|_| ());
                }
                target.set_running(false);
            }
        });
        let ticket = lines.post(Maintenance::RemappedAll);
        while !lines.acknowledged(ticket) {
            thread::yield_now();
        }
        // The host reuses the memory.
        memory.with_mut(|_| ());
        vcpu.join().expect("no panic");
    });
}

/// Two vCPUs invalidate each other's translations and wait (DSB), each serving the other meanwhile.
#[test]
fn two_vcpus_that_wait_for_each_other_both_go_on() {
    check(2, || {
        let both = [Arc::new(Lines::default()), Arc::new(Lines::default())];
        let run = |own: Arc<Lines>, other: Arc<Lines>| {
            own.set_running(true);
            let ticket = other.post(Maintenance::TlbAll);
            while !other.acknowledged(ticket) {
                if own.attention() & MAINTENANCE != 0 {
                    let (_, ticket) = own.collect();
                    own.finish(ticket);
                }
                thread::yield_now();
            }
            own.set_running(false);
        };
        let [first, second] = both.clone();
        let vcpu = thread::spawn(move || run(second, first));
        let [first, second] = both;
        run(first, second);
        vcpu.join().expect("no panic");
    });
}
