use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::irq::tests::Recorder;
use crate::{Trigger, Width};

struct Bench {
    uart: Pl011,
    sink: Arc<Recorder>,
    wakes: Arc<AtomicUsize>,
}

fn bench() -> Bench {
    let sink = Arc::new(Recorder::default());
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    let wake = move || {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let uart = Pl011::new(sink.line(Trigger::Level), wake, &Pl011State::default()).unwrap();
    Bench { uart, sink, wakes }
}

impl Bench {
    fn r(&self, offset: u64) -> u32 {
        self.uart.read(Access::new(offset, Width::Word)) as u32
    }

    fn w(&self, offset: u64, value: u32) {
        assert_eq!(self.uart.write(Access::new(offset, Width::Word), value.into()), Effect::None);
    }

    fn output(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.uart.take_output(&mut out);
        out
    }
}

/// DDI 0183G, 3.3.15 to 3.3.22; the driver reads them byte by byte at 4-byte steps.
#[test]
fn identifies_as_pl011() {
    let b = bench();
    let ids: Vec<u32> = (0..8).map(|i| b.r(0xfe0 + 4 * i)).collect();
    assert_eq!(ids, [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1]);
}

/// DDI 0183G, table 3-1, column "reset value"; UARTFR with CTS, DSR and DCD asserted.
#[test]
fn reset_values() {
    let b = bench();
    assert_eq!(b.r(reg::CR), 0x300);
    assert_eq!(b.r(reg::IFLS), 0x12);
    assert_eq!(b.r(reg::FR), 0x97);
    assert_eq!(b.r(reg::IMSC), 0);
    assert_eq!(b.r(reg::RIS), 0);
}

#[test]
fn output_wakes_the_host_once_and_interrupts_the_guest() {
    let b = bench();
    b.w(reg::IMSC, INT_TX);
    for byte in *b"hi" {
        b.w(reg::DR, byte.into());
    }
    assert_eq!(b.output(), b"hi");
    assert_eq!(b.wakes.load(Ordering::Relaxed), 1);
    assert_eq!(b.sink.take(), [(40, true)]);
    b.w(reg::ICR, INT_TX);
    assert_eq!(b.sink.take(), [(40, false)]);
}

#[test]
fn a_host_that_does_not_listen_makes_the_guest_wait_and_loses_nothing() {
    let b = bench();
    for i in 0..OUTPUT_LIMIT {
        assert_eq!(b.r(reg::FR) & FR_TXFF, 0);
        b.w(reg::DR, i as u32 & 0xff);
    }
    assert_ne!(b.r(reg::FR) & FR_TXFF, 0);
    assert_eq!(b.r(reg::RIS) & INT_TX, 0);
    assert_eq!(b.output().len(), OUTPUT_LIMIT);
    assert_eq!(b.r(reg::FR) & FR_TXFF, 0);
    assert_eq!(b.r(reg::RIS) & INT_TX, INT_TX);
}

#[test]
fn input_fills_the_fifo_and_the_rest_waits_for_room() {
    let b = bench();
    b.w(reg::LCR_H, LCR_H_FEN);
    b.w(reg::IMSC, INT_RX | INT_RT);
    let text: Vec<u8> = (0..40).collect();
    assert_eq!(b.uart.receive(&text), 32);
    assert_ne!(b.r(reg::FR) & FR_RXFF, 0);
    assert_eq!(b.r(reg::MIS), INT_RX | INT_RT);
    assert_eq!(b.r(reg::DR), 0);
    assert_eq!(b.wakes.load(Ordering::Relaxed), 1);
    assert_eq!(b.uart.receive(&text[32..]), 1);
    for expected in 1..33 {
        assert_eq!(b.r(reg::DR), expected);
    }
    assert_ne!(b.r(reg::FR) & FR_RXFE, 0);
    assert_eq!(b.r(reg::MIS), 0);
    assert_eq!(b.sink.take(), [(40, true), (40, false)]);
}

#[test]
fn without_the_fifo_one_character_fits() {
    let b = bench();
    assert_eq!(b.uart.receive(b"ab"), 1);
    assert_eq!(b.r(reg::DR), u32::from(b'a'));
}

#[test]
fn loopback_feeds_the_receiver_and_overruns() {
    let b = bench();
    b.w(reg::CR, CR_RESET | CR_LBE);
    b.w(reg::DR, 0x55);
    b.w(reg::DR, 0x66);
    assert_eq!(b.r(reg::RSR), RSR_OE);
    assert_eq!(b.r(reg::RIS) & INT_OE, INT_OE);
    assert_eq!(b.r(reg::DR), 0x55);
    b.w(reg::RSR, 0);
    assert_eq!(b.r(reg::RSR), 0);
    assert!(b.output().is_empty());
}

#[test]
fn a_hostile_state_is_refused() {
    let line = || Arc::new(Recorder::default()).line(Trigger::Level);
    for state in [
        Pl011State { rx: vec![0; 33], ..Default::default() },
        Pl011State { output: vec![0; OUTPUT_LIMIT + 1], ..Default::default() },
        Pl011State { ris: 1 << 20, ..Default::default() },
    ] {
        assert!(Pl011::new(line(), || {}, &state).is_err());
    }
}

proptest! {
    /// Any sequence of accesses at any width and offset leaves a state that restores to itself.
    #[test]
    fn no_access_panics_and_the_state_survives(
        ops in prop::collection::vec((0u64..0x1000, 0usize..4, any::<u64>(), any::<bool>()), 0..64),
        input in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let b = bench();
        b.uart.receive(&input);
        for (offset, width, value, is_write) in ops {
            let width = [Width::Byte, Width::Half, Width::Word, Width::Double][width];
            let access = Access::new(offset & 0xff8 | offset & 7, width);
            if is_write {
                let _ = b.uart.write(access, value & width.mask());
            } else {
                b.uart.read(access);
            }
        }
        let state = b.uart.save();
        let copy = Pl011::new(b.sink.line(Trigger::Level), || {}, &state).unwrap();
        prop_assert_eq!(copy.save(), state);
    }
}
