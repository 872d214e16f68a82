//! Packets for the guest.

use std::io::{self, Read};

use super::packet::{HEADER_LEN, Header, SHUT_SEND, op};
use super::stream::Stream;
use super::{RX, Vsock};
use crate::device::Active;
use crate::event::Watch;
use crate::once::log_once;
use crate::queue::{Broken, Virtq};
use crate::span::Chain;

/// Bytes of one stream before the next has its turn.
const TURN: usize = 64 * 1024;
/// Turns before other work of the worker has its.
const TURNS: usize = 64;

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The next stream's.
    Over,
    /// The guest has no buffer for a packet.
    Starved,
    /// The stream is to be dropped.
    Closed,
}

impl Vsock {
    /// Gives every stream that has business its turn, while the guest has buffers.
    pub(super) fn serve(
        &mut self,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        if let Err(error) = self.listen(watch) {
            let once = &self.complained;
            log_once!(once, warn, %error, "the guest's socket cannot be watched");
        }
        let Some(Some(mut queue)) = active.queues.get_mut(RX).map(Option::take) else {
            return Ok(());
        };
        let served = self.serve_queue(&mut queue, watch);
        let told = queue.publish();
        active.queues[RX] = Some(queue);
        if told? {
            active.interrupt.used_buffer();
        }
        if served? == Progress::More {
            active.doorbell.ring(RX as u32);
        }
        if self.stalled && self.refusals.is_empty() {
            active.doorbell.ring(super::TX as u32);
        }
        Ok(())
    }

    fn serve_queue(
        &mut self,
        queue: &mut Virtq,
        watch: &mut dyn Watch,
    ) -> Result<Progress, Broken> {
        queue.suppress_notifications()?;
        for _ in 0..TURNS {
            let turn = self.serve_one(queue, watch)?;
            match turn {
                None => return Ok(Progress::Idle),
                Some(Turn::Starved) => {
                    // The guest tells when it has added buffers.
                    if !queue.allow_notifications()? {
                        return Ok(Progress::Idle);
                    }
                }
                Some(_) => {}
            }
        }
        Ok(Progress::More)
    }

    /// One turn: a refusal's or a stream's. `None` if nobody has business.
    fn serve_one(
        &mut self,
        queue: &mut Virtq,
        watch: &mut dyn Watch,
    ) -> Result<Option<Turn>, Broken> {
        if let Some(header) = self.refusals.front() {
            let sent = send(queue, header, &[])?;
            if sent {
                self.refusals.pop_front();
            }
            return Ok(Some(if sent { Turn::Over } else { Turn::Starved }));
        }
        let Some(index) = self.list.pop_front() else {
            return Ok(None);
        };
        let turn = self.serve_stream(index, queue)?;
        if let Some(stream) = self.table.get(index) {
            stream.listed = false;
        }
        match turn {
            Turn::Closed => self.drop_stream(index, watch),
            Turn::Starved => {
                if let Some(stream) = self.table.get(index) {
                    stream.listed = true;
                    self.list.push_front(index);
                }
            }
            Turn::Over => self.settle(index, watch),
        }
        Ok(Some(turn))
    }

    fn serve_stream(&mut self, index: usize, queue: &mut Virtq) -> Result<Turn, Broken> {
        let (cid, buf) = (self.cid, &mut self.buf);
        let Some(stream) = self.table.get(index) else {
            return Ok(Turn::Over);
        };
        if stream.owed.reset {
            return Ok(if tell(stream, cid, queue, op::RST, 0)? {
                Turn::Closed
            } else {
                Turn::Starved
            });
        }
        if stream.owed.request {
            if !tell(stream, cid, queue, op::REQUEST, 0)? {
                return Ok(Turn::Starved);
            }
            stream.owed.request = false;
        }
        if stream.owed.response {
            if !tell(stream, cid, queue, op::RESPONSE, 0)? {
                return Ok(Turn::Starved);
            }
            stream.owed.response = false;
        }
        if stream.owed.credit_update && !tell(stream, cid, queue, op::CREDIT_UPDATE, 0)? {
            stream.owed.credit_update = true;
            return Ok(Turn::Starved);
        }
        if stream.readable && stream.wants_data() && stream.credit() != 0 {
            if let Some(turn) = send_data(stream, cid, queue, buf)? {
                return Ok(turn);
            }
            stream.owed.credit_request = stream.readable && stream.credit() == 0;
        }
        if stream.owed.credit_request {
            if !tell(stream, cid, queue, op::CREDIT_REQUEST, 0)? {
                return Ok(Turn::Starved);
            }
            stream.owed.credit_request = false;
        }
        if stream.owes_shutdown() {
            let flags = stream.host_shut;
            if !tell(stream, cid, queue, op::SHUTDOWN, flags)? {
                return Ok(Turn::Starved);
            }
            stream.host_shut_told = flags;
        }
        Ok(Turn::Over)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Idle,
    More,
}

/// Sends a packet without data; whether the guest had a buffer for it.
fn tell(
    stream: &mut Stream,
    cid: u64,
    queue: &mut Virtq,
    op: u16,
    flags: u32,
) -> Result<bool, Broken> {
    let header = stream.header(cid, op, 0, flags);
    send(queue, &header, &[])
}

/// Takes a buffer of the guest that has room for a header. Unusable ones go back empty.
fn take_buffer(queue: &mut Virtq) -> Result<Option<Chain>, Broken> {
    while let Some(chain) = queue.pop()? {
        if !chain.malformed && chain.writable.len() >= HEADER_LEN {
            return Ok(Some(chain));
        }
        queue.complete(chain.head, 0)?;
    }
    Ok(None)
}

/// Sends one packet; whether the guest had a buffer. Data that a buffer does not hold, or that
/// lies outside of memory, is the guest's loss.
fn send(queue: &mut Virtq, header: &Header, data: &[u8]) -> Result<bool, Broken> {
    let Some(chain) = take_buffer(queue)? else {
        return Ok(false);
    };
    fill(queue, &chain, header, data)?;
    Ok(true)
}

fn fill(queue: &mut Virtq, chain: &Chain, header: &Header, data: &[u8]) -> Result<(), Broken> {
    let memory = queue.memory().clone();
    let head = chain.writable.write(&memory, 0, &header.to_bytes());
    let body = chain.writable.write(&memory, HEADER_LEN, data);
    let written = head.and_then(|h| body.map(|b| h + b)).unwrap_or(0);
    queue.complete(chain.head, written as u32)
}

/// Reads from the stream as much as the turn, the guest's credit and its buffers allow, with one
/// call, and sends it. `None` if the turn goes on.
fn send_data(
    stream: &mut Stream,
    cid: u64,
    queue: &mut Virtq,
    buf: &mut Vec<u8>,
) -> Result<Option<Turn>, Broken> {
    let most = TURN.min(stream.credit() as usize);
    let mut chains: Vec<Chain> = Vec::new();
    let mut room = 0;
    while room < most {
        let Some(chain) = queue.pop()? else { break };
        if chain.malformed || chain.writable.len() <= HEADER_LEN {
            if chains.is_empty() {
                queue.complete(chain.head, 0)?;
                continue;
            }
            // Not to be mixed with those that may be put back.
            queue.unpop();
            break;
        }
        room += (chain.writable.len() - HEADER_LEN) as usize;
        chains.push(chain);
    }
    if chains.is_empty() {
        return Ok(Some(Turn::Starved));
    }
    let asked = most.min(room);
    buf.resize(asked, 0);
    let count = match stream.socket.read(buf) {
        Ok(count) => count,
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            stream.readable = false;
            for _ in chains {
                queue.unpop();
            }
            return Ok(None);
        }
        Err(e) if e.kind() == io::ErrorKind::Interrupted => {
            for _ in chains {
                queue.unpop();
            }
            return Ok(Some(Turn::Over));
        }
        // A writer that is gone without a word has sent everything it will.
        Err(_) => 0,
    };
    if count == 0 {
        stream.readable = false;
        stream.host_shut |= SHUT_SEND;
    } else {
        stream.readable = count == asked;
    }
    let mut data = &buf[..count];
    for chain in &chains {
        if data.is_empty() {
            queue.unpop();
            continue;
        }
        let len = data.len().min((chain.writable.len() - HEADER_LEN) as usize);
        let (piece, rest) = data.split_at(len);
        let header = stream.header(cid, op::RW, len as u32, 0);
        fill(queue, chain, &header, piece)?;
        data = rest;
    }
    Ok(None)
}
