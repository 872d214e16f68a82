//! One connection: its phase, its credit (virtio 1.2, 5.10.6.3) and what it owes the guest.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::host::Answer;
use super::packet::{HOST_CID, Header, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND, STREAM, op};
use crate::event::{Readiness, Watch};

/// Bytes that the guest may have sent and the host's reader not yet taken.
pub(super) const BUF_ALLOC: u32 = 128 * 1024;

/// Ports of both ends: what tells connections apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    pub(super) host: u32,
    pub(super) guest: u32,
}

/// How far a connection has come.
pub(super) enum Phase {
    /// A client of the unix socket has not yet said all of where to.
    Greeting(Vec<u8>),
    /// The guest has been asked; the client of the unix socket waits for `OK`.
    AskedForClient,
    /// The guest has been asked; a caller waits for its end.
    AskedForCaller { theirs: UnixStream, answer: Answer },
    /// Established.
    Open,
    /// The guest has forgotten the connection; only what it had sent remains to be written.
    Lingering,
}

/// What has to be told to the guest, one packet each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) request: bool,
    pub(super) response: bool,
    pub(super) credit_update: bool,
    pub(super) credit_request: bool,
    pub(super) reset: bool,
}

pub(super) struct Stream {
    pub(super) socket: UnixStream,
    pub(super) ports: Ports,
    pub(super) phase: Phase,
    pub(super) owed: Owed,
    /// In the device's list of streams that owe something or have data.
    pub(super) listed: bool,
    /// The socket had data when last seen.
    pub(super) readable: bool,
    /// Interest registered with the event loop, if any.
    watched: Option<Readiness>,

    /// From the guest, not yet taken by the host's reader. At most [`BUF_ALLOC`].
    unwritten: VecDeque<u8>,
    /// Bytes that the host's reader has taken, modulo 2^32.
    forwarded: u32,
    /// What the guest was last told of `forwarded`.
    told: u32,
    /// SHUTDOWN flags of the guest.
    guest_shut: u32,
    /// The socket takes no more.
    broken: bool,

    guest_buf_alloc: u32,
    guest_fwd_cnt: u32,
    /// Bytes sent to the guest, modulo 2^32.
    sent: u32,
    /// SHUTDOWN flags of the host, and those that the guest has been told.
    pub(super) host_shut: u32,
    pub(super) host_shut_told: u32,
}

impl Stream {
    pub(super) fn new(socket: UnixStream, ports: Ports, phase: Phase) -> Self {
        Self {
            socket,
            ports,
            phase,
            owed: Owed::default(),
            listed: false,
            readable: false,
            watched: None,
            unwritten: VecDeque::new(),
            forwarded: 0,
            told: 0,
            guest_shut: 0,
            broken: false,
            guest_buf_alloc: 0,
            guest_fwd_cnt: 0,
            sent: 0,
            host_shut: 0,
            host_shut_told: 0,
        }
    }

    /// A packet of this connection; it carries the credit, so none is owed afterwards.
    pub(super) fn header(&mut self, guest_cid: u64, op: u16, len: u32, flags: u32) -> Header {
        self.owed.credit_update = false;
        self.told = self.forwarded;
        if op == op::RW {
            self.sent = self.sent.wrapping_add(len);
        }
        Header {
            src_cid: HOST_CID,
            dst_cid: guest_cid,
            src_port: self.ports.host,
            dst_port: self.ports.guest,
            len,
            kind: STREAM,
            op,
            flags,
            buf_alloc: BUF_ALLOC,
            fwd_cnt: self.forwarded,
        }
    }

    /// Every packet of the guest carries its credit.
    pub(super) fn take_credit(&mut self, header: &Header) {
        self.guest_buf_alloc = header.buf_alloc;
        self.guest_fwd_cnt = header.fwd_cnt;
    }

    /// Bytes that the guest has room for.
    pub(super) fn credit(&self) -> u32 {
        let in_flight = self.sent.wrapping_sub(self.guest_fwd_cnt);
        self.guest_buf_alloc.saturating_sub(in_flight)
    }

    /// Whether data may be read from the socket for the guest.
    pub(super) fn wants_data(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && self.host_shut & SHUT_SEND == 0
            && self.guest_shut & SHUT_RECEIVE == 0
    }

    /// Whether a turn in the device's list would do anything.
    pub(super) fn has_business(&self) -> bool {
        self.owed != Owed::default()
            || self.owes_shutdown()
            || self.readable && self.wants_data() && self.credit() != 0
    }

    /// Whether the host has shut down more than the guest knows.
    pub(super) fn owes_shutdown(&self) -> bool {
        self.host_shut != self.host_shut_told && matches!(self.phase, Phase::Open)
    }

    /// Takes data of the guest. `false` if the guest ignored its credit.
    pub(super) fn accept(&mut self, data: &[u8]) -> bool {
        if self.unwritten.len() + data.len() > BUF_ALLOC as usize {
            return false;
        }
        let mut rest = data;
        if self.unwritten.is_empty() && !self.broken {
            let outcome = write_some(&self.socket, rest);
            rest = &rest[outcome.written..];
            self.note(outcome);
        }
        if self.broken {
            // Nobody reads; the guest is told, and its data goes nowhere.
            self.forward(rest.len());
        } else {
            self.unwritten.extend(rest);
        }
        true
    }

    /// Writes what is left over from before.
    pub(super) fn flush(&mut self) {
        while !self.unwritten.is_empty() && !self.broken {
            let (front, _) = self.unwritten.as_slices();
            let (len, outcome) = (front.len(), write_some(&self.socket, front));
            self.unwritten.drain(..outcome.written);
            self.note(outcome);
            if outcome.written < len {
                break;
            }
        }
        if self.broken {
            let lost = self.unwritten.len();
            self.unwritten.clear();
            self.forward(lost);
        }
        if self.guest_shut & SHUT_SEND != 0 && self.unwritten.is_empty() && !self.broken {
            // The reader sees the end of the stream.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    fn note(&mut self, outcome: Outcome) {
        self.forward(outcome.written);
        if outcome.broken {
            self.broken = true;
            self.host_shut |= SHUT_RECEIVE;
        }
    }

    fn forward(&mut self, count: usize) {
        self.forwarded = self.forwarded.wrapping_add(count as u32);
        let known = !matches!(self.phase, Phase::Lingering);
        if known && self.forwarded.wrapping_sub(self.told) >= BUF_ALLOC / 4 {
            self.owed.credit_update = true;
        }
    }

    /// The guest sends or receives no more.
    pub(super) fn guest_shuts(&mut self, flags: u32) {
        self.guest_shut |= flags & SHUT_BOTH;
        if self.guest_shut & SHUT_RECEIVE != 0 {
            // The host's writer sees a broken pipe.
            let _ = self.socket.shutdown(Shutdown::Read);
        }
        self.flush();
    }

    /// Whether the guest has closed the connection and all of its data has been taken.
    pub(super) fn is_finished(&self) -> bool {
        self.guest_shut == SHUT_BOTH && self.unwritten.is_empty()
    }

    /// Whether nothing of what the guest has sent is still to be written.
    pub(super) fn is_heard_out(&self) -> bool {
        self.unwritten.is_empty() || self.broken
    }

    /// Whether data of a guest that has closed properly is still to be written.
    pub(super) fn may_linger(&self) -> bool {
        self.guest_shut & SHUT_SEND != 0 && !self.is_heard_out()
    }

    /// The guest no longer knows the connection; only what it had sent remains.
    pub(super) fn forgotten(&mut self) {
        self.phase = Phase::Lingering;
        self.owed = Owed::default();
        self.host_shut_told = self.host_shut;
    }

    /// Brings the event loop's interest in line with what the stream can use now. A descriptor
    /// without interest is taken out altogether, because a hang-up is always reported.
    pub(super) fn rewatch(&mut self, token: u32, watch: &mut dyn Watch) -> io::Result<()> {
        let wanted = Readiness {
            readable: match self.phase {
                Phase::Greeting(_) => true,
                _ => !self.readable && self.wants_data() && self.credit() != 0,
            },
            writable: !self.unwritten.is_empty() && !self.broken,
        };
        let wanted = (wanted != Readiness::default()).then_some(wanted);
        if wanted == self.watched {
            return Ok(());
        }
        match (self.watched, wanted) {
            (None, Some(interest)) => watch.add(self.socket.as_fd(), token, interest)?,
            (Some(_), Some(interest)) => watch.modify(self.socket.as_fd(), token, interest)?,
            (_, None) => watch.remove(self.socket.as_fd()),
        }
        self.watched = wanted;
        Ok(())
    }

    /// Takes the descriptor out of the event loop.
    pub(super) fn unwatch(&mut self, watch: &mut dyn Watch) {
        if self.watched.take().is_some() {
            watch.remove(self.socket.as_fd());
        }
    }
}

#[derive(Clone, Copy)]
struct Outcome {
    written: usize,
    /// The reader is gone.
    broken: bool,
}

fn write_some(mut socket: &UnixStream, data: &[u8]) -> Outcome {
    let mut written = 0;
    while written < data.len() {
        match socket.write(&data[written..]) {
            Ok(n) => written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return Outcome { written, broken: true },
        }
    }
    Outcome { written, broken: false }
}
