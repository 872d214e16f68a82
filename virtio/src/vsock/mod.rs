//! Socket device (virtio 1.2, section 5.10): streams between guest and host, no seqpackets.
//!
//! Every stream of the host is a unix socket, whether a caller in this process holds its other end
//! ([`VsockHost`]) or another process connected ([`VsockSocket`]).
//!
//! Limits: 4096 connections; a guest that does not take packets delays its own
//! connections, because then its packets are not taken either.

mod host;
mod packet;
mod receive;
mod send;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;

use virtio_bindings::virtio_ids::VIRTIO_ID_VSOCK;

pub use host::{Incoming, VsockHost, VsockListener, VsockSocket};
pub use packet::HOST_CID;

use crate::config::ConfigSpace;
use crate::device::{Active, VirtioDevice};
use crate::event::{Readiness, Watch};
use crate::once::{Once, log_once};
use crate::queue::Broken;
use packet::Header;
use stream::{Phase, Ports, Stream};
use table::Table;

const RX: usize = 0;
const TX: usize = 1;
const EVENT: usize = 2;
const QUEUE_SIZE: u16 = 256;

/// VIRTIO_VSOCK_F_STREAM (5.10.3).
const F_STREAM: u32 = 0;
/// VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (5.10.6.7).
const EVENT_TRANSPORT_RESET: u32 = 0;

/// The listening unix socket; streams follow.
const LISTENER: u32 = 0;
const FIRST_STREAM: u32 = 1;

/// How far the guest is with the news that its connections are gone: they were another machine's.
///
/// A driver that learns it drops every connection, also one that was made a moment before. So none is made until it has
/// learnt it, which shows when it gives the event's buffer back: offers one more than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResetEvent {
    /// There is no such news.
    None,
    /// It is not told yet.
    Owed,
    /// It is told; the event queue's buffers that had been offered by then.
    Told {
        /// As [`Virtq::offered`](crate::Virtq::offered) counts.
        offered: u16,
    },
}

/// A socket device.
pub struct Vsock {
    cid: u64,
    host: VsockHost,
    socket: Option<VsockSocket>,
    /// The socket's listener is watched.
    listening: bool,
    table: Table,
    /// Streams that have business with the guest, in turn.
    list: VecDeque<usize>,
    /// Answers to packets of no connection, bounded; while it is full no packet is taken.
    refusals: VecDeque<Header>,
    /// Packets wait in the send queue for `refusals` to get shorter.
    stalled: bool,
    reset_event: ResetEvent,
    complained: Once,
    buf: Vec<u8>,
}

impl Vsock {
    /// A device for the guest with context ID `cid` (3 and up). `socket` lets other processes in.
    pub fn new(cid: u32, socket: Option<VsockSocket>) -> Self {
        Self {
            cid: cid.into(),
            host: VsockHost::default(),
            socket,
            listening: false,
            table: Table::default(),
            list: VecDeque::new(),
            refusals: VecDeque::new(),
            stalled: false,
            reset_event: ResetEvent::None,
            complained: Once::default(),
            buf: Vec::new(),
        }
    }

    /// The host's side, for this process.
    pub fn host(&self) -> VsockHost {
        self.host.clone()
    }

    fn token(index: usize) -> u32 {
        index as u32 + FIRST_STREAM
    }

    /// Puts a stream in the list if it has business, and watches what it can use.
    fn settle(&mut self, index: usize, watch: &mut dyn Watch) {
        let Some(stream) = self.table.get(index) else { return };
        if stream.has_business() && !stream.listed {
            stream.listed = true;
            self.list.push_back(index);
        }
        if let Err(error) = stream.rewatch(Self::token(index), watch) {
            let once = &self.complained;
            log_once!(once, warn, %error, "a socket of the guest cannot be watched; it is reset");
            stream.owed.reset = true;
            if !stream.listed {
                stream.listed = true;
                self.list.push_back(index);
            }
        }
    }

    fn drop_stream(&mut self, index: usize, watch: &mut dyn Watch) {
        if let Some(mut stream) = self.table.remove(index) {
            stream.unwatch(watch);
            if stream.listed {
                self.list.retain(|listed| *listed != index);
            }
        }
    }

    /// The guest has forgotten every connection. What it had sent is still written.
    fn forget_all(&mut self, watch: &mut dyn Watch) {
        self.list.clear();
        self.refusals.clear();
        self.stalled = false;
        for index in self.table.indexes() {
            let Some(stream) = self.table.get(index) else { continue };
            stream.listed = false;
            if stream.is_heard_out() {
                self.drop_stream(index, watch);
            } else {
                self.linger(index, watch);
            }
        }
    }

    /// Keeps a stream that the guest has forgotten until its reader has everything.
    fn linger(&mut self, index: usize, watch: &mut dyn Watch) {
        if let Some(stream) = self.table.get(index) {
            stream.forgotten();
            self.table.forget_name(index);
            self.settle(index, watch);
        }
    }

    /// The reader of a stream has taken something.
    fn flush(&mut self, index: usize, watch: &mut dyn Watch) {
        let Some(stream) = self.table.get(index) else { return };
        stream.flush();
        if matches!(stream.phase, Phase::Lingering) && stream.is_heard_out() {
            self.drop_stream(index, watch);
        }
    }

    /// Watches the socket's listener, unless no client can be let in now.
    fn listen(&mut self, watch: &mut dyn Watch) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        if !self.listening && self.reset_event == ResetEvent::None {
            watch.add(socket.listener.as_fd(), LISTENER, Readiness::READ)?;
            self.listening = true;
        }
        Ok(())
    }

    /// Takes the listener out of the event loop, which would report a client that waits for ever.
    fn stop_listening(&mut self, watch: &mut dyn Watch) {
        if let Some(socket) = &self.socket
            && std::mem::take(&mut self.listening)
        {
            watch.remove(socket.listener.as_fd());
        }
    }

    /// Takes what callers in this process and clients of the socket want.
    fn take_wanted(&mut self, watch: &mut dyn Watch) {
        if self.reset_event != ResetEvent::None {
            return;
        }
        for host::Wanted { guest_port, ours, theirs, answer, .. } in self.host.take_wanted() {
            let ports = Ports { host: self.table.free_port(guest_port), guest: guest_port };
            let mut stream = Stream::new(ours, ports, Phase::AskedForCaller { theirs, answer });
            stream.owed.request = true;
            match self.table.insert(stream, true) {
                Ok(index) => self.settle(index, watch),
                Err(stream) => {
                    if let Phase::AskedForCaller { answer, .. } = stream.phase {
                        let full = io::Error::other("the guest has too many connections");
                        let _ = answer.send(Err(full));
                    }
                }
            }
        }
    }

    fn take_clients(&mut self, watch: &mut dyn Watch) {
        while let Some(socket) = &self.socket {
            match socket.listener.accept() {
                Ok((client, _)) => {
                    if client.set_nonblocking(true).is_err() {
                        continue;
                    }
                    let nowhere = Ports { host: 0, guest: 0 };
                    let stream = Stream::new(client, nowhere, Phase::Greeting(Vec::new()));
                    if let Ok(index) = self.table.insert(stream, false) {
                        self.settle(index, watch);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Most likely no descriptor is left. The next event of the device tries again.
                    let once = &self.complained;
                    log_once!(once, warn, %error, "a client of the guest's socket has to wait");
                    return self.stop_listening(watch);
                }
            }
        }
    }

    fn tell_of_reset(&mut self, active: &mut Active, watch: &mut dyn Watch) -> Result<(), Broken> {
        match self.reset_event {
            ResetEvent::None => return Ok(()),
            ResetEvent::Owed | ResetEvent::Told { .. } => {}
        }
        let Some(Some(queue)) = active.queues.get_mut(EVENT) else {
            return Ok(());
        };
        if let ResetEvent::Told { offered } = self.reset_event {
            // A pause has the doorbell rung too.
            if queue.offered()? != offered {
                self.reset_event = ResetEvent::None;
                self.take_wanted(watch);
            }
            return Ok(());
        }
        let Some(chain) = queue.pop()? else {
            return Ok(());
        };
        let event = EVENT_TRANSPORT_RESET.to_le_bytes();
        let written = match chain.malformed {
            false => chain.writable.write(&active.memory, 0, &event).unwrap_or(0),
            true => 0,
        };
        let offered = queue.expect_more()?;
        if written == event.len() {
            self.reset_event = ResetEvent::Told { offered };
        }
        queue.complete(chain.head, written as u32)?;
        active.publish(EVENT)
    }
}

impl VirtioDevice for Vsock {
    fn id(&self) -> u32 {
        VIRTIO_ID_VSOCK
    }

    fn features(&self) -> u64 {
        1 << F_STREAM
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 3]
    }

    fn config(&self) -> ConfigSpace {
        ConfigSpace::fixed(self.cid.to_le_bytes().to_vec())
    }

    fn activate(&mut self, active: &mut Active, watch: &mut dyn Watch) -> io::Result<()> {
        self.host.attach(&active.doorbell);
        if active.restored {
            self.reset_event = ResetEvent::Owed;
        }
        self.listen(watch)?;
        for index in self.table.indexes() {
            self.settle(index, watch);
        }
        Ok(())
    }

    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        match queue {
            TX => self.take_packets(active, watch)?,
            EVENT => self.tell_of_reset(active, watch)?,
            _ => {}
        }
        self.serve(active, watch)
    }

    fn ready(
        &mut self,
        token: u32,
        ready: Readiness,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        if token == LISTENER {
            if self.listening {
                self.take_clients(watch);
            }
            return Ok(());
        }
        let index = (token - FIRST_STREAM) as usize;
        if ready.writable {
            self.flush(index, watch);
        }
        let Some(stream) = self.table.get(index) else {
            return self.serve(active, watch);
        };
        if ready.readable && matches!(stream.phase, Phase::Greeting(_)) {
            self.greet(index, watch);
        } else if ready.readable {
            stream.readable = true;
        }
        self.check_finished(index);
        self.settle(index, watch);
        self.serve(active, watch)
    }

    fn ready_after_reset(&mut self, token: u32, ready: Readiness, watch: &mut dyn Watch) {
        if ready.writable {
            let index = (token - FIRST_STREAM) as usize;
            self.flush(index, watch);
            self.settle(index, watch);
        }
    }

    fn host_event(&mut self, active: &mut Active, watch: &mut dyn Watch) -> Result<(), Broken> {
        self.take_wanted(watch);
        self.serve(active, watch)
    }

    fn quiesce(&mut self, _active: &mut Active, watch: &mut dyn Watch) {
        self.stop_listening(watch);
        for index in self.table.indexes() {
            if let Some(stream) = self.table.get(index) {
                stream.unwatch(watch);
            }
        }
    }

    fn reset(&mut self, watch: &mut dyn Watch) {
        self.forget_all(watch);
        self.reset_event = ResetEvent::None;
    }
}
