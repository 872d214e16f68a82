//! Interrupts: timers, software-generated, shared peripheral; waiting for them; forced exits.

use crate::machine::{Machine, Report, pass};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("timer_on_1", || pass("timer", 0, 1)),
    ("timer_on_2", || pass("timer", 0, 2)),
    ("timer_on_4", || pass("timer", 0, 4)),
    ("sgi_on_1", || pass("sgi", 100, 1)),
    ("sgi_on_2", || pass("sgi", 100, 2)),
    ("sgi_on_4", || pass("sgi", 50, 4)),
    ("spi_on_1", || peripheral(1)),
    ("spi_on_2", || peripheral(2)),
    ("spi_on_4", || peripheral(4)),
    ("wfi_and_exits", wait_and_exit),
    ("spinning_and_exits", spin_and_exit),
];

const LEVEL: u32 = 40;
const EDGE: u32 = 41;

/// A device on two lines, which answers what the guest asks for.
fn peripheral(count: u32) {
    const TIMES: u64 = 20;
    let machine = Machine::new("spi", TIMES);
    let vcpus: Vec<_> = (0..count).map(|index| machine.start(index, count)).collect();
    vcpus.iter().for_each(|vcpu| vcpu.go());
    let target = &vcpus[count as usize - 1];
    for n in 1..=TIMES {
        assert_eq!(target.event(), (1, n));
        machine.gic.set_spi(LEVEL, true).expect("an SPI");
        assert_eq!(target.event(), (2, n));
        machine.gic.set_spi(LEVEL, false).expect("an SPI");
        machine.set_shared(n);
        assert_eq!(target.event(), (3, n));
        machine.gic.set_spi(EDGE, true).expect("an SPI");
        machine.gic.set_spi(EDGE, false).expect("an SPI");
    }
    for vcpu in vcpus {
        assert_eq!(vcpu.finish(), TIMES);
    }
}

/// A vCPU that sleeps in WFI comes out when it is asked to, goes back to sleep, and wakes for an interrupt.
fn wait_and_exit() {
    let machine = Machine::new("wait", 0);
    let vcpu = machine.start(0, 1);
    vcpu.go();
    assert_eq!(vcpu.event(), (1, 0));
    for _ in 0..50 {
        vcpu.handle.exit().expect("a live vCPU");
        assert!(matches!(vcpu.reports.recv(), Ok(Report::Canceled)));
    }
    machine.gic.set_spi(LEVEL, true).expect("an SPI");
    vcpu.finish();
}

/// The same for one that runs a loop of one instruction with interrupts masked.
fn spin_and_exit() {
    let machine = Machine::new("wait", 1);
    let vcpu = machine.start(0, 1);
    vcpu.go();
    assert_eq!(vcpu.event(), (1, 0));
    for _ in 0..50 {
        vcpu.handle.exit().expect("a live vCPU");
        assert!(matches!(vcpu.reports.recv(), Ok(Report::Canceled)));
    }
    machine.set_shared(1);
    vcpu.finish();
}
