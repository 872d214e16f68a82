//! What a hostile driver can do, as data for a fuzzer.

use arbitrary::Arbitrary;
use devices::{Access, MmioDevice, Width};
use virtio::mock::{LONG, MockDriver, RAM_BASE, memory};
use virtio::{MmioTransport, VirtioDevice};
use vm_memory::{Bytes, GuestAddress};

/// Guest memory of a fuzzed machine.
pub const RAM: usize = 1 << 20;
/// Where requests lie, past the queues.
pub const DATA: u64 = RAM_BASE + 0x8_0000;

/// One act of a driver.
#[derive(Debug, Arbitrary)]
pub enum Op {
    /// Writes a register or the configuration.
    Register { offset: u16, width: u8, value: u64 },
    /// Reads one.
    Read { offset: u16, width: u8 },
    /// Writes guest memory among the queues.
    Ring { at: u16, bytes: [u8; 8] },
    /// Writes guest memory among the requests.
    Data { at: u16, bytes: Vec<u8> },
    /// Makes a request available and rings.
    Request { queue: u8, pieces: Vec<(u16, u16, bool)>, indirect: bool },
    /// Makes a head available that may be no request.
    Offer { queue: u8, head: u16 },
    /// Jumps the available index.
    Jump { queue: u8, idx: u16 },
    /// Rings a doorbell.
    Notify { queue: u8 },
    /// Waits for the worker.
    Settle,
    /// A pause, with its state taken and compared.
    Pause,
    /// Sets the device up again.
    Restart { features: u64 },
}

fn width(value: u8) -> Width {
    [Width::Byte, Width::Half, Width::Word, Width::Double][usize::from(value & 3)]
}

fn access(offset: u16, width_: u8) -> Access {
    Access::new(u64::from(offset) & 0xfff, width(width_))
}

/// Runs the acts against a device with `queues` queues that has been set up with every feature it
/// offers, and checks that a driver that behaves can have it afterwards.
pub fn drive(device: Box<dyn VirtioDevice>, queues: u32, ops: Vec<Op>) {
    let mut d = MockDriver::new(device, &memory(RAM));
    let offered = d.offered();
    d.start(offered, queues);
    for op in ops {
        act(&mut d, queues, offered, op);
    }
    d.start(offered, queues);
    d.settle();
    assert_eq!(d.r(0x70), 15, "a reset mends everything");
}

fn act(d: &mut MockDriver, queues: u32, offered: u64, op: Op) {
    let index = |queue: u8| usize::from(queue) % queues as usize;
    match op {
        Op::Register { offset, width: w, value } => {
            let _ = d.transport.write(access(offset, w), value & width(w).mask());
        }
        Op::Read { offset, width } => {
            d.transport.read(access(offset, width));
        }
        Op::Ring { at, bytes } => {
            d.memory.write_slice(&bytes, GuestAddress(RAM_BASE + u64::from(at))).unwrap();
        }
        Op::Data { at, bytes } => {
            let bytes = &bytes[..bytes.len().min(0x1000)];
            d.memory.write_slice(bytes, GuestAddress(DATA + u64::from(at))).unwrap();
        }
        Op::Request { queue, pieces, indirect } => {
            let pieces: Vec<_> = pieces
                .iter()
                .take(16)
                .map(|&(at, len, writable)| (DATA + u64::from(at), u32::from(len), writable))
                .collect();
            if pieces.is_empty() {
                return;
            }
            if indirect {
                d.queues[index(queue)].add_indirect(DATA + 0x4_0000, &pieces);
            } else {
                d.queues[index(queue)].add(&pieces);
            }
            d.notify(index(queue) as u32);
        }
        Op::Offer { queue, head } => d.queues[index(queue)].offer(head),
        Op::Jump { queue, idx } => d.queues[index(queue)].set_avail_idx(idx),
        Op::Notify { queue } => d.notify(queue.into()),
        Op::Settle => d.settle(),
        Op::Pause => pause(&d.transport),
        Op::Restart { features } => {
            if d.negotiate(features & offered | 1 << 32) {
                d.start(features & offered, queues);
            }
        }
    }
}

fn pause(transport: &MmioTransport) {
    transport.quiesce(LONG).unwrap();
    let state = transport.save().unwrap();
    snapshot::Saved::validate(&state).unwrap();
    transport.resume(false);
}
