use proptest::prelude::*;
use virtio_bindings::virtio_config::*;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vm_memory::Bytes;
use vm_memory::GuestAddress;

use super::*;
use crate::device::{Active, Handled};
use crate::event::Watch;
use crate::mock::{self, MockDriver, MockQueue, RAM_BASE};
use crate::queue::Broken;

const FEATURE: u64 = 1 << 5;
const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;
const EVENT_IDX: u64 = 1 << VIRTIO_RING_F_EVENT_IDX;

/// Writes the sum of what it reads, as one byte, into what it may write.
struct Adder(ConfigSpace);

impl Adder {
    fn boxed() -> (Box<Self>, ConfigSpace) {
        let bytes = (0..12).collect();
        let config = ConfigSpace::new(bytes, 4..6, 0..6);
        (Box::new(Self(config.clone())), config)
    }
}

impl VirtioDevice for Adder {
    fn id(&self) -> u32 {
        42
    }
    fn features(&self) -> u64 {
        FEATURE
    }
    fn queue_sizes(&self) -> Vec<u16> {
        vec![64, 256]
    }
    fn config(&self) -> ConfigSpace {
        self.0.clone()
    }
    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        _: &mut dyn Watch,
    ) -> Result<(), Broken> {
        active.drain(queue, |chain, memory| {
            if chain.malformed {
                return Handled::Done(0);
            }
            let mut bytes = vec![0; chain.readable.len().min(4096) as usize];
            let sum = match chain.readable.read(memory, 0, &mut bytes) {
                Ok(_) => bytes.iter().fold(0u8, |a, b| a.wrapping_add(*b)),
                Err(_) => 0xee,
            };
            Handled::Done(chain.writable.write(memory, 0, &[sum]).unwrap_or(0) as u32)
        })
    }
}

fn driver() -> MockDriver {
    MockDriver::new(Adder::boxed().0, &mock::memory(1 << 20))
}

/// Scratch memory past the queues.
const DATA: u64 = RAM_BASE + 0x8_0000;

fn request(d: &mut MockDriver, queue: usize, bytes: &[u8]) {
    d.memory.write_slice(bytes, GuestAddress(DATA)).unwrap();
    d.queues[queue].add(&[(DATA, bytes.len() as u32, false), (DATA + 0x1000, 1, true)]);
    d.notify(queue as u32);
}

fn sum(d: &MockDriver) -> u8 {
    d.memory.read_obj(GuestAddress(DATA + 0x1000)).unwrap()
}

/// Virtio 1.2, table 4.1.
#[test]
fn identifies_as_a_version_2_transport() {
    let d = driver();
    assert_eq!(d.r(0x000), 0x7472_6976);
    assert_eq!(d.r(0x004), 2);
    assert_eq!(d.r(0x008), 42);
    for shm in [0x0b0, 0x0b4, 0x0b8, 0x0bc] {
        assert_eq!(d.r(shm), u32::MAX);
    }
}

#[test]
fn features_come_in_two_pages_and_further_ones_are_empty() {
    let d = driver();
    let ring = 1 << VIRTIO_RING_F_INDIRECT_DESC | EVENT_IDX;
    assert_eq!(d.offered(), FEATURE | VERSION_1 | ring);
    d.w(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    assert_eq!(d.r(VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

#[test]
fn negotiation_needs_version_1_and_nothing_that_was_not_offered() {
    let d = driver();
    assert!(!d.negotiate(FEATURE));
    assert!(!d.negotiate(VERSION_1 | 1 << 6));
    assert!(d.negotiate(VERSION_1 | FEATURE));
    // Too late to change.
    d.w(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    d.w(VIRTIO_MMIO_DRIVER_FEATURES, 1 << 6);
    d.w(VIRTIO_MMIO_STATUS, 15);
    assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15);
    assert_eq!(d.transport.save().unwrap().driver_features, VERSION_1 | FEATURE);
}

#[test]
fn status_bits_are_taken_in_order_and_stay_until_reset() {
    let d = driver();
    for early in [2, 8, 4, 14] {
        d.w(VIRTIO_MMIO_STATUS, early);
        assert_eq!(d.r(VIRTIO_MMIO_STATUS), 0, "bit {early} before ACKNOWLEDGE");
    }
    d.w(VIRTIO_MMIO_STATUS, 1);
    d.w(VIRTIO_MMIO_STATUS, 3);
    d.w(VIRTIO_MMIO_STATUS, 1);
    assert_eq!(d.r(VIRTIO_MMIO_STATUS), 3);
    d.w(VIRTIO_MMIO_STATUS, 0x83);
    assert_eq!(d.r(VIRTIO_MMIO_STATUS), 0x83);
    d.w(VIRTIO_MMIO_STATUS, 0);
    assert_eq!(d.r(VIRTIO_MMIO_STATUS), 0);
}

#[test]
fn a_request_goes_through_and_interrupts_until_acknowledged() {
    let mut d = driver();
    d.start(0, 2);
    for queue in 0..2 {
        request(&mut d, queue, &[1, 2, 3]);
        assert_eq!(d.wait_used(queue), (0, 1));
        assert_eq!(sum(&d), 6);
        d.settle();
        assert_eq!(d.r(VIRTIO_MMIO_INTERRUPT_STATUS), 1);
        assert!(d.sink.high.load(std::sync::atomic::Ordering::SeqCst));
        d.w(VIRTIO_MMIO_INTERRUPT_ACK, 1);
        assert_eq!(d.r(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
        assert!(!d.sink.high.load(std::sync::atomic::Ordering::SeqCst));
    }
}

#[test]
fn indirect_requests_go_through() {
    let mut d = driver();
    d.start(1 << VIRTIO_RING_F_INDIRECT_DESC, 1);
    d.memory.write_slice(&[9; 30], GuestAddress(DATA)).unwrap();
    let pieces: Vec<_> = (0..30).map(|i| (DATA + i, 1, false)).collect();
    let pieces = [pieces, vec![(DATA + 0x1000, 1, true)]].concat();
    d.queues[0].add_indirect(DATA + 0x2000, &pieces);
    d.notify(0);
    assert_eq!(d.wait_used(0), (0, 1));
    assert_eq!(sum(&d), 14, "30 * 9 modulo 256");
}

/// Virtio 1.2, 2.7.7.1 and 2.7.7.2.
#[test]
fn interrupts_are_suppressed_as_the_driver_asks() {
    let raised = |d: &MockDriver| d.sink.raised.load(std::sync::atomic::Ordering::SeqCst);
    let run = |d: &mut MockDriver| {
        request(d, 0, &[1]);
        d.wait_used(0);
        d.settle();
        d.w(VIRTIO_MMIO_INTERRUPT_ACK, 3);
        raised(d)
    };
    let mut d = driver();
    d.start(0, 1);
    assert_eq!(run(&mut d), 1);
    d.queues[0].set_avail_flags(1);
    assert_eq!(run(&mut d), 1);
    d.queues[0].set_avail_flags(0);
    assert_eq!(run(&mut d), 2);

    let mut d = driver();
    d.start(EVENT_IDX, 1);
    assert_eq!(run(&mut d), 1, "used index 1");
    d.queues[0].set_used_event(3);
    assert_eq!(run(&mut d), 1, "used index 2");
    assert_eq!(run(&mut d), 1, "used index 3");
    assert_eq!(run(&mut d), 2, "used index 4 passes the event");
}

#[test]
fn a_queue_may_be_made_ready_before_its_addresses_are_written() {
    let mut d = driver();
    assert!(d.negotiate(VERSION_1));
    let queue = MockQueue::new(&d.memory, RAM_BASE, 16);
    d.w(VIRTIO_MMIO_QUEUE_SEL, 0);
    d.w(VIRTIO_MMIO_QUEUE_READY, 1);
    d.set_up_queue(0, &queue);
    d.queues.push(queue);
    d.w(VIRTIO_MMIO_STATUS, 15);
    request(&mut d, 0, &[7]);
    assert_eq!(d.wait_used(0), (0, 1));
}

#[test]
fn a_queue_that_cannot_be_asks_for_a_reset_and_the_device_recovers() {
    type Spoil = fn(&MockDriver);
    let bad: [(&str, Spoil); 6] = [
        ("size 0", |d| d.w(VIRTIO_MMIO_QUEUE_NUM, 0)),
        ("size not a power of two", |d| d.w(VIRTIO_MMIO_QUEUE_NUM, 48)),
        ("size too big", |d| d.w(VIRTIO_MMIO_QUEUE_NUM, 128)),
        ("size beyond 16 bits", |d| d.w(VIRTIO_MMIO_QUEUE_NUM, 0x1_0010)),
        ("misaligned table", |d| d.w(VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_BASE as u32 + 8)),
        ("ring outside memory", |d| d.w(VIRTIO_MMIO_QUEUE_USED_HIGH, 0x7fff)),
    ];
    for (what, spoil) in bad {
        let mut d = driver();
        assert!(d.negotiate(VERSION_1));
        d.set_up_queue(0, &MockQueue::new(&d.memory, RAM_BASE, 16));
        spoil(&d);
        d.w(VIRTIO_MMIO_STATUS, 15);
        assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15 | 0x40, "{what}");
        assert_eq!(d.r(VIRTIO_MMIO_INTERRUPT_STATUS), 2, "{what}");
        d.start(0, 1);
        assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15, "{what}");
        assert_eq!(d.r(VIRTIO_MMIO_INTERRUPT_STATUS), 0, "{what}");
        request(&mut d, 0, &[7]);
        assert_eq!(d.wait_used(0), (0, 1), "{what}");
    }
}

#[test]
fn hostile_rings_harm_only_their_device() {
    type Spoil = fn(&mut MockQueue);
    let answered: [(&str, Spoil); 5] = [
        ("a chain that loops", |q| {
            q.put(0, DATA, 1, 1, 1);
            q.put(1, DATA, 1, 1, 0);
            q.offer(0);
        }),
        ("a chain that leaves its table", |q| {
            q.put(0, DATA, 1, 1, 999);
            q.offer(0);
        }),
        ("an address outside of memory", |q| {
            q.put(0, 0x10, 1, 1, 1);
            q.put(1, u64::MAX, 4, 2, 0);
            q.offer(0);
        }),
        ("an indirect table in an indirect table, outside of memory", |q| {
            q.put(0, 0x10, 16, 4, 0);
            q.offer(0);
        }),
        ("a readable buffer after a writable one", |q| {
            q.put(0, DATA, 1, 3, 1);
            q.put(1, DATA, 1, 0, 0);
            q.offer(0);
        }),
    ];
    for (what, spoil) in answered {
        let mut d = driver();
        d.start(0, 1);
        spoil(&mut d.queues[0]);
        d.notify(0);
        assert_eq!(d.wait_used(0), (0, 0), "{what}");
        assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15, "{what}");
    }
    let broken: [(&str, Spoil); 2] = [
        ("an index that jumps", |q| q.set_avail_idx(1000)),
        ("a head outside of the table", |q| q.offer(64)),
    ];
    for (what, spoil) in broken {
        let mut d = driver();
        d.start(0, 1);
        spoil(&mut d.queues[0]);
        d.notify(0);
        d.settle();
        assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15 | 0x40, "{what}");
        assert_eq!(d.r(VIRTIO_MMIO_INTERRUPT_STATUS), 2, "{what}");
        d.start(0, 1);
        request(&mut d, 0, &[7]);
        assert_eq!(d.wait_used(0), (0, 1), "{what}");
    }
}

/// Keeps every request.
struct Keeper;

impl VirtioDevice for Keeper {
    fn id(&self) -> u32 {
        43
    }
    fn features(&self) -> u64 {
        0
    }
    fn queue_sizes(&self) -> Vec<u16> {
        vec![64]
    }
    fn config(&self) -> ConfigSpace {
        ConfigSpace::fixed(Vec::new())
    }
    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        _: &mut dyn Watch,
    ) -> Result<(), Broken> {
        active.drain(queue, |_, _| Handled::Kept)
    }
}

/// As long as the device has them, there is no descriptor left for another request (2.7.13.1).
#[test]
fn requests_cannot_be_offered_again_while_they_are_kept() {
    let mut d = MockDriver::new(Box::new(Keeper), &mock::memory(1 << 20));
    d.start(0, 1);
    for request in 0..64 {
        d.queues[0].add(&[(DATA, 1, false)]);
        d.notify(0);
        d.settle();
        assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15, "request {request}");
    }
    d.queues[0].offer(0);
    d.notify(0);
    d.settle();
    assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15 | 0x40);
}

#[test]
fn a_device_that_waits_for_its_reset_is_not_started_by_taking_a_queue_out() {
    let mut d = driver();
    d.start(0, 2);
    d.queues[0].set_avail_idx(1000);
    d.notify(0);
    d.settle();
    assert_eq!(d.r(VIRTIO_MMIO_STATUS), 15 | 0x40);
    d.queues[0].set_avail_idx(0);
    d.w(VIRTIO_MMIO_QUEUE_SEL, 1);
    d.w(VIRTIO_MMIO_QUEUE_READY, 0);
    request(&mut d, 0, &[7]);
    d.settle();
    assert_eq!(d.queues[0].used_idx(), 0);
}

#[test]
fn configuration_is_read_and_written_at_every_width_and_offset() {
    let d = driver();
    let read = |offset: u64, width| d.transport.read(Access::new(0x100 + offset, width));
    assert_eq!(read(1, Width::Byte), 1);
    assert_eq!(read(3, Width::Half), 0x0403);
    assert_eq!(read(1, Width::Word), 0x0403_0201);
    assert_eq!(read(3, Width::Double), 0x0a09_0807_0605_0403);
    assert_eq!(read(10, Width::Word), 0x0b0a, "across the end");
    assert_eq!(read(12, Width::Double), 0);
    assert_eq!(read(0xe00, Width::Word), 0);
    let write = |offset: u64, width, value| {
        let _ = d.transport.write(Access::new(0x100 + offset, width), value);
    };
    write(2, Width::Word, 0xddcc_bbaa);
    assert_eq!(read(0, Width::Double), 0x0706_ddcc_0302_0100, "only 4 and 5 are writable");
    write(0x900, Width::Double, u64::MAX);
}

#[test]
fn registers_answer_aligned_words_only() {
    let d = driver();
    assert_eq!(d.transport.read(Access::new(0, Width::Byte)), 0);
    assert_eq!(d.transport.read(Access::new(0, Width::Double)), 0);
    assert_eq!(d.transport.read(Access::new(2, Width::Word)), 0);
    let _ = d.transport.write(Access::new(0x70, Width::Half), 1);
    assert_eq!(d.r(VIRTIO_MMIO_STATUS), 0);
}

#[test]
fn a_changed_configuration_has_another_generation() {
    let (device, config) = Adder::boxed();
    let d = MockDriver::new(device, &mock::memory(1 << 20));
    let before = d.r(VIRTIO_MMIO_CONFIG_GENERATION);
    config.update(|bytes| bytes[0] = 99);
    assert_ne!(d.r(VIRTIO_MMIO_CONFIG_GENERATION), before);
}

#[test]
fn a_queue_taken_out_of_a_running_device_stays_out_and_the_others_go_on() {
    let mut d = driver();
    d.start(0, 2);
    d.w(VIRTIO_MMIO_QUEUE_SEL, 0);
    d.w(VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(d.r(VIRTIO_MMIO_QUEUE_READY), 0);
    request(&mut d, 0, &[1]);
    request(&mut d, 1, &[5]);
    assert_eq!(d.wait_used(1), (0, 1));
    assert_eq!(d.queues[0].used_idx(), 0);
}

#[test]
fn a_device_rebuilt_from_its_state_loses_no_request_and_no_interrupt() {
    let mut d = driver();
    d.start(EVENT_IDX, 2);
    request(&mut d, 0, &[1, 2]);
    d.wait_used(0);
    d.settle();
    d.transport.quiesce(mock::LONG).unwrap();
    // The used index is published and the interrupt not yet taken; another request comes in that
    // nobody has seen.
    request(&mut d, 0, &[3, 4]);
    let state = d.transport.save().unwrap();
    assert_eq!(state.interrupt_status, 1);

    let mut e = MockDriver::from_state(Adder::boxed().0, &d.memory, &state);
    assert_eq!(e.transport.save().unwrap(), state);
    assert_eq!(e.sink.raised.load(std::sync::atomic::Ordering::SeqCst), 0, "no edge");
    std::mem::swap(&mut e.queues, &mut d.queues);
    e.transport.resume(true);
    assert_eq!(e.wait_used(0), (2, 1));
    e.settle();
    assert_eq!(e.r(VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    e.w(VIRTIO_MMIO_INTERRUPT_ACK, 1);
    request(&mut e, 0, &[5]);
    e.wait_used(0);
    e.settle();
}

#[test]
fn a_quiesced_device_is_still_until_resumed() {
    let mut d = driver();
    d.start(0, 1);
    d.transport.quiesce(mock::LONG).unwrap();
    request(&mut d, 0, &[1]);
    d.settle();
    assert_eq!(d.queues[0].used_idx(), 0);
    d.transport.resume(false);
    assert_eq!(d.wait_used(0), (0, 1));
}

#[test]
fn hostile_state_is_refused() {
    let mut d = driver();
    d.start(0, 2);
    d.transport.quiesce(mock::LONG).unwrap();
    let good = d.transport.save().unwrap();
    let spoil: [fn(&mut VirtioState); 8] = [
        |s| s.device_id = 1,
        |s| s.device_id = 0,
        |s| s.status = 0x100,
        |s| s.interrupt_status = 4,
        |s| s.queues.truncate(1),
        |s| s.queues = vec![SavedQueue::default(); 1000],
        |s| s.config.push(0),
        |s| s.driver_features |= 1 << 50,
    ];
    for (i, spoil) in spoil.iter().enumerate() {
        let mut state = good.clone();
        spoil(&mut state);
        let worker = Worker::spawn("mock", |_| {}).unwrap();
        let line = IrqLine::new(40, devices::Trigger::Level, d.sink.clone());
        let made = MmioTransport::new(Adder::boxed().0, &worker, d.memory.clone(), line, &state);
        assert!(matches!(made, Err(Error::Invalid(_))), "case {i}");
    }
    // A queue that cannot be is found when the device would start.
    let mut state = good;
    state.queues[0].desc = 3;
    let e = MockDriver::from_state(Adder::boxed().0, &d.memory, &state);
    e.transport.resume(true);
    assert_eq!(e.r(VIRTIO_MMIO_STATUS), 15 | 0x40);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a driver does to the registers and to the queue's memory, the device comes back
    /// after a reset, and its state restores to itself.
    #[test]
    fn any_driver_can_only_break_what_a_reset_mends(
        ops in prop::collection::vec(
            (prop::sample::select(vec![
                0x14u64, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70, 0x80, 0x84, 0x90, 0x94,
                0xa0, 0xa4, 0x100, 0x104, 0x777,
            ]), 0usize..4, prop_oneof![0u64..16, any::<u64>(), Just(RAM_BASE), Just(15)]),
            0..60,
        ),
        garbage in prop::collection::vec((0u64..0x2000, any::<u64>()), 0..40),
        set_up in any::<bool>(),
    ) {
        let mut d = driver();
        if set_up {
            d.start(0, 2);
        }
        for (at, value) in garbage {
            d.memory.write_obj(value, GuestAddress(RAM_BASE + at)).unwrap();
        }
        for (offset, width, value) in ops {
            let width = [Width::Byte, Width::Half, Width::Word, Width::Double][width];
            let _ = d.transport.write(Access::new(offset, width), value & width.mask());
            d.transport.read(Access::new(offset, width));
        }
        d.notify(0);
        d.transport.quiesce(mock::LONG).unwrap();
        let state = d.transport.save().unwrap();
        let copy = MockDriver::from_state(Adder::boxed().0, &d.memory, &state);
        prop_assert_eq!(copy.transport.save().unwrap(), state);
        d.transport.resume(false);
        d.start(0, 2);
        request(&mut d, 1, &[1, 2, 3]);
        prop_assert_eq!(d.wait_used(1), (0, 1));
    }
}
