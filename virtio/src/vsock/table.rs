//! The connections of a device, by token and by ports.

use std::collections::HashMap;

use super::stream::{Ports, Stream};

/// Most connections at once. With [`BUF_ALLOC`](super::stream::BUF_ALLOC) it bounds what a guest
/// can make the host hold.
pub(super) const MAX_STREAMS: usize = 4096;

/// Where the host's own ports start; below are those that programs listen on.
const FIRST_HOST_PORT: u32 = 1 << 30;

pub(super) struct Table {
    streams: Vec<Option<Stream>>,
    free: Vec<usize>,
    by_ports: HashMap<Ports, usize>,
    next_port: u32,
}

impl Default for Table {
    /// The host's ports start anywhere: a restored guest still has sockets that are closing, whose
    /// late packets must meet no connection of the new device.
    fn default() -> Self {
        let next_port = getrandom::u32().unwrap_or_else(|error| {
            tracing::warn!(%error, "the host's ports of the guest's socket device start at the lowest");
            0
        });
        Self { streams: Vec::new(), free: Vec::new(), by_ports: HashMap::new(), next_port }
    }
}

impl Table {
    /// Adds a connection, known by its ports if it has any. Gives it back if there is no room.
    pub(super) fn insert(&mut self, stream: Stream, named: bool) -> Result<usize, Stream> {
        if self.streams.len() - self.free.len() >= MAX_STREAMS {
            return Err(stream);
        }
        let ports = stream.ports;
        let index = match self.free.pop() {
            Some(index) => {
                self.streams[index] = Some(stream);
                index
            }
            None => {
                self.streams.push(Some(stream));
                self.streams.len() - 1
            }
        };
        if named {
            self.by_ports.insert(ports, index);
        }
        Ok(index)
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Stream> {
        self.streams.get_mut(index)?.as_mut()
    }

    pub(super) fn find(&self, ports: Ports) -> Option<usize> {
        self.by_ports.get(&ports).copied()
    }

    /// Names a connection whose ports were not known when it came.
    pub(super) fn name(&mut self, index: usize, ports: Ports) {
        if let Some(stream) = self.get(index) {
            stream.ports = ports;
            self.by_ports.insert(ports, index);
        }
    }

    /// The guest no longer knows the connection.
    pub(super) fn forget_name(&mut self, index: usize) {
        let ports = self.get(index).map(|stream| stream.ports);
        if let Some(ports) = ports
            && self.by_ports.get(&ports) == Some(&index)
        {
            self.by_ports.remove(&ports);
        }
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Stream> {
        self.forget_name(index);
        let stream = self.streams.get_mut(index)?.take()?;
        self.free.push(index);
        Some(stream)
    }

    pub(super) fn indexes(&self) -> Vec<usize> {
        let used = |(index, slot): (usize, &Option<Stream>)| slot.is_some().then_some(index);
        self.streams.iter().enumerate().filter_map(used).collect()
    }

    /// A host port that no connection to `guest` uses.
    pub(super) fn free_port(&mut self, guest: u32) -> u32 {
        loop {
            let host = FIRST_HOST_PORT | self.next_port & (FIRST_HOST_PORT - 1);
            self.next_port = self.next_port.wrapping_add(1);
            if !self.by_ports.contains_key(&Ports { host, guest }) {
                return host;
            }
        }
    }
}
