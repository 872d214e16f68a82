//! One instance of a class: a word and the state before it.

use crate::classes::{Access, Class, Form, Offset, exceptions};
use crate::layout::*;
use crate::rng::Rng;
use crate::values::{self, Lane};

const NOP: u32 = 0xd503_201f;
const CLREX: u32 = 0xd503_3f5f;
/// FPSR: QC, IDC, IXC, UFC, OFC, DZC, IOC.
pub(crate) const FPSR_MASK: u64 = 0x0800_009f;
/// FPCR: AHP, DN, FZ, RMode.
pub(crate) const FPCR_MASK: u64 = 0x07c0_0000;

/// What was built, for the comparison and the report.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub seed: u64,
    pub word: u32,
    /// The destination registers of a load that faults half-way are UNKNOWN; so is memory after such a store.
    pub may_tear: bool,
}

/// Builds the instance of `class` that belongs to `seed`, to run in the slot at `slot`.
pub(crate) fn build(class: &Class, seed: u64, slot: u64, record: &mut Record) -> Instance {
    let mut rng = Rng::new(seed);
    registers(class, &mut rng, record);
    let mut prelude = Vec::new();
    let mut epilogue = Vec::new();
    let mut may_tear = false;
    let word = loop {
        let word = class.value | rng.u32() & !class.mask;
        if exceptions::unpredictable(word) || exceptions::incomparable(word) {
            continue;
        }
        if prepare(
            class.form,
            word,
            slot,
            &mut rng,
            record,
            &mut prelude,
            &mut epilogue,
            &mut may_tear,
        ) {
            break word;
        }
        prelude.clear();
        epilogue.clear();
    };
    code(slot, record, &prelude, word, &epilogue);
    Instance { seed, word, may_tear }
}

/// Random registers, flags and floating-point control.
fn registers(class: &Class, rng: &mut Rng, record: &mut Record) {
    record.nzcv = rng.u64() & 0xf000_0000;
    record.fpcr = if rng.chance(35) { 0 } else { rng.u64() & FPCR_MASK };
    record.fpsr = if rng.chance(50) { 0 } else { rng.u64() & FPSR_MASK };
    record.sp = values::general(rng);
    for x in &mut record.x {
        *x = values::general(rng);
    }
    let lane =
        if class.lane != Lane::Any && rng.chance(80) { class.lane } else { values::any(rng) };
    for v in &mut record.v {
        let lane = if rng.chance(92) { lane } else { Lane::Any };
        *v = values::vector(rng, lane);
    }
    record.flags = 0;
}

/// Makes the state fit what `word` does with memory or the program counter, or says that another word is needed.
#[expect(clippy::too_many_arguments, reason = "the parts of one instance")]
fn prepare(
    form: Form,
    word: u32,
    slot: u64,
    rng: &mut Rng,
    record: &mut Record,
    prelude: &mut Vec<u32>,
    epilogue: &mut Vec<u32>,
    may_tear: &mut bool,
) -> bool {
    let rn = word >> 5 & 31;
    let rt = word & 31;
    match form {
        Form::Plain => {
            if word & 0x9f00_0000 == 0x1000_0000 || rng.chance(10) {
                prelude.push(NOP);
            }
            true
        }
        Form::Literal => {
            let offset = ((word as i32) << 8 >> 13) as i64 * 4;
            let target = (slot + 4).wrapping_add_signed(offset);
            // The slot itself is not quite the same on both sides of a fault; everything else around is.
            target.abs_diff(slot) >= SLOT_SIZE + 16
        }
        Form::Branch => target(word, slot + 4).is_none_or(lands_well),
        Form::BranchRegister => {
            if rn == 31 {
                return true;
            }
            let mut to = if rng.chance(50) {
                SLOTS_VA + rng.below(BATCH as u64) * SLOT_SIZE + 32 + 4 * rng.below(6)
            } else {
                rng.u64() >> rng.below(40) & !3
            };
            if rng.chance(10) {
                to |= rng.below(4);
            }
            record.x[rn as usize] = to;
            lands_well(to)
        }
        Form::CacheLine => {
            record.flags = FLAG_WINDOW;
            rng_bytes(rng, &mut record.window);
            if rt != 31 {
                let zva = word & 0xffff_ffe0 == 0xd50b_7420;
                record.x[rt as usize] = if zva && rng.chance(10) {
                    SCRATCH_VA + 0x3000 + rng.below(0x2fff)
                } else {
                    WINDOW_VA + rng.below(256)
                };
            }
            rt != 31
        }
        Form::SystemWrite => {
            // Bits of FPCR and FPSR that belong to AArch32 and to half precision are not there without them.
            if let Some(x) = record.x.get_mut(rt as usize) {
                match word >> 5 & 0x7fff {
                    0x5a20 => *x &= !0x003f_0000,
                    0x5a21 => *x &= !0xf000_0000,
                    _ => {}
                }
            }
            // Read it back, and leave NZCV and FPCR for the comparison.
            epilogue.push(word & !31 | 1 << 21 | rng.below(31) as u32);
            true
        }
        Form::Memory(access) => memory(access, word, rng, record, prelude, may_tear),
        Form::Random => {
            record.flags = FLAG_WINDOW;
            rng_bytes(rng, &mut record.window);
            *may_tear = true;
            if word & 0x0a00_0000 == 0x0800_0000 && rng.chance(60) {
                let address = WINDOW_VA + (rng.below(192) & rng.pick(&[!0, !15]));
                if rn == 31 {
                    record.sp = address;
                } else {
                    record.x[rn as usize] = address;
                }
            }
            target(word, slot + 4).is_none_or(lands_well)
                && (word & 0xfe00_0000 != 0xd600_0000
                    || rn == 31
                    || lands_well(record.x[rn as usize]))
                && (word & 0x3b00_0000 != 0x1800_0000
                    || (slot + 4)
                        .wrapping_add_signed(((word as i32) << 8 >> 13) as i64 * 4)
                        .abs_diff(slot)
                        >= 80)
        }
    }
}

/// The target of an immediate branch.
fn target(word: u32, pc: u64) -> Option<u64> {
    let word_offset = if word & 0x7c00_0000 == 0x1400_0000 {
        (word as i32) << 6 >> 6
    } else if word & 0xfe00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        (word as i32) << 8 >> 13
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        (word as i32) << 13 >> 18
    } else {
        return None;
    };
    Some(pc.wrapping_add_signed(i64::from(word_offset) * 4))
}

/// Whether control may go to `address`: it must fault there, so not into code, random bytes or data.
fn lands_well(address: u64) -> bool {
    // The tag byte does not count, and bit 55 decides what replaces it.
    let address = address << 8 >> 8;
    if (SLOTS_VA..SLOTS_VA + BATCH as u64 * SLOT_SIZE).contains(&address) {
        let offset = address % SLOT_SIZE;
        return (32..4 * SLOT_WORDS as u64).contains(&offset);
    }
    let mapped =
        [(IMAGE_VA, IMAGE_SIZE), (ARENA_VA, ARENA_SIZE), (IN_VA, IO_SIZE), (OUT_VA, IO_SIZE)];
    // The oracle's stack, program break and vDSO are somewhere below and above; none of it near the slots.
    !mapped.iter().any(|(base, size)| (*base..base + size).contains(&address)) && address >> 28 != 7
}

fn memory(
    access: Access,
    word: u32,
    rng: &mut Rng,
    record: &mut Record,
    prelude: &mut Vec<u32>,
    may_tear: &mut bool,
) -> bool {
    let rn = word >> 5 & 31;
    let rm = word >> 16 & 31;
    let offset = match access.offset {
        Offset::None => 0,
        Offset::Imm9 => i64::from((word as i32) << 11 >> 23),
        Offset::Imm12(scale) => i64::from(word >> 10 & 0xfff) * i64::from(scale),
        Offset::Imm7(scale) => i64::from((word as i32) << 10 >> 25) * i64::from(scale),
        Offset::Register(scale) => {
            if rm == rn && rm != 31 {
                return false;
            }
            let index = if rm == 31 { 0 } else { record.x[rm as usize] };
            let extended = match word >> 13 & 7 {
                0b010 => u64::from(index as u32),
                0b110 => index as i32 as u64,
                _ => index,
            };
            (extended << if word >> 12 & 1 == 1 { scale.trailing_zeros() } else { 0 }) as i64
        }
    };
    record.flags = FLAG_WINDOW;
    rng_bytes(rng, &mut record.window);
    let bytes = u64::from(access.bytes);
    let effective = match rng.below(100) {
        // Translation faults, whole and half-way.
        0..6 => SCRATCH_VA + 0x3000 + rng.below(0x1000 - bytes),
        6..9 => {
            *may_tear = true;
            SCRATCH_VA + 0x3000 - rng.below(bytes)
        }
        // Read-only memory; half-way for some.
        9..14 => SCRATCH_VA + 0x4000 + rng.below(0x1000 - bytes),
        _ => WINDOW_VA + rng.below(WINDOW_SIZE as u64 - bytes + 1),
    };
    let align = u64::from(access.align);
    let mut effective = if rng.chance(85) { effective & !(align - 1) } else { effective };
    // What lies before the border is nobody's: it must not be read.
    if effective < SCRATCH_VA + 0x3000
        && effective + bytes <= SCRATCH_VA + 0x3000
        && effective >= WINDOW_VA + 256
    {
        effective = SCRATCH_VA + 0x3000;
    }
    // Compare and swap must often find what it compares with.
    if word & 0x3fa0_7c00 == 0x08a0_7c00 && rng.chance(50) {
        expect(word, effective, bytes, record);
    }
    let tag = if rng.chance(10) { rng.u64() << 56 } else { 0 };
    let base = effective.wrapping_sub(offset as u64) ^ tag;
    if rn == 31 {
        record.sp = base;
    } else {
        record.x[rn as usize] = base;
    }
    if let Some((size, pair)) = access.exclusive {
        if rng.chance(85) {
            // Two registers that the instruction under test does not name take what the load brings.
            let mut free = (0..31).filter(|r| ![rn, rm, word & 31, word >> 10 & 31].contains(r));
            let first = free.next().unwrap_or(0);
            let second = if pair { free.next().unwrap_or(1) } else { 31 };
            let size = size.trailing_zeros() << 30;
            prelude
                .push(size | 0x085f_0000 | u32::from(pair) << 21 | second << 10 | rn << 5 | first);
        }
        if rng.chance(8) {
            prelude.push(CLREX);
        }
    }
    true
}

/// Puts the memory operand of a compare and swap into its comparison register, or half of it.
fn expect(word: u32, effective: u64, bytes: u64, record: &mut Record) {
    let rs = (word >> 16 & 31) as usize;
    let rn = (word >> 5 & 31) as usize;
    let Some(start) = effective.checked_sub(WINDOW_VA).map(|s| s as usize) else { return };
    let Some(operand) = record.window.get(start..start + bytes as usize) else { return };
    let mut value = [0; 16];
    value[..operand.len()].copy_from_slice(operand);
    let value = u128::from_le_bytes(value);
    let pair = word >> 23 & 1 == 0;
    let bits = bytes as u32 * 8 / if pair { 2 } else { 1 };
    for (i, r) in (rs..=rs + usize::from(pair)).enumerate() {
        if r < 31 && r != rn {
            let part = (value >> (i as u32 * bits)) as u64;
            let kept = if bits == 64 { 0 } else { record.x[r] >> bits << bits };
            record.x[r] = kept | part & (u64::MAX >> (64 - bits));
        }
    }
}

/// The slot: x30, what comes before, the word, what comes after, and the way out. The rest is UDF.
fn code(slot: u64, record: &mut Record, prelude: &[u32], word: u32, epilogue: &[u32]) {
    record.code = [0; 16];
    record.code[0] = 0x5800_001e | (SLOT_WORDS as u32) << 5; // ldr x30, slot + 56
    let body = prelude.iter().chain([&word]).chain(epilogue);
    let mut next = 1;
    for word in body {
        record.code[next] = *word;
        next += 1;
    }
    let exit = crate::guest::symbols().instance_exit;
    let distance = exit.wrapping_sub(slot + 4 * next as u64) as i64 / 4;
    record.code[next] = 0x1400_0000 | distance as u32 & 0x03ff_ffff;
    record.code[14] = record.x[30] as u32;
    record.code[15] = (record.x[30] >> 32) as u32;
}

fn rng_bytes(rng: &mut Rng, bytes: &mut [u8]) {
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&values::general(rng).to_le_bytes());
    }
}
