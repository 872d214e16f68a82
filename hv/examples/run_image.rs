//! Runs a flat bare-metal image on one vCPU until it leaves by HVC, and prints X0 and X1.
//!
//! ```text
//! cargo run --release -p hv --example run_image -- IMAGE ENTRY [ADDRESS=VALUE ...]
//! ```
//! The image is loaded at `ENTRY` and starts there at EL1 with translation off, in 64 MiB of memory from 0x4000_0000. Words are
//! stored before the start. All numbers are hexadecimal.

use std::sync::atomic::Ordering;

use arch_aarch64::mpidr::Mpidr;
use hv::{Exit, Permissions, Reg, Vcpu, VmBuilder};
use vm_memory::{Bytes, GuestAddress, MemoryRegionAddress};

const RAM: u64 = 0x4000_0000;
const RAM_SIZE: u64 = 0x0400_0000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(image), Some(entry)) = (arguments.next(), arguments.next()) else {
        return Err("usage: run_image IMAGE ENTRY [ADDRESS=VALUE ...]".into());
    };
    let entry = number(&entry)?;
    let vm = VmBuilder::new(None)?.without_gic();
    let memory = hv::anonymous_region(GuestAddress(RAM), RAM_SIZE)?;
    let at = |address: u64| {
        address.checked_sub(RAM).map(MemoryRegionAddress).ok_or("an address below memory")
    };
    memory.write_slice(&std::fs::read(image)?, at(entry)?)?;
    for word in arguments {
        let (address, value) = word.split_once('=').ok_or("a word is ADDRESS=VALUE")?;
        memory.store(number(value)?, at(number(address)?)?, Ordering::Relaxed)?;
    }
    vm.map(&memory, Permissions::ReadWriteExecute)?;
    let mut vcpu = Vcpu::new(&vm, Mpidr::of_index(0))?;
    vcpu.set(Reg::Pc, entry)?;
    match vcpu.run()? {
        Exit::Hvc(_) => println!("{} {}", vcpu.get(Reg::X(0))?, vcpu.get(Reg::X(1))?),
        exit => {
            return Err(format!("the image left by {exit:x?} at {:#x}", vcpu.get(Reg::Pc)?).into());
        }
    }
    Ok(())
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
}
