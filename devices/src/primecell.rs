//! What Arm's PrimeCell peripherals share: identification registers and narrow access.

use crate::{Access, Width};

/// PrimeCell ID bytes at 0xff0, the same in every PrimeCell.
const PCELL_ID: [u8; 4] = [0x0d, 0xf0, 0x05, 0xb1];

/// The identification register at `offset` (0xfe0 to 0xffc), if it is one.
pub(crate) fn id_register(offset: u64, periph_id: [u8; 4]) -> Option<u32> {
    let index = (offset & 0xfff).checked_sub(0xfe0)? as usize / 4;
    let ids = [periph_id, PCELL_ID];
    ids.as_flattened().get(index).copied().map(u32::from)
}

/// Reads any width from 32-bit registers.
pub(crate) fn read(access: Access, mut register: impl FnMut(u64) -> u32) -> u64 {
    let shift = (access.addr & 3) * 8;
    let low = u64::from(register(access.addr & !3));
    match access.width {
        Width::Double if access.addr & 3 == 0 => low | u64::from(register(access.addr + 4)) << 32,
        _ => (low >> shift) & access.width.mask(),
    }
}

/// The 32-bit register write that an access amounts to: a narrow write must start at the register
/// and carries its low bits; a double writes the first register only.
pub(crate) fn write(access: Access, value: u64) -> Option<(u64, u32)> {
    (access.addr & 3 == 0).then_some((access.addr, value as u32))
}
