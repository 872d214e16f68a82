//! Packets of the guest.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::TrySendError;

use super::host::Incoming;
use super::packet::{HEADER_LEN, HOST_CID, Header, STREAM, op};
use super::stream::{BUF_ALLOC, Phase, Ports, Stream};
use super::{TX, Vsock};
use crate::Memory;
use crate::device::{Active, Handled};
use crate::event::Watch;
use crate::queue::Broken;
use crate::span::Chain;

/// Most refusals that wait for room in the receive queue.
const MAX_REFUSALS: usize = 256;
/// Longest greeting of a client: `CONNECT 4294967295\n` and some space.
const MAX_GREETING: usize = 32;

impl Vsock {
    /// Takes the packets that the guest has sent.
    pub(super) fn take_packets(
        &mut self,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        self.stalled = false;
        active.drain(TX, |chain, memory| {
            if self.refusals.len() >= MAX_REFUSALS {
                self.stalled = true;
                return Handled::NotNow;
            }
            self.take_packet(chain, memory, watch);
            Handled::Done(0)
        })
    }

    fn take_packet(&mut self, chain: &Chain, memory: &Memory, watch: &mut dyn Watch) {
        let mut bytes = [0; HEADER_LEN as usize];
        if chain.malformed || chain.readable.read(memory, 0, &mut bytes) != Ok(bytes.len()) {
            tracing::debug!("packet without a header");
            return;
        }
        let header = Header::from_bytes(&bytes);
        // A guest speaks for itself only, and to the host only (5.10.6.4.1); other packets are
        // dropped, for an answer would reach nobody.
        if header.src_cid != self.cid || header.dst_cid != HOST_CID {
            tracing::debug!(?header, "packet of or for somebody else");
            return;
        }
        if header.kind != STREAM {
            return self.refuse(&header);
        }
        let ports = Ports { host: header.dst_port, guest: header.src_port };
        let index = match (self.table.find(ports), header.op) {
            (None, op::REQUEST) => return self.take_request(&header, ports, watch),
            (None, op::RST) => return,
            (None, _) => return self.refuse(&header),
            (Some(index), _) => index,
        };
        if !self.take_operation(index, &header, chain, memory)
            && let Some(stream) = self.table.get(index)
        {
            stream.owed.reset = true;
        }
        if header.op == op::RST {
            self.take_reset(index, watch);
        } else {
            self.check_finished(index);
            self.settle(index, watch);
        }
    }

    /// What a packet of a known connection does. `false` if it makes no sense and the connection
    /// is to be reset.
    fn take_operation(
        &mut self,
        index: usize,
        header: &Header,
        chain: &Chain,
        memory: &Memory,
    ) -> bool {
        let buf = &mut self.buf;
        let Some(stream) = self.table.get(index) else { return false };
        stream.take_credit(header);
        match (header.op, &stream.phase) {
            (op::RESPONSE, Phase::AskedForClient | Phase::AskedForCaller { .. }) => {
                establish(stream)
            }
            (op::RW, Phase::Open) => {
                let len = header.len;
                if len > BUF_ALLOC || chain.readable.len() - HEADER_LEN < len {
                    return false;
                }
                buf.resize(len as usize, 0);
                chain.readable.read(memory, HEADER_LEN, buf).is_ok() && stream.accept(buf)
            }
            (op::CREDIT_UPDATE, _) | (op::RST, _) => true,
            (op::CREDIT_REQUEST, Phase::Open) => {
                stream.owed.credit_update = true;
                true
            }
            (op::SHUTDOWN, Phase::Open) => {
                stream.guest_shuts(header.flags);
                true
            }
            _ => false,
        }
    }

    /// A process of the guest connects to a host port.
    fn take_request(&mut self, header: &Header, ports: Ports, watch: &mut dyn Watch) {
        let socket = match self.host.listener(ports.host) {
            Some(listener) => UnixStream::pair().ok().and_then(|(a, b)| {
                a.set_nonblocking(true).ok()?;
                let incoming = Incoming { stream: b, guest_port: ports.guest };
                match listener.try_send(incoming) {
                    Ok(()) => Some(a),
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
                }
            }),
            None => self.socket.as_ref().and_then(|socket| socket.connect(ports.host).ok()),
        };
        let Some(socket) = socket else {
            return self.refuse(header);
        };
        let mut stream = Stream::new(socket, ports, Phase::Open);
        stream.take_credit(header);
        stream.owed.response = true;
        match self.table.insert(stream, true) {
            Ok(index) => self.settle(index, watch),
            Err(_) => self.refuse(header),
        }
    }

    fn take_reset(&mut self, index: usize, watch: &mut dyn Watch) {
        let Some(stream) = self.table.get(index) else { return };
        if let Phase::AskedForCaller { answer, .. } = &stream.phase {
            let _ = answer.send(Err(std::io::ErrorKind::ConnectionRefused.into()));
        }
        if stream.may_linger() {
            self.linger(index, watch);
        } else {
            self.drop_stream(index, watch);
        }
    }

    /// A guest that has closed its end waits for a reset (5.10.6.6), which it gets when the host's
    /// reader has everything.
    pub(super) fn check_finished(&mut self, index: usize) {
        if let Some(stream) = self.table.get(index)
            && matches!(stream.phase, Phase::Open)
            && stream.is_finished()
        {
            stream.owed.reset = true;
        }
    }

    /// Answers a packet that belongs to no connection (5.10.6.4.2).
    fn refuse(&mut self, header: &Header) {
        if header.op == op::RST {
            return;
        }
        self.refusals.push_back(Header {
            src_cid: HOST_CID,
            dst_cid: self.cid,
            src_port: header.dst_port,
            dst_port: header.src_port,
            kind: header.kind,
            op: op::RST,
            ..Header::default()
        });
    }

    /// A client of the unix socket says where to.
    pub(super) fn greet(&mut self, index: usize, watch: &mut dyn Watch) {
        let Some(stream) = self.table.get(index) else { return };
        let Phase::Greeting(line) = &mut stream.phase else { return };
        match read_greeting(&stream.socket, line) {
            Greeting::Incomplete => {}
            Greeting::Bad => self.drop_stream(index, watch),
            Greeting::Connect(guest) => {
                let ports = Ports { host: self.table.free_port(guest), guest };
                self.table.name(index, ports);
                if let Some(stream) = self.table.get(index) {
                    stream.phase = Phase::AskedForClient;
                    stream.owed.request = true;
                }
            }
        }
    }
}

/// The guest has accepted. `false` if the caller no longer waits.
fn establish(stream: &mut Stream) -> bool {
    match std::mem::replace(&mut stream.phase, Phase::Open) {
        Phase::AskedForClient => {
            let line = format!("OK {}\n", stream.ports.host);
            // A fresh socket has room for a line; a client that is gone shows here.
            stream.socket.write_all(line.as_bytes()).is_ok()
        }
        Phase::AskedForCaller { theirs, answer } => answer.send(Ok(theirs)).is_ok(),
        phase => {
            stream.phase = phase;
            false
        }
    }
}

enum Greeting {
    Incomplete,
    Bad,
    Connect(u32),
}

/// Reads up to the end of the line and not a byte further: what follows belongs to the guest.
fn read_greeting(socket: &UnixStream, line: &mut Vec<u8>) -> Greeting {
    use rustix::io::Errno;
    use rustix::net::{RecvFlags, recv};
    let mut seen = [0; MAX_GREETING];
    let room = &mut seen[..MAX_GREETING - line.len()];
    let count = match recv(socket, &mut *room, RecvFlags::PEEK) {
        Ok((count, _)) if count != 0 => count,
        Err(Errno::WOULDBLOCK | Errno::INTR) => return Greeting::Incomplete,
        _ => return Greeting::Bad,
    };
    let end = room[..count].iter().position(|byte| *byte == b'\n');
    let take = end.map_or(count, |end| end + 1);
    if !matches!(recv(socket, &mut room[..take], RecvFlags::empty()), Ok((n, _)) if n == take) {
        return Greeting::Bad;
    }
    line.extend(&room[..take]);
    match end {
        None if line.len() == MAX_GREETING => Greeting::Bad,
        None => Greeting::Incomplete,
        Some(_) => {
            let port = std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.trim_end().strip_prefix("CONNECT "))
                .and_then(|port| port.trim().parse().ok());
            port.map_or(Greeting::Bad, Greeting::Connect)
        }
    }
}
