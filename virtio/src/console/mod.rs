//! Console device (virtio 1.2, section 5.3) with several ports.
//!
//! The host's end of each port is a unix stream socket. What the guest writes waits in its queue
//! while the host does not read, and the other way round: nothing is dropped, except what the host
//! writes to a port before a guest process opens it, which the guest's driver may discard.
//!
//! Limits: no emergency write; a driver without VIRTIO_CONSOLE_F_MULTIPORT has the first port only.

mod control;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use snapshot::Invalid;
use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;

use crate::Error;
use crate::config::ConfigSpace;
use crate::device::{Active, DeviceState, Handled, HostBell, VirtioDevice};
use crate::event::{Readiness, Watch};
use crate::queue::Broken;
use control::Message;

/// Feature bits (5.3.3).
const F_SIZE: u32 = 0;
const F_MULTIPORT: u32 = 1;

const QUEUE_SIZE: u16 = 64;
const CONTROL_RX: usize = 2;
const CONTROL_TX: usize = 3;
/// Most ports: their queues and the control queues must fit a doorbell.
const MAX_PORTS: usize = 30;
/// Bytes moved at once.
const PIECE: usize = 16 * 1024;

/// Guest-visible state of a console's ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleState {
    /// By port: a guest process has it open.
    pub guest_open: Vec<bool>,
    /// By port: the driver has been told that the host has it open.
    pub host_open_told: Vec<bool>,
    /// By port: bytes of its first waiting request that the host has taken.
    pub partly: Vec<u32>,
    /// Control messages that wait for a buffer of the driver.
    pub pending: Vec<Vec<u8>>,
}

/// What a port is.
#[derive(Debug)]
pub struct ConsolePort {
    /// Name under `/dev/virtio-ports` in the guest; empty for none.
    pub name: String,
    /// Whether it is a console (`hvc`), with a size.
    pub is_console: bool,
    /// The device's end.
    pub socket: UnixStream,
}

struct Port {
    name: String,
    is_console: bool,
    socket: UnixStream,
    watched: Option<Readiness>,
    /// The host has closed its end.
    host_closed: bool,
    guest_open: bool,
    host_open_told: bool,
    /// The driver has no buffer for what the socket has.
    starved: bool,
    /// The socket is full; the driver's data waits in its queue.
    blocked: bool,
    /// Part of the first waiting request that the socket has taken.
    partly: u32,
}

#[derive(Debug)]
struct Shared {
    bell: HostBell,
    config: ConfigSpace,
    resized: Mutex<bool>,
}

/// The host's hold of a console. Clones are handles to the same device.
#[derive(Debug, Clone)]
pub struct ConsoleHost(Arc<Shared>);

impl ConsoleHost {
    /// Sets the size of the consoles in characters.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.0.config.update(|config| {
            config[..2].copy_from_slice(&columns.to_le_bytes());
            config[2..4].copy_from_slice(&rows.to_le_bytes());
        });
        *self.0.resized.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.bell.ring();
    }
}

/// A console device.
pub struct Console {
    host: ConsoleHost,
    ports: Vec<Port>,
    /// Control messages for the driver, bounded by refusing its own.
    pending: VecDeque<Vec<u8>>,
    buf: Vec<u8>,
}

/// The receive queue of a port; its transmit queue follows (5.3.2).
const fn rx_queue(port: usize) -> usize {
    if port == 0 { 0 } else { 2 + 2 * port }
}

/// The port of a receive or transmit queue.
fn port_of(queue: usize) -> Option<usize> {
    match queue {
        0 | 1 => Some(0),
        CONTROL_RX | CONTROL_TX => None,
        other => Some(other / 2 - 1),
    }
}

impl Console {
    /// A console with the given ports.
    ///
    /// # Errors
    /// If there is no port or more than 30, or a socket cannot be made non-blocking.
    pub fn new(ports: Vec<ConsolePort>) -> Result<Self, Error> {
        let error = |what: &str, source| Error::Socket { what: what.to_owned(), source };
        if ports.is_empty() || ports.len() > MAX_PORTS {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(error(
                "a console needs between 1 and 30 ports; change their number",
                source,
            ));
        }
        let mut made = Vec::with_capacity(ports.len());
        for ConsolePort { name, is_console, socket } in ports {
            socket
                .set_nonblocking(true)
                .map_err(|e| error("a console's socket cannot be used; pass a connected one", e))?;
            made.push(Port {
                name,
                is_console,
                socket,
                watched: None,
                host_closed: false,
                guest_open: false,
                host_open_told: false,
                starved: false,
                blocked: false,
                partly: 0,
            });
        }
        // cols, rows, max_nr_ports, emerg_wr (5.3.4)
        let mut config = vec![80, 0, 24, 0];
        config.extend((made.len() as u32).to_le_bytes());
        config.extend([0; 4]);
        let host = ConsoleHost(Arc::new(Shared {
            bell: HostBell::default(),
            config: ConfigSpace::new(config, 0..0, 0..4),
            resized: Mutex::new(false),
        }));
        Ok(Self { host, ports: made, pending: VecDeque::new(), buf: Vec::new() })
    }

    /// The host's side.
    pub fn host(&self) -> ConsoleHost {
        self.host.clone()
    }

    fn size(&self) -> (u16, u16) {
        let [a, b, c, d] = self.host.0.config.field(0);
        (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
    }

    /// Moves what the guest has written to the host, as long as the host takes it.
    fn transmit(&mut self, index: usize, active: &mut Active) -> Result<(), Broken> {
        let buf = &mut self.buf;
        let Some(port) = self.ports.get_mut(index) else {
            return Ok(());
        };
        port.blocked = false;
        active.drain(rx_queue(index) + 1, |chain, memory| {
            if chain.malformed || port.host_closed {
                port.partly = 0;
                return Handled::Done(0);
            }
            while port.partly < chain.readable.len() {
                let len = PIECE.min((chain.readable.len() - port.partly) as usize);
                buf.resize(len, 0);
                if chain.readable.read(memory, port.partly, buf).is_err() {
                    break;
                }
                match port.socket.write(buf) {
                    Ok(n) => port.partly += n as u32,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        port.blocked = true;
                        return Handled::NotNow;
                    }
                    // Nobody reads any more.
                    Err(_) => break,
                }
            }
            port.partly = 0;
            Handled::Done(0)
        })
    }

    /// Moves what the host has written to the guest, as long as the guest has buffers.
    fn receive(&mut self, index: usize, active: &mut Active) -> Result<(), Broken> {
        let buf = &mut self.buf;
        let Some(port) = self.ports.get_mut(index) else {
            return Ok(());
        };
        port.starved = false;
        let rx = rx_queue(index);
        let Some(Some(queue)) = active.queues.get_mut(rx) else {
            port.starved = true;
            return Ok(());
        };
        let mut completed = false;
        loop {
            let Some(chain) = queue.pop()? else {
                if queue.allow_notifications()? {
                    continue;
                }
                port.starved = true;
                break;
            };
            let room = PIECE.min(chain.writable.len() as usize);
            if chain.malformed || room == 0 {
                queue.complete(chain.head, 0)?;
                completed = true;
                continue;
            }
            buf.resize(room, 0);
            match port.socket.read(buf) {
                Ok(count) if count != 0 => {
                    let written = chain.writable.write(&active.memory, 0, &buf[..count]);
                    queue.complete(chain.head, written.unwrap_or(0) as u32)?;
                    completed = true;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => queue.unpop(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    queue.unpop();
                    break;
                }
                _ => {
                    queue.unpop();
                    port.host_closed = true;
                    break;
                }
            }
        }
        if completed {
            active.publish(rx)?;
        }
        Ok(())
    }

    /// Does what can be done for a port, and watches for what cannot.
    fn settle(
        &mut self,
        index: usize,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        self.tell_open(index, active);
        self.flush_control(active)?;
        let Some(port) = self.ports.get_mut(index) else {
            return Ok(());
        };
        let wanted =
            Readiness { readable: !port.host_closed && !port.starved, writable: port.blocked };
        // A descriptor without interest is taken out, because a hang-up is always reported.
        let wanted = (wanted != Readiness::default()).then_some(wanted);
        if wanted != port.watched {
            let (fd, token) = (port.socket.as_fd(), index as u32);
            let done = match (port.watched, wanted) {
                (None, Some(interest)) => watch.add(fd, token, interest),
                (Some(_), Some(interest)) => watch.modify(fd, token, interest),
                (_, None) => {
                    watch.remove(fd);
                    Ok(())
                }
            };
            if let Err(error) = done {
                tracing::error!(%error, port = index, "a console port's socket cannot be watched");
                port.host_closed = true;
            }
            port.watched = wanted;
        }
        Ok(())
    }

    fn run(
        &mut self,
        index: usize,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        self.transmit(index, active)?;
        self.receive(index, active)?;
        self.settle(index, active, watch)
    }
}

impl VirtioDevice for Console {
    fn id(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn features(&self) -> u64 {
        1 << F_SIZE | 1 << F_MULTIPORT
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; rx_queue(self.ports.len() - 1).max(CONTROL_RX) + 2]
    }

    fn config(&self) -> ConfigSpace {
        self.host.0.config.clone()
    }

    fn activate(&mut self, active: &mut Active, _watch: &mut dyn Watch) -> io::Result<()> {
        self.host.0.bell.attach(&active.doorbell);
        Ok(())
    }

    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        match (queue, port_of(queue)) {
            (CONTROL_TX, _) => {
                self.take_control(active)?;
                self.flush_control(active)
            }
            (_, Some(port)) => self.run(port, active, watch),
            (_, None) => {
                self.flush_control(active)?;
                // There is room for answers again.
                self.take_control(active)
            }
        }
    }

    fn ready(
        &mut self,
        token: u32,
        _ready: Readiness,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        self.run(token as usize, active, watch)
    }

    fn host_event(&mut self, active: &mut Active, _watch: &mut dyn Watch) -> Result<(), Broken> {
        let resized = &self.host.0.resized;
        if std::mem::take(&mut *resized.lock().unwrap_or_else(PoisonError::into_inner)) {
            if active.has(F_SIZE) {
                active.interrupt.config_changed();
            }
            let size = self.size();
            for (index, port) in self.ports.iter().enumerate() {
                let room = self.pending.len() < control::MAX_PENDING;
                if active.has(F_MULTIPORT) && port.is_console && room {
                    self.pending.push_back(Message::resize(index, size));
                }
            }
        }
        self.flush_control(active)
    }

    fn quiesce(&mut self, _active: &mut Active, watch: &mut dyn Watch) {
        for port in &mut self.ports {
            if port.watched.take().is_some() {
                watch.remove(port.socket.as_fd());
            }
        }
    }

    fn reset(&mut self, _watch: &mut dyn Watch) {
        self.pending.clear();
        for port in &mut self.ports {
            port.guest_open = false;
            port.host_open_told = false;
            port.partly = 0;
        }
    }

    fn save(&self) -> DeviceState {
        DeviceState::Console(ConsoleState {
            guest_open: self.ports.iter().map(|port| port.guest_open).collect(),
            host_open_told: self.ports.iter().map(|port| port.host_open_told).collect(),
            partly: self.ports.iter().map(|port| port.partly).collect(),
            pending: self.pending.iter().cloned().collect(),
        })
    }

    fn restore(&mut self, state: &DeviceState) -> Result<(), Invalid> {
        let invalid = |what: String| Err(Invalid { kind: "virtio", what });
        let ConsoleState { guest_open, host_open_told, partly, pending } = match state {
            DeviceState::Console(state) => state,
            other => return invalid(format!("state {other:?} for a console")),
        };
        let count = self.ports.len();
        if [guest_open.len(), host_open_told.len(), partly.len()] != [count; 3] {
            return invalid(format!("{} ports for a console with {count}", guest_open.len()));
        }
        if pending.len() > control::MAX_PENDING
            || pending.iter().any(|m| m.len() > control::MAX_MESSAGE)
        {
            return invalid(format!("{} control messages", pending.len()));
        }
        for (index, port) in self.ports.iter_mut().enumerate() {
            port.guest_open = guest_open[index];
            port.host_open_told = host_open_told[index];
            port.partly = partly[index];
        }
        self.pending = pending.iter().cloned().collect();
        Ok(())
    }
}
