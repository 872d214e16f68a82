//! SYS: cache and TLB maintenance, address translation, DC ZVA (Arm ARM C5.3–C5.5).

use super::system::access_trap;
use crate::cpu::Cpu;
use crate::cpu::lines::Maintenance;
use crate::cpu::sysreg::encode;
use crate::insn::{Flow, Insn};
use crate::mmu::walk::Want;

const SCTLR_DZE: u32 = 14;
const SCTLR_UCI: u32 = 26;

const IC_IALLUIS: u16 = encode(1, 0, 7, 1, 0);
const IC_IALLU: u16 = encode(1, 0, 7, 5, 0);
const IC_IVAU: u16 = encode(1, 3, 7, 5, 1);
const DC_IVAC: u16 = encode(1, 0, 7, 6, 1);
const DC_ISW: u16 = encode(1, 0, 7, 6, 2);
const DC_CSW: u16 = encode(1, 0, 7, 10, 2);
const DC_CISW: u16 = encode(1, 0, 7, 14, 2);
const DC_ZVA: u16 = encode(1, 3, 7, 4, 1);
const DC_CVAC: u16 = encode(1, 3, 7, 10, 1);
const DC_CVAU: u16 = encode(1, 3, 7, 11, 1);
const DC_CIVAC: u16 = encode(1, 3, 7, 14, 1);
const AT_S1E1R: u16 = encode(1, 0, 7, 8, 0);
const AT_S1E1W: u16 = encode(1, 0, 7, 8, 1);
const AT_S1E0R: u16 = encode(1, 0, 7, 8, 2);
const AT_S1E0W: u16 = encode(1, 0, 7, 8, 3);
const TLBI_VMALLE1IS: u16 = encode(1, 0, 8, 3, 0);
const TLBI_VAE1IS: u16 = encode(1, 0, 8, 3, 1);
const TLBI_ASIDE1IS: u16 = encode(1, 0, 8, 3, 2);
const TLBI_VAAE1IS: u16 = encode(1, 0, 8, 3, 3);
const TLBI_VALE1IS: u16 = encode(1, 0, 8, 3, 5);
const TLBI_VAALE1IS: u16 = encode(1, 0, 8, 3, 7);
const TLBI_VMALLE1: u16 = encode(1, 0, 8, 7, 0);
const TLBI_VAE1: u16 = encode(1, 0, 8, 7, 1);
const TLBI_ASIDE1: u16 = encode(1, 0, 8, 7, 2);
const TLBI_VAAE1: u16 = encode(1, 0, 8, 7, 3);
const TLBI_VALE1: u16 = encode(1, 0, 8, 7, 5);
const TLBI_VAALE1: u16 = encode(1, 0, 8, 7, 7);

/// Bytes that DC ZVA zeroes (DCZID_EL0), and a cache line (CTR_EL0).
const LINE: u64 = 64;

pub(super) fn sys(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (op, value) = (i.imm as u16, cpu.x(i.rd));
    if cpu.pstate.el == 0 {
        let open = match op {
            DC_ZVA => SCTLR_DZE,
            IC_IVAU | DC_CVAC | DC_CVAU | DC_CIVAC => SCTLR_UCI,
            _ => return cpu.raise_undefined(),
        };
        if cpu.sys.sctlr >> open & 1 == 0 {
            return access_trap(cpu, i, false);
        }
    }
    match op {
        DC_ZVA => return zero_line(cpu, value),
        IC_IVAU => return invalidate_line(cpu, value),
        DC_IVAC => return data_line(cpu, value, Want::Write),
        DC_CVAC | DC_CVAU | DC_CIVAC => return data_line(cpu, value, Want::Read),
        DC_ISW | DC_CSW | DC_CISW => {}
        IC_IALLU => cpu.maintain(Maintenance::CodeAll),
        IC_IALLUIS => cpu.maintain_all(Maintenance::CodeAll),
        AT_S1E1R => return cpu.address_translate(value, Want::Read, false),
        AT_S1E1W => return cpu.address_translate(value, Want::Write, false),
        AT_S1E0R => return cpu.address_translate(value, Want::Read, true),
        AT_S1E0W => return cpu.address_translate(value, Want::Write, true),
        TLBI_VMALLE1 => cpu.maintain(Maintenance::TlbAll),
        TLBI_VMALLE1IS => cpu.maintain_all(Maintenance::TlbAll),
        TLBI_ASIDE1 => cpu.maintain(Maintenance::TlbAsid((value >> 48) as u16)),
        TLBI_ASIDE1IS => cpu.maintain_all(Maintenance::TlbAsid((value >> 48) as u16)),
        // The ASID does not matter: dropping the page from all of them is allowed.
        TLBI_VAE1 | TLBI_VAAE1 | TLBI_VALE1 | TLBI_VAALE1 => {
            cpu.maintain(Maintenance::TlbVa(value << 12));
        }
        TLBI_VAE1IS | TLBI_VAAE1IS | TLBI_VALE1IS | TLBI_VAALE1IS => {
            cpu.maintain_all(Maintenance::TlbVa(value << 12));
        }
        _ => return cpu.raise_undefined(),
    }
    Flow::Sync
}

fn zero_line(cpu: &mut Cpu, va: u64) -> Flow {
    let host = match cpu.zero_ptr(va, LINE) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    for at in (0..LINE as usize).step_by(8) {
        // SAFETY: `zero_ptr` returned an aligned line of guest memory that is valid for writes.
        unsafe { <u64 as crate::mem::GuestInt>::write(host.add(at), 0) };
    }
    Flow::Sync
}

/// Data caches are coherent: only the translation matters.
fn data_line(cpu: &mut Cpu, va: u64, want: Want) -> Flow {
    match cpu.maintenance_address(va, want) {
        Ok(_) => Flow::Sync,
        Err(flow) => flow,
    }
}

fn invalidate_line(cpu: &mut Cpu, va: u64) -> Flow {
    match cpu.maintenance_address(va, Want::Read) {
        Ok(pa) => {
            cpu.invalidate_code(pa);
            Flow::Sync
        }
        Err(flow) => flow,
    }
}
