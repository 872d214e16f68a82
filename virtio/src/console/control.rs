//! Control messages of a console with several ports (virtio 1.2, 5.3.6.2).

use super::{CONTROL_RX, CONTROL_TX, Console, F_MULTIPORT};
use crate::device::{Active, Handled};
use crate::queue::Broken;

/// Most messages that wait for the driver; while there are more, its own are not taken.
pub(super) const MAX_PENDING: usize = 512;
/// Longest message: a header and a name.
pub(super) const MAX_MESSAGE: usize = 256;

/// `struct virtio_console_control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) port: u32,
    pub(super) event: u16,
    pub(super) value: u16,
}

/// Events (5.3.6.2).
pub(super) mod event {
    pub(in crate::console) const DEVICE_READY: u16 = 0;
    pub(in crate::console) const PORT_ADD: u16 = 1;
    pub(in crate::console) const PORT_READY: u16 = 3;
    pub(in crate::console) const CONSOLE_PORT: u16 = 4;
    pub(in crate::console) const RESIZE: u16 = 5;
    pub(in crate::console) const PORT_OPEN: u16 = 6;
    pub(in crate::console) const PORT_NAME: u16 = 7;
}

pub(super) const MESSAGE_LEN: usize = 8;

impl Message {
    fn new(port: usize, event: u16, value: u16) -> Self {
        Self { port: port as u32, event, value }
    }

    pub(super) fn from_bytes(bytes: &[u8; MESSAGE_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h] = *bytes;
        Self {
            port: u32::from_le_bytes([a, b, c, d]),
            event: u16::from_le_bytes([e, f]),
            value: u16::from_le_bytes([g, h]),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.port.to_le_bytes().to_vec();
        bytes.extend(self.event.to_le_bytes());
        bytes.extend(self.value.to_le_bytes());
        bytes
    }

    /// `struct virtio_console_resize` follows: columns, then rows.
    pub(super) fn resize(port: usize, (columns, rows): (u16, u16)) -> Vec<u8> {
        let mut bytes = Self::new(port, event::RESIZE, 0).to_bytes();
        bytes.extend(columns.to_le_bytes());
        bytes.extend(rows.to_le_bytes());
        bytes
    }

    fn name(port: usize, name: &str) -> Vec<u8> {
        let mut bytes = Self::new(port, event::PORT_NAME, 1).to_bytes();
        bytes.extend(name.bytes().take(MAX_MESSAGE - MESSAGE_LEN));
        bytes
    }
}

impl Console {
    /// Takes the driver's messages.
    pub(super) fn take_control(&mut self, active: &mut Active) -> Result<(), Broken> {
        if !active.has(F_MULTIPORT) {
            return Ok(());
        }
        active.drain(CONTROL_TX, |chain, memory| {
            // One message has at most as many answers as there are ports, or four.
            if self.pending.len() + self.ports.len().max(4) > MAX_PENDING {
                return Handled::NotNow;
            }
            let mut bytes = [0; MESSAGE_LEN];
            if !chain.malformed && chain.readable.read(memory, 0, &mut bytes) == Ok(MESSAGE_LEN) {
                self.answer(Message::from_bytes(&bytes));
            }
            Handled::Done(0)
        })
    }

    fn answer(&mut self, message: Message) {
        let index = message.port as usize;
        match message.event {
            event::DEVICE_READY if message.value == 1 => {
                for index in 0..self.ports.len() {
                    self.queue_control(Message::new(index, event::PORT_ADD, 1).to_bytes());
                }
            }
            event::PORT_READY if message.value == 1 => self.introduce(index),
            event::PORT_OPEN => {
                if let Some(port) = self.ports.get_mut(index) {
                    port.guest_open = message.value == 1;
                }
            }
            _ => tracing::debug!(?message, "control message that means nothing"),
        }
    }

    /// Tells the driver what a port is, once it knows that there is one.
    fn introduce(&mut self, index: usize) {
        let size = self.size();
        let Some(port) = self.ports.get_mut(index) else { return };
        let mut messages = Vec::new();
        if port.is_console {
            messages.push(Message::new(index, event::CONSOLE_PORT, 1).to_bytes());
            messages.push(Message::resize(index, size));
        }
        if !port.name.is_empty() {
            messages.push(Message::name(index, &port.name));
        }
        port.host_open_told = !port.host_closed;
        messages.push(Message::new(index, event::PORT_OPEN, port.host_open_told.into()).to_bytes());
        for message in messages {
            self.queue_control(message);
        }
    }

    /// Tells the driver when the host closes a port.
    pub(super) fn tell_open(&mut self, index: usize, active: &Active) {
        let Some(port) = self.ports.get_mut(index) else { return };
        if active.has(F_MULTIPORT) && port.host_closed && port.host_open_told {
            port.host_open_told = false;
            self.queue_control(Message::new(index, event::PORT_OPEN, 0).to_bytes());
        }
    }

    fn queue_control(&mut self, message: Vec<u8>) {
        self.pending.push_back(message);
    }

    /// Sends messages while the driver has buffers.
    pub(super) fn flush_control(&mut self, active: &mut Active) -> Result<(), Broken> {
        let Some(Some(queue)) = active.queues.get_mut(CONTROL_RX) else {
            return Ok(());
        };
        let mut completed = false;
        while !self.pending.is_empty() {
            let Some(chain) = queue.pop()? else {
                if queue.allow_notifications()? {
                    continue;
                }
                break;
            };
            completed = true;
            let usable = !chain.malformed && chain.writable.len() as usize >= MESSAGE_LEN;
            let message = if usable { self.pending.pop_front() } else { None };
            let written = message.map_or(Ok(0), |m| chain.writable.write(queue.memory(), 0, &m));
            queue.complete(chain.head, written.unwrap_or(0) as u32)?;
        }
        if completed {
            active.publish(CONTROL_RX)?;
        }
        Ok(())
    }
}
