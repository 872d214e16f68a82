use std::time::Duration;

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::control::{Message, event};
use super::*;
use crate::mock::{self, MockDriver, RAM_BASE};

const DATA: u64 = RAM_BASE + 0x10_0000;
const BUFFERS: u64 = RAM_BASE + 0x20_0000;

struct Bench {
    driver: MockDriver,
    host: ConsoleHost,
    ends: Vec<UnixStream>,
}

fn device(count: usize) -> (Console, Vec<UnixStream>) {
    let (mut ports, mut ends) = (Vec::new(), Vec::new());
    for i in 0..count {
        let (socket, end) = UnixStream::pair().unwrap();
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ends.push(end);
        let name = if i == 0 { String::new() } else { format!("port.{i}") };
        ports.push(ConsolePort { name, is_console: i == 0, socket });
    }
    (Console::new(ports).unwrap(), ends)
}

fn bench(count: usize, features: u64) -> Bench {
    let (console, ends) = device(count);
    let host = console.host();
    let mut driver = MockDriver::new(Box::new(console), &mock::memory(4 << 20));
    let queues = if features & 2 == 0 { 2 } else { 2 * count as u32 + 2 };
    driver.start(features, queues);
    Bench { driver, host, ends }
}

impl Bench {
    fn write(&mut self, queue: usize, bytes: &[u8]) {
        self.driver.memory.write_slice(bytes, GuestAddress(DATA)).unwrap();
        self.driver.queues[queue].add(&[(DATA, bytes.len() as u32, false)]);
        self.driver.notify(queue as u32);
    }

    /// Offers a buffer and waits for it to be filled.
    fn read(&mut self, queue: usize) -> Vec<u8> {
        self.driver.queues[queue].add(&[(BUFFERS, 512, true)]);
        self.driver.notify(queue as u32);
        let (_, len) = self.driver.wait_used(queue);
        let mut bytes = vec![0; len as usize];
        self.driver.memory.read_slice(&mut bytes, GuestAddress(BUFFERS)).unwrap();
        bytes
    }

    fn control(&mut self, port: u32, event: u16, value: u16) {
        self.write(CONTROL_TX, &Message { port, event, value }.to_bytes());
        self.driver.wait_used(CONTROL_TX);
    }

    fn expect(&mut self, port: u32, event: u16, value: u16) -> Vec<u8> {
        let bytes = self.read(CONTROL_RX);
        let head: [u8; 8] = bytes[..8].try_into().unwrap();
        assert_eq!(Message::from_bytes(&head), Message { port, event, value });
        bytes[8..].to_vec()
    }
}

fn read_exact(mut end: &UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    end.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_driver_without_ports_has_the_first() {
    let mut b = bench(1, 0);
    b.write(1, b"login: ");
    assert_eq!(read_exact(&b.ends[0], 7), b"login: ");
    b.ends[0].write_all(b"root\n").unwrap();
    assert_eq!(b.read(0), b"root\n");
}

/// 5.3.6.2: the order of the messages.
#[test]
fn ports_are_added_and_introduced() {
    let mut b = bench(2, 1 << F_MULTIPORT | 1 << F_SIZE);
    assert_eq!(b.driver.r(0x104), 2, "max_nr_ports");
    b.control(0, event::DEVICE_READY, 1);
    b.expect(0, event::PORT_ADD, 1);
    b.expect(1, event::PORT_ADD, 1);
    b.control(0, event::PORT_READY, 1);
    b.expect(0, event::CONSOLE_PORT, 1);
    assert_eq!(b.expect(0, event::RESIZE, 0), [80, 0, 24, 0]);
    b.expect(0, event::PORT_OPEN, 1);
    b.control(1, event::PORT_READY, 1);
    assert_eq!(b.expect(1, event::PORT_NAME, 1), b"port.1");
    b.expect(1, event::PORT_OPEN, 1);
    b.control(1, event::PORT_OPEN, 1);
    b.write(5, b"from port 1");
    assert_eq!(read_exact(&b.ends[1], 11), b"from port 1");
    b.ends[1].write_all(b"to port 1").unwrap();
    assert_eq!(b.read(4), b"to port 1");
    // The host closes it.
    b.driver.queues[4].add(&[(BUFFERS, 512, true)]);
    b.driver.notify(4);
    drop(b.ends.pop());
    b.expect(1, event::PORT_OPEN, 0);
}

#[test]
fn a_resize_reaches_the_configuration_and_the_console_ports() {
    let mut b = bench(2, 1 << F_MULTIPORT | 1 << F_SIZE);
    b.host.resize(200, 50);
    assert_eq!(b.expect(0, event::RESIZE, 0), [200, 0, 50, 0]);
    assert_eq!(b.driver.r(0x100), 50 << 16 | 200);
    assert_eq!(b.driver.r(0x60) & 2, 2);
}

#[test]
fn a_host_that_does_not_read_makes_the_guest_wait_and_loses_nothing() {
    let mut b = bench(1, 0);
    let piece: Vec<u8> = (0..64 * 1024u32).map(|i| (i % 251) as u8).collect();
    let mut waiting = 0;
    // Until the socket is full and three requests wait.
    let mut sent = 0;
    while waiting < 3 {
        b.write(1, &piece);
        sent += 1;
        b.driver.settle();
        if b.driver.queues[1].take_used().is_none() {
            waiting += 1;
        }
    }
    for _ in 0..sent {
        assert!(read_exact(&b.ends[0], piece.len()) == piece);
    }
    for _ in 0..waiting {
        b.driver.wait_used(1);
    }
}

#[test]
fn a_host_that_hangs_up_does_not_hold_up_the_guest() {
    let mut b = bench(1, 0);
    b.ends.clear();
    for _ in 0..5 {
        b.write(1, &[1; 1000]);
        b.driver.wait_used(1);
    }
}

#[test]
fn hostile_control_messages_do_nothing() {
    let mut b = bench(2, 1 << F_MULTIPORT);
    for (port, event, value) in [(99, 3, 1), (u32::MAX, 6, 1), (0, 77, 1), (5, 0, 0), (0, 3, 9)] {
        b.control(port, event, value);
    }
    b.write(CONTROL_TX, &[1, 2, 3]);
    b.driver.wait_used(CONTROL_TX);
    b.control(1, event::PORT_READY, 1);
    b.expect(1, event::PORT_NAME, 1);
}

#[test]
fn a_driver_that_takes_no_messages_bounds_its_own() {
    let mut b = bench(2, 1 << F_MULTIPORT);
    let message = Message { port: 0, event: event::DEVICE_READY, value: 1 };
    let mut taken = 0;
    loop {
        b.write(CONTROL_TX, &message.to_bytes());
        b.driver.settle();
        if b.driver.queues[CONTROL_TX].take_used().is_none() {
            break;
        }
        taken += 1;
    }
    assert_eq!(taken, (control::MAX_PENDING - 4) / 2 + 1);
    for _ in 0..4 {
        b.read(CONTROL_RX);
    }
    b.driver.wait_used(CONTROL_TX);
}

#[test]
fn open_ports_and_waiting_messages_are_state() {
    let mut b = bench(2, 1 << F_MULTIPORT);
    b.control(1, event::PORT_OPEN, 1);
    b.control(1, event::PORT_READY, 1);
    b.driver.transport.quiesce(mock::LONG).unwrap();
    let state = b.driver.transport.save().unwrap();
    let DeviceState::Console(ports) = &state.device else { panic!() };
    assert_eq!(ports.guest_open, [false, true]);
    assert_eq!(ports.pending.len(), 2);
    let (console, _ends) = device(2);
    let driver = MockDriver::from_state(Box::new(console), &b.driver.memory, &state);
    assert_eq!(driver.transport.save().unwrap(), state);
    for other in [1, 3] {
        let (mut console, _) = device(other);
        assert!(console.restore(&state.device).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_messages_leave_the_console_at_work(
        messages in prop::collection::vec((0u32..4, 0u16..9, 0u16..3), 0..40),
        writes in prop::collection::vec((0usize..6, 0u32..2000), 0..20),
    ) {
        let mut b = bench(2, 1 << F_MULTIPORT);
        for (port, event, value) in messages {
            b.control(port, event, value);
        }
        for (queue, len) in writes {
            b.driver.queues[queue].add(&[(DATA, len, false), (BUFFERS, len, true)]);
            b.driver.notify(queue as u32);
        }
        b.driver.settle();
        prop_assert_eq!(b.driver.r(0x70), 15);
    }
}
