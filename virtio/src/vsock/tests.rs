use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::packet::*;
use super::stream::BUF_ALLOC;
use super::*;
use crate::mock::{self, MockDriver, RAM_BASE};

const CID: u64 = 3;
const LONG: Duration = Duration::from_secs(10);
/// Receive buffers, 4 KiB each, as Linux has them.
const BUFFERS: u64 = RAM_BASE + 0x10_0000;
const SEND: u64 = RAM_BASE + 0x8_0000;
const EVENT_BUFFER: u64 = RAM_BASE + 0x7_0000;
const BUFFER_LEN: u32 = 4096;

/// The guest's side: a driver that can be told to misbehave.
struct Guest {
    driver: MockDriver,
    host: VsockHost,
    /// Addresses of the receive buffers by descriptor.
    buffers: Vec<u64>,
    buf_alloc: u32,
}

fn guest_with(socket: Option<VsockSocket>) -> Guest {
    let device = Vsock::new(CID as u32, socket);
    let host = device.host();
    let driver = MockDriver::new(Box::new(device), &mock::memory(4 << 20));
    let mut guest = Guest { driver, host, buffers: vec![0; 64], buf_alloc: 256 * 1024 };
    guest.driver.start(0, 3);
    guest.driver.queues[2].add(&[(EVENT_BUFFER, 4, true)]);
    for i in 0..48 {
        guest.add_buffer(BUFFERS + i * u64::from(BUFFER_LEN));
    }
    guest
}

fn guest() -> Guest {
    guest_with(None)
}

impl Guest {
    fn add_buffer(&mut self, at: u64) {
        let head = self.driver.queues[0].add(&[(at, BUFFER_LEN, true)]);
        self.buffers[usize::from(head)] = at;
        self.driver.notify(0);
    }

    fn header(&self, op: u16, guest_port: u32, host_port: u32) -> Header {
        Header {
            src_cid: CID,
            dst_cid: HOST_CID,
            src_port: guest_port,
            dst_port: host_port,
            kind: STREAM,
            op,
            buf_alloc: self.buf_alloc,
            ..Header::default()
        }
    }

    fn send_raw(&mut self, header: Header, data: &[u8]) {
        let memory = self.driver.memory.clone();
        memory.write_slice(&header.to_bytes(), GuestAddress(SEND)).unwrap();
        memory.write_slice(data, GuestAddress(SEND + 64)).unwrap();
        self.driver.queues[1].add(&[(SEND, 44, false), (SEND + 64, data.len() as u32, false)]);
        self.driver.notify(1);
        self.driver.wait_used(1);
    }

    fn send(&mut self, op: u16, guest_port: u32, host_port: u32, data: &[u8]) {
        let header = Header { len: data.len() as u32, ..self.header(op, guest_port, host_port) };
        self.send_raw(header, data);
    }

    /// The next packet, its buffer given back.
    fn receive(&mut self) -> (Header, Vec<u8>) {
        let (head, len) = self.driver.wait_used(0);
        let at = self.buffers[head as usize];
        let mut bytes = [0; 44];
        self.driver.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        let header = Header::from_bytes(&bytes);
        let mut data = vec![0; len as usize - 44];
        self.driver.memory.read_slice(&mut data, GuestAddress(at + 44)).unwrap();
        assert_eq!(header.len as usize, data.len());
        assert_eq!((header.src_cid, header.dst_cid), (HOST_CID, CID));
        self.add_buffer(at);
        (header, data)
    }

    fn expect(&mut self, op: u16) -> Header {
        let (header, data) = self.receive();
        assert_eq!((header.op, data.len()), (op, 0), "{header:?}");
        header
    }

    /// A stream from the host to guest port 1000: the host's end and its port.
    fn host_connects(&mut self) -> (UnixStream, u32) {
        let host = self.host.clone();
        let caller = std::thread::spawn(move || host.connect(1000, LONG));
        let request = self.expect(op::REQUEST);
        assert_eq!(request.dst_port, 1000);
        self.send(op::RESPONSE, 1000, request.src_port, &[]);
        let stream = caller.join().unwrap().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        (stream, request.src_port)
    }

    fn settle(&self) {
        self.driver.settle();
    }
}

fn read_exact(stream: &mut UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_host_connects_and_data_goes_both_ways() {
    let mut g = guest();
    let (mut stream, port) = g.host_connects();
    g.send(op::RW, 1000, port, b"from guest");
    assert_eq!(read_exact(&mut stream, 10), b"from guest");
    stream.write_all(b"from host").unwrap();
    let (header, data) = g.receive();
    assert_eq!((header.op, &data[..]), (op::RW, &b"from host"[..]));
    assert_eq!((header.src_port, header.dst_port), (port, 1000));
    assert_eq!((header.buf_alloc, header.fwd_cnt), (BUF_ALLOC, 10));
}

#[test]
fn a_port_nobody_listens_on_refuses_in_both_directions() {
    let mut g = guest();
    g.send(op::REQUEST, 5, 6, &[]);
    let reset = g.expect(op::RST);
    assert_eq!((reset.src_port, reset.dst_port), (6, 5));

    let host = g.host.clone();
    let caller = std::thread::spawn(move || host.connect(7, LONG));
    let request = g.expect(op::REQUEST);
    g.send(op::RST, 7, request.src_port, &[]);
    let error = caller.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn the_guest_connects_to_a_listener() {
    let mut g = guest();
    let listener = g.host.listen(80).unwrap();
    assert_eq!(g.host.listen(80).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    g.send(op::REQUEST, 1234, 80, &[]);
    g.expect(op::RESPONSE);
    let mut incoming = listener.accept(LONG).unwrap();
    assert_eq!(incoming.guest_port, 1234);
    g.send(op::RW, 1234, 80, b"hello");
    assert_eq!(read_exact(&mut incoming.stream, 5), b"hello");
    drop(listener);
    g.send(op::REQUEST, 1235, 80, &[]);
    g.expect(op::RST);
}

#[test]
fn a_client_of_the_unix_socket_says_where_to_byte_by_byte_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock");
    let mut g = guest_with(Some(VsockSocket::bind(&path).unwrap()));
    let mut client = UnixStream::connect(&path).unwrap();
    for byte in b"CONNECT 99\nearly" {
        client.write_all(&[*byte]).unwrap();
        g.settle();
    }
    let request = g.expect(op::REQUEST);
    assert_eq!(request.dst_port, 99);
    g.send(op::RESPONSE, 99, request.src_port, &[]);
    let ok = format!("OK {}\n", request.src_port);
    assert_eq!(read_exact(&mut client, ok.len()), ok.as_bytes());
    assert_eq!(g.receive().1, b"early");
    g.send(op::RW, 99, request.src_port, b"answer");
    assert_eq!(read_exact(&mut client, 6), b"answer");
}

#[test]
fn a_client_that_talks_nonsense_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock");
    let _g = guest_with(Some(VsockSocket::bind(&path).unwrap()));
    for nonsense in ["GET / HTTP/1.1\r\n", "CONNECT x\n", "CONNECT 4294967296\n", &"C".repeat(40)] {
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.write_all(nonsense.as_bytes()).unwrap();
        let closed = client.read(&mut [0; 8]);
        assert!(
            matches!(&closed, Ok(0))
                || closed.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset)
        );
    }
}

#[test]
fn a_guest_reaches_another_process_by_the_sockets_name_and_port() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock");
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join("vsock_52")).unwrap();
    let mut g = guest_with(Some(VsockSocket::bind(&path).unwrap()));
    g.send(op::REQUEST, 9, 52, &[]);
    g.expect(op::RESPONSE);
    g.send(op::RW, 9, 52, b"ping");
    let mut accepted = listener.accept().unwrap().0;
    assert_eq!(read_exact(&mut accepted, 4), b"ping");
    g.send(op::REQUEST, 9, 53, &[]);
    g.expect(op::RST);
    drop(g);
    assert!(!path.exists());
}

#[test]
fn the_host_sends_no_more_than_the_guest_has_room_for() {
    let mut g = guest();
    g.buf_alloc = 10_000;
    let (mut stream, port) = g.host_connects();
    stream.write_all(&[7; 25_000]).unwrap();
    let mut got = 0;
    let mut taken = 0u32;
    while got < 25_000 {
        let (header, data) = g.receive();
        got += data.len();
        match header.op {
            op::RW => assert!(got as u32 - taken <= 10_000),
            op::CREDIT_REQUEST => {
                assert_eq!(got as u32 - taken, 10_000, "asked with credit left");
                taken = got as u32;
                let header = Header { fwd_cnt: taken, ..g.header(op::CREDIT_UPDATE, 1000, port) };
                g.send_raw(header, &[]);
            }
            other => panic!("operation {other}"),
        }
    }
    assert_eq!(got, 25_000);
}

#[test]
fn a_guest_that_ignores_its_credit_is_reset() {
    let mut g = guest();
    let (stream, port) = g.host_connects();
    // Nobody reads: the socket's own buffer fills, then the device's.
    for _ in 0..60 {
        g.send(op::RW, 1000, port, &[1; 16 * 1024]);
    }
    while g.receive().0.op != op::RST {}
    drop(stream);
}

#[test]
fn the_guest_learns_that_its_data_was_read() {
    let mut g = guest();
    let (mut stream, port) = g.host_connects();
    let chunk = BUF_ALLOC as usize / 4;
    g.send(op::RW, 1000, port, &vec![1; chunk]);
    read_exact(&mut stream, chunk);
    assert_eq!(g.expect(op::CREDIT_UPDATE).fwd_cnt as usize, chunk);
    g.send(op::RW, 1000, port, &[1; 10]);
    g.send(op::CREDIT_REQUEST, 1000, port, &[]);
    assert_eq!(g.expect(op::CREDIT_UPDATE).fwd_cnt as usize, chunk + 10);
}

#[test]
fn each_side_closes_its_half() {
    let mut g = guest();
    let (mut stream, port) = g.host_connects();
    stream.write_all(b"last").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(g.receive().1, b"last");
    assert_eq!(g.expect(op::SHUTDOWN).flags, SHUT_SEND);
    g.send(op::RW, 1000, port, b"still");
    assert_eq!(read_exact(&mut stream, 5), b"still");
    let header = Header { flags: SHUT_BOTH, ..g.header(op::SHUTDOWN, 1000, port) };
    g.send_raw(header, &[]);
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    g.expect(op::RST);
    // The connection is gone.
    g.send(op::RW, 1000, port, b"late");
    g.expect(op::RST);
}

#[test]
fn a_host_that_hangs_up_is_told_to_the_guest() {
    let mut g = guest();
    let (stream, port) = g.host_connects();
    drop(stream);
    assert_eq!(g.expect(op::SHUTDOWN).flags, SHUT_SEND);
    g.send(op::RW, 1000, port, b"to nobody");
    assert_eq!(g.expect(op::SHUTDOWN).flags, SHUT_BOTH);
    g.send(op::RST, 1000, port, &[]);
    g.send(op::RW, 1000, port, &[]);
    g.expect(op::RST);
}

#[test]
fn data_of_a_guest_that_gave_up_waiting_still_arrives() {
    let mut g = guest();
    let (mut stream, port) = g.host_connects();
    let mut sent = 0;
    let fill = vec![5; 32 * 1024];
    // Past what the socket holds, within what the device holds.
    let mut rounds = 0;
    while rounds < 3 {
        g.send(op::RW, 1000, port, &fill);
        sent += fill.len();
        g.settle();
        let fwd = {
            g.send(op::CREDIT_REQUEST, 1000, port, &[]);
            loop {
                let (header, _) = g.receive();
                if header.fwd_cnt as usize == sent || header.op == op::CREDIT_UPDATE {
                    break header.fwd_cnt as usize;
                }
            }
        };
        if fwd < sent {
            rounds += 1;
        }
    }
    let header = Header { flags: SHUT_BOTH, ..g.header(op::SHUTDOWN, 1000, port) };
    g.send_raw(header, &[]);
    g.send(op::RST, 1000, port, &[]);
    g.settle();
    assert_eq!(read_exact(&mut stream, sent).len(), sent);
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn packets_that_make_no_sense_are_dropped_or_reset() {
    let mut g = guest();
    let good = g.header(op::RW, 1, 2);
    // Of or for somebody else: no answer.
    g.send_raw(Header { src_cid: 9, ..good }, &[]);
    g.send_raw(Header { dst_cid: 9, ..good }, &[]);
    g.send_raw(Header { op: op::RST, ..good }, &[]);
    // Not a header at all.
    g.driver.queues[1].add(&[(SEND, 43, false)]);
    g.driver.queues[1].add(&[(SEND, 44, true)]);
    g.driver.queues[1].add(&[(0x10, 44, false)]);
    g.driver.notify(1);
    for _ in 0..3 {
        g.driver.wait_used(1);
    }
    g.settle();
    assert_eq!(g.driver.queues[0].used_idx(), 0);
    // Of another type, or of no connection.
    g.send_raw(Header { kind: 2, op: op::REQUEST, ..good }, &[]);
    assert_eq!(g.expect(op::RST).kind, 2);
    for op in [op::RESPONSE, op::SHUTDOWN, op::RW, op::CREDIT_UPDATE, op::CREDIT_REQUEST, 0, 99] {
        g.send_raw(Header { op, ..good }, &[]);
        g.expect(op::RST);
    }
    // A length that the buffer does not have.
    let (_stream, port) = g.host_connects();
    let header = Header { len: 500, ..g.header(op::RW, 1000, port) };
    g.send_raw(header, &[0; 100]);
    g.expect(op::RST);
}

#[test]
fn a_guest_that_takes_no_packets_bounds_its_own_refusals() {
    let device = Vsock::new(CID as u32, None);
    let mut driver = MockDriver::new(Box::new(device), &mock::memory(4 << 20));
    driver.start(0, 3);
    let mut g = Guest { host: VsockHost::default(), driver, buffers: vec![0; 64], buf_alloc: 0 };
    let header = g.header(op::RW, 1, 2);
    g.driver.memory.write_slice(&header.to_bytes(), GuestAddress(SEND)).unwrap();
    let mut taken = 0;
    for _ in 0..400 {
        g.driver.queues[1].add(&[(SEND, 44, false)]);
        g.driver.notify(1);
        g.settle();
        if g.driver.queues[1].take_used().is_some() {
            taken += 1;
        } else {
            break;
        }
    }
    assert_eq!(taken, 256);
    for i in 0..48 {
        g.add_buffer(BUFFERS + i * u64::from(BUFFER_LEN));
    }
    for _ in 0..257 {
        g.expect(op::RST);
    }
    g.driver.wait_used(1);
}

#[test]
fn unusable_receive_buffers_come_back_empty() {
    let device = Vsock::new(CID as u32, None);
    let mut driver = MockDriver::new(Box::new(device), &mock::memory(4 << 20));
    driver.start(0, 3);
    let mut g = Guest { host: VsockHost::default(), driver, buffers: vec![0; 64], buf_alloc: 0 };
    g.driver.queues[0].add(&[(BUFFERS, 43, true)]);
    g.driver.queues[0].add(&[(BUFFERS, 100, false)]);
    g.add_buffer(BUFFERS);
    g.send(op::RW, 1, 2, &[]);
    assert_eq!(g.driver.wait_used(0), (0, 0));
    assert_eq!(g.driver.wait_used(0), (1, 0));
    g.expect(op::RST);
}

#[test]
fn a_restored_guest_is_told_to_forget_its_connections() {
    let mut g = guest();
    let (_stream, port) = g.host_connects();
    g.driver.transport.quiesce(mock::LONG).unwrap();
    let state = g.driver.transport.save().unwrap();
    let device = Vsock::new(CID as u32 + 1, None);
    let host = device.host();
    let mut driver = MockDriver::from_state(Box::new(device), &g.driver.memory, &state);
    std::mem::swap(&mut driver.queues, &mut g.driver.queues);
    driver.transport.resume(true);
    assert_eq!(driver.wait_used(2), (0, 4));
    assert_eq!(driver.memory.read_obj::<u32>(GuestAddress(EVENT_BUFFER)).unwrap(), 0);
    assert_eq!(driver.r(0x100), CID as u32 + 1, "and reads its new context ID");
    drop((host, port));
}

/// What the guest still sends for a connection of before must not end one of the restored device.
#[test]
fn another_device_uses_other_host_ports() {
    let mut ports: Vec<u32> = (0..4).map(|_| guest().host_connects().1).collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 1, "{ports:?}");
}

#[test]
fn connections_survive_a_pause() {
    let mut g = guest();
    let (mut stream, port) = g.host_connects();
    g.driver.transport.quiesce(mock::LONG).unwrap();
    stream.write_all(b"meanwhile").unwrap();
    g.driver.transport.resume(false);
    assert_eq!(g.receive().1, b"meanwhile");
    g.send(op::RW, 1000, port, b"on");
    assert_eq!(read_exact(&mut stream, 2), b"on");
}

#[test]
fn a_thousand_streams_at_once_keep_their_bytes_apart() {
    let mut g = guest();
    let listener = g.host.listen(1).unwrap();
    let mut streams = Vec::new();
    for port in 0..1000 {
        g.send(op::REQUEST, port, 1, &[]);
        g.expect(op::RESPONSE);
        streams.push(listener.accept(LONG).unwrap());
    }
    for port in 0..1000u32 {
        g.send(op::RW, port, 1, &port.to_le_bytes());
    }
    for incoming in &mut streams {
        let expected = incoming.guest_port.to_le_bytes();
        assert_eq!(read_exact(&mut incoming.stream, 4), expected);
        incoming.stream.write_all(&expected).unwrap();
    }
    let mut seen = vec![false; 1000];
    for _ in 0..1000 {
        let (header, data) = g.receive();
        assert_eq!(data, header.dst_port.to_le_bytes());
        seen[header.dst_port as usize] = true;
    }
    assert!(seen.iter().all(|s| *s));
}

#[test]
fn connections_beyond_the_limit_are_refused() {
    let mut g = guest();
    let listener = g.host.listen(1).unwrap();
    let mut accepted = Vec::new();
    // The backlog is the first limit that a guest meets.
    let mut port = 0;
    loop {
        g.send(op::REQUEST, port, 1, &[]);
        if g.receive().0.op == op::RST {
            break;
        }
        port += 1;
        accepted.push(port);
    }
    assert_eq!(accepted.len(), 128);
    listener.accept(LONG).unwrap();
    g.send(op::REQUEST, 100_000, 1, &[]);
    // The dropped stream says goodbye in its own time.
    while g.receive().0.op != op::RESPONSE {}
}

/// What a device has registered with the event loop.
#[derive(Default)]
struct Watched(Vec<u32>);

impl Watch for Watched {
    fn add(&mut self, _: std::os::fd::BorrowedFd<'_>, token: u32, _: Readiness) -> io::Result<()> {
        self.0.push(token);
        Ok(())
    }
    fn modify(&mut self, _: std::os::fd::BorrowedFd<'_>, _: u32, _: Readiness) -> io::Result<()> {
        Ok(())
    }
    fn remove(&mut self, _: std::os::fd::BorrowedFd<'_>) {
        self.0.pop();
    }
}

/// A device without a transport, whose driver has no queue.
fn alone(socket: Option<VsockSocket>, restored: bool) -> (Vsock, Active) {
    use crate::device::Doorbell;
    let sink = std::sync::Arc::new(mock::CountingSink::default());
    let line = devices::IrqLine::new(40, devices::Trigger::Level, sink);
    let bell = std::sync::Arc::new(crate::event::Bell::new().unwrap());
    let active = Active {
        features: 0,
        queues: Vec::new(),
        memory: mock::memory(1 << 20),
        interrupt: crate::Interrupt::new(line, 0, false),
        doorbell: std::sync::Arc::new(Doorbell::new(bell)),
        restored,
    };
    (Vsock::new(CID as u32, socket), active)
}

#[test]
fn a_client_that_cannot_be_let_in_waits_for_the_next_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut socket = VsockSocket::bind(&dir.path().join("vsock")).unwrap();
    // Stands for a process without descriptors: accept fails, whoever comes.
    let (deaf, _other) = UnixStream::pair().unwrap();
    socket.listener = std::os::fd::OwnedFd::from(deaf).into();
    let (mut device, mut active) = alone(Some(socket), false);
    let mut watched = Watched::default();
    device.activate(&mut active, &mut watched).unwrap();
    assert_eq!(watched.0, [LISTENER]);
    device.ready(LISTENER, Readiness::READ, &mut active, &mut watched).unwrap();
    assert_eq!(watched.0, [0; 0], "it would be reported again at once");
    device.host_event(&mut active, &mut watched).unwrap();
    assert_eq!(watched.0, [LISTENER]);
}

#[test]
fn clients_of_a_restored_guest_wait_unwatched() {
    let dir = tempfile::tempdir().unwrap();
    let socket = VsockSocket::bind(&dir.path().join("vsock")).unwrap();
    let (mut device, mut active) = alone(Some(socket), true);
    let mut watched = Watched::default();
    device.activate(&mut active, &mut watched).unwrap();
    device.host_event(&mut active, &mut watched).unwrap();
    assert_eq!(watched.0, [0; 0]);
}

#[test]
fn a_dropped_stream_leaves_no_turn_behind() {
    let (mut device, _) = alone(None, false);
    let mut watched = Watched::default();
    for _ in 0..3 {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut stream = Stream::new(ours, Ports { host: 1, guest: 2 }, Phase::Open);
        stream.owed.response = true;
        let index = device.table.insert(stream, true).ok().unwrap();
        device.settle(index, &mut watched);
        assert_eq!(device.list, [index]);
        device.drop_stream(index, &mut watched);
        assert_eq!(device.list, [0; 0]);
    }
}

#[test]
fn a_caller_that_gives_up_leaves_nothing_behind() {
    let (device, _) = alone(None, false);
    let refused = device.host().connect(1, Duration::from_millis(1)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    assert!(device.host.take_wanted().is_empty());
}

#[test]
fn a_reader_gets_what_was_sent_before_the_guests_end() {
    let mut g = guest();
    let (mut stream, port) = g.host_connects();
    // Past what the socket holds, within what the device holds.
    let (piece, mut sent) = (vec![5; 16 * 1024], 0);
    loop {
        g.send(op::RW, 1000, port, &piece);
        sent += piece.len();
        g.send(op::CREDIT_REQUEST, 1000, port, &[]);
        let taken = loop {
            let (header, _) = g.receive();
            if header.fwd_cnt as usize == sent || header.op == op::CREDIT_UPDATE {
                break header.fwd_cnt as usize;
            }
        };
        if sent - taken > 64 * 1024 {
            break;
        }
    }
    g.driver.transport.reset();
    let mut got = 0;
    let mut bytes = vec![0; 10_000];
    loop {
        let count = stream.read(&mut bytes).unwrap();
        if count == 0 {
            break;
        }
        got += count;
    }
    assert_eq!(got, sent);
}

#[test]
fn a_pause_is_no_acknowledgement_of_the_reset_event() {
    let mut g = guest();
    g.driver.transport.quiesce(mock::LONG).unwrap();
    let state = g.driver.transport.save().unwrap();
    let device = Vsock::new(CID as u32, None);
    g.host = device.host();
    let mut driver = MockDriver::from_state(Box::new(device), &g.driver.memory, &state);
    std::mem::swap(&mut driver.queues, &mut g.driver.queues);
    g.driver = driver;
    g.driver.transport.resume(true);
    assert_eq!(g.driver.wait_used(2), (0, 4));
    g.driver.transport.quiesce(mock::LONG).unwrap();
    g.driver.transport.resume(false);
    let host = g.host.clone();
    let caller = std::thread::spawn(move || host.connect(1000, LONG));
    while g.host.asked() == 0 {
        std::thread::yield_now();
    }
    g.settle();
    assert_eq!(g.driver.queues[0].used_idx(), 0, "no connection before the guest has answered");
    g.driver.queues[2].add(&[(EVENT_BUFFER, 4, true)]);
    g.driver.notify(2);
    let request = g.expect(op::REQUEST);
    g.send(op::RST, 1000, request.src_port, &[]);
    assert!(caller.join().unwrap().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn headers_survive_their_bytes(bytes in prop::collection::vec(any::<u8>(), 44)) {
        let bytes: [u8; 44] = bytes.try_into().unwrap();
        prop_assert_eq!(Header::from_bytes(&bytes).to_bytes(), bytes);
    }

    /// Any packets leave a device that still answers.
    #[test]
    fn any_packets_leave_the_device_at_work(
        packets in prop::collection::vec(
            (0u16..9, 0u32..3, 0u32..3, any::<u32>(), any::<u32>(), any::<u32>(), 0u32..2000, 0usize..1500),
            1..40,
        ),
    ) {
        let mut g = guest();
        let _listener = g.host.listen(1).unwrap();
        let host = g.host.clone();
        let _caller = std::thread::spawn(move || host.connect(2, Duration::from_millis(1)));
        for (op, src, dst, flags, buf_alloc, fwd_cnt, len, real) in packets {
            let header = Header { flags, buf_alloc, fwd_cnt, len, ..g.header(op, src, dst) };
            g.send_raw(header, &vec![0; real]);
            while let Some((head, _)) = g.driver.queues[0].take_used() {
                let at = g.buffers[head as usize];
                g.add_buffer(at);
            }
        }
        g.settle();
        prop_assert_eq!(g.driver.r(0x70), 15);
        g.send(op::RW, 77, 77, &[]);
        loop {
            let (header, _) = g.receive();
            if header.op == op::RST && header.dst_port == 77 {
                break;
            }
        }
    }
}
