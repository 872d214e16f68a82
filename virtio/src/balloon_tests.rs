use std::sync::mpsc::{Receiver, Sender, channel};

use proptest::prelude::*;
use vm_memory::Bytes;

use super::*;
use crate::mock::{self, MockDriver, RAM_BASE};

const RAM: u64 = 4 << 20;
const DATA: u64 = RAM_BASE + 0x8_0000;
const FIRST: u32 = (RAM_BASE / PAGE) as u32;

struct Reclaim(Sender<(u64, u64)>);

impl ReturnMemory for Reclaim {
    fn granule(&self) -> u64 {
        16 * 1024
    }
    fn give_back(&mut self, addr: GuestAddress, len: u64) {
        assert!(addr.0.is_multiple_of(0x4000) && len.is_multiple_of(0x4000) && len != 0);
        assert!(addr.0 >= RAM_BASE && addr.0 + len <= RAM_BASE + RAM);
        self.0.send((addr.0, len)).unwrap();
    }
}

struct Bench {
    driver: MockDriver,
    host: BalloonHost,
    returned: Receiver<(u64, u64)>,
}

fn bench(features: u64, queues: u32) -> Bench {
    let (sender, returned) = channel();
    let balloon = Balloon::new(Box::new(Reclaim(sender)), true);
    let host = balloon.host();
    let mut driver = MockDriver::new(Box::new(balloon), &mock::memory(RAM as usize));
    driver.start(features, queues);
    Bench { driver, host, returned }
}

impl Bench {
    fn pages(&mut self, queue: usize, pfns: &[u32]) {
        let bytes: Vec<u8> = pfns.iter().flat_map(|pfn| pfn.to_le_bytes()).collect();
        self.driver.memory.write_slice(&bytes, GuestAddress(DATA)).unwrap();
        self.driver.queues[queue].add(&[(DATA, bytes.len() as u32, false)]);
        self.driver.notify(queue as u32);
        self.driver.wait_used(queue);
    }

    fn returned(&self) -> Vec<(u64, u64)> {
        self.driver.settle();
        self.returned.try_iter().collect()
    }
}

#[test]
fn a_granule_is_given_back_when_its_last_page_is_in_the_balloon() {
    let mut b = bench(0, 2);
    b.pages(INFLATE, &[FIRST + 512, FIRST + 514, FIRST + 513, FIRST + 600]);
    assert_eq!(b.returned(), []);
    b.pages(INFLATE, &[FIRST + 515]);
    assert_eq!(b.returned(), [(RAM_BASE + 512 * PAGE, 0x4000)]);
    // Taken back and given again.
    b.pages(DEFLATE, &[FIRST + 515, FIRST + 9999]);
    b.pages(INFLATE, &[FIRST + 515]);
    assert_eq!(b.returned(), [(RAM_BASE + 512 * PAGE, 0x4000)]);
    // Neighbours go back together.
    b.pages(INFLATE, &(FIRST + 700..FIRST + 708).rev().collect::<Vec<_>>());
    assert_eq!(b.returned(), [(RAM_BASE + 700 * PAGE, 0x8000)]);
    // In the balloon already.
    b.pages(INFLATE, &[FIRST + 515]);
    assert_eq!(b.returned(), []);
}

#[test]
fn pages_that_are_not_memory_are_ignored() {
    let mut b = bench(0, 2);
    let last = FIRST + (RAM / PAGE) as u32;
    let outside: Vec<u32> = (0..4).chain(last..last + 4).chain(u32::MAX - 3..=u32::MAX).collect();
    b.pages(INFLATE, &outside);
    assert_eq!(b.returned(), []);
}

/// Linux numbers queues over the negotiated features.
#[test]
fn the_reporting_queue_is_the_next_after_those_negotiated() {
    for (features, queues) in [(1 << F_REPORTING, 3), (1 << F_REPORTING | 1 << F_STATS, 4)] {
        let mut b = bench(features, queues);
        let queue = queues as usize - 1;
        let free = [(RAM_BASE + 0x20_0000, 0x10_0000, true), (RAM_BASE + 0x30_1000, 0x5000, true)];
        b.driver.queues[queue].add(&free);
        b.driver.notify(queue as u32);
        b.driver.wait_used(queue);
        let expected = [(RAM_BASE + 0x20_0000, 0x10_0000)];
        assert_eq!(b.returned(), expected, "the second has no whole granule");
        b.driver.queues[queue].add(&[(0x1000, 0x10_0000, true), (u64::MAX - 0x100, 0x1000, true)]);
        b.driver.notify(queue as u32);
        b.driver.wait_used(queue);
        assert_eq!(b.returned(), []);
    }
}

#[test]
fn the_target_reaches_the_driver_with_a_configuration_interrupt() {
    let b = bench(0, 2);
    b.host.set_target(64 << 20);
    b.driver.settle();
    assert_eq!(b.driver.r(0x60), 2);
    assert_eq!(b.driver.r(0x100), 64 << 20 >> 12);
    b.driver.w(0x104, 100);
    b.driver.w(0x100, 7);
    assert_eq!((b.host.actual(), b.host.target()), (100 * PAGE, 64 << 20));
}

#[test]
fn statistics_come_when_asked_for() {
    let mut b = bench(1 << F_STATS, 3);
    let mut buffer = Vec::new();
    for (tag, value) in [(4u16, 1u64 << 33), (5, 2), (999, 3)] {
        buffer.extend(tag.to_le_bytes());
        buffer.extend(value.to_le_bytes());
    }
    buffer.extend([1, 2, 3]);
    b.driver.memory.write_slice(&buffer, GuestAddress(DATA)).unwrap();
    b.driver.queues[2].add(&[(DATA, buffer.len() as u32, false)]);
    b.driver.notify(2);
    b.driver.settle();
    let (stats, answers) = b.host.stats();
    assert_eq!((stats[&Stat::Free], stats[&Stat::Total], stats.len()), (1 << 33, 2, 2));
    assert_eq!(answers, 1);
    assert_eq!(b.driver.queues[2].used_idx(), 0, "held until it is wanted");
    b.host.request_stats();
    assert_eq!(b.driver.wait_used(2), (0, 0));

    // A pause puts the buffer back, so that nothing is lost with it.
    b.driver.queues[2].add(&[(DATA, buffer.len() as u32, false)]);
    b.driver.notify(2);
    b.driver.settle();
    b.driver.transport.quiesce(mock::LONG).unwrap();
    assert_eq!(b.driver.transport.save().unwrap().queues[2].next_avail, 1);
    b.driver.transport.resume(false);
    b.host.request_stats();
    assert_eq!(b.driver.wait_used(2), (1, 0));
}

#[test]
fn target_and_actual_are_state() {
    let b = bench(0, 2);
    b.host.set_target(8 << 20);
    b.driver.w(0x104, 5);
    b.driver.transport.quiesce(mock::LONG).unwrap();
    let state = b.driver.transport.save().unwrap();
    let (sender, _returned) = channel();
    let balloon = Balloon::new(Box::new(Reclaim(sender)), true);
    let host = balloon.host();
    let _driver = MockDriver::from_state(Box::new(balloon), &b.driver.memory, &state);
    assert_eq!((host.target(), host.actual()), (8 << 20, 5 * PAGE));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the guest says is in the balloon, only whole granules of its memory go back, and
    /// only while all of their pages are inside.
    #[test]
    fn only_what_is_inside_goes_back(
        ops in prop::collection::vec((any::<bool>(), prop::collection::vec(
            prop_oneof![FIRST + 500..FIRST + 530, any::<u32>()], 0..24)), 1..20),
    ) {
        let mut b = bench(0, 2);
        let mut inside = std::collections::HashSet::new();
        for (inflate, pfns) in ops {
            let mut expected = Vec::new();
            for &pfn in &pfns {
                if inflate {
                    let new = inside.insert(pfn);
                    let start = pfn & !3;
                    let memory = (FIRST..FIRST + (RAM / PAGE) as u32).contains(&pfn);
                    if new && memory && (start..start + 4).all(|p| inside.contains(&p)) {
                        expected.push(u64::from(start) * PAGE);
                    }
                } else {
                    inside.remove(&pfn);
                }
            }
            b.pages(if inflate { INFLATE } else { DEFLATE }, &pfns);
            let granules: Vec<_> = b
                .returned()
                .into_iter()
                .flat_map(|(addr, len)| (addr..addr + len).step_by(0x4000))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(granules, expected);
        }
    }
}
