//! What a hostile driver can do, as data for a fuzzer.

use arbitrary::Arbitrary;
use devices::{Access, MmioDevice, Width};
use virtio::mock::{LONG, MockDriver, RAM_BASE, memory};
use virtio::{DeviceState, MmioTransport, VirtioDevice, VirtioState};
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
    /// A pause, with its state taken.
    Pause,
    /// The device built again from its state, in which so much is changed.
    Restore { edits: Vec<(u8, u8, u64)> },
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
pub fn drive(mut make: impl FnMut() -> Box<dyn VirtioDevice>, queues: u32, ops: Vec<Op>) {
    let mut d = MockDriver::new(make(), &memory(RAM));
    let offered = d.offered();
    d.start(offered, queues);
    for op in ops {
        match op {
            Op::Restore { edits } => d = restore(d, &mut make, &edits),
            op => act(&mut d, queues, offered, op),
        }
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
        Op::Pause => {
            saved(&d.transport);
            d.transport.resume(false);
        }
        Op::Restore { .. } => unreachable!("it takes the whole driver"),
        Op::Restart { features } => {
            if d.negotiate(features & offered | 1 << 32) {
                d.start(features & offered, queues);
            }
        }
    }
}

fn saved(transport: &MmioTransport) -> VirtioState {
    transport.quiesce(LONG).unwrap();
    let state = transport.save().unwrap();
    snapshot::Saved::validate(&state).unwrap();
    state
}

/// As a machine that goes on elsewhere, from a state that somebody may have changed.
fn restore(
    d: MockDriver,
    make: &mut impl FnMut() -> Box<dyn VirtioDevice>,
    edits: &[(u8, u8, u64)],
) -> MockDriver {
    let state = saved(&d.transport);
    let MockDriver { transport, worker, memory, queues, .. } = d;
    drop(transport);
    drop(worker);
    let mut changed = state.clone();
    edits.iter().for_each(|edit| change(&mut changed, *edit));
    let mut d = MockDriver::try_from_state(make(), &memory, &changed)
        .unwrap_or_else(|_| MockDriver::from_state(make(), &memory, &state));
    d.queues = queues;
    d.transport.resume(true);
    d
}

fn change(state: &mut VirtioState, (what, which, value): (u8, u8, u64)) {
    let which = usize::from(which);
    let count = state.queues.len();
    let queue = &mut state.queues[which % count];
    match what % 16 {
        0 => state.status = value as u32,
        1 => state.needs_reset = value & 1 != 0,
        2 => state.driver_features = value,
        3 => state.queue_sel = value as u32,
        4 => state.interrupt_status = value as u32,
        5 => state.config_generation = value as u32,
        6 => state.config.resize(value as usize % 64, value as u8),
        7 => state.queues.truncate(which + 1),
        8 => queue.size = value as u32,
        9 => queue.ready = value & 1 != 0,
        10 => queue.desc = value,
        11 => queue.driver = value,
        12 => queue.device = value,
        13 => queue.next_avail = value as u16,
        14 => queue.next_used = value as u16,
        _ => {
            let DeviceState::Console(console) = &mut state.device else { return };
            let port = which % console.partly.len();
            console.partly[port] = value as u32;
            console.guest_open[port] = value & 1 != 0;
            console.host_open_told[port] = value & 2 != 0;
            console.pending.push(vec![value as u8; which]);
        }
    }
}
