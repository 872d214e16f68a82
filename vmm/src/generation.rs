//! The generation ID: 16 random bytes that change when the guest is another one than before, so that
//! it reseeds its random number generator (Linux: `drivers/virt/vmgenid.c`).

use arch_aarch64::layout::Layout;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::Error;

/// Puts a fresh ID where the FDT says it is.
pub(crate) fn renew(memory: &GuestMemoryMmap, layout: &Layout) -> Result<(), Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(Error::Random)?;
    let address = layout.generation.start;
    memory
        .write_slice(&id, GuestAddress(address))
        .map_err(|source| Error::Memory { address, source })
}
