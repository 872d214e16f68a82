//! Guest accesses that the framework completes inside: the GIC's frames and registers, the timers.

use arch_aarch64::esr::{self, Esr, Syndrome, SysRegAccess};
use arch_aarch64::sysreg::SysReg;

use crate::gic;
use crate::insn;

use super::vcpu::Vcpu;

impl Vcpu {
    /// Completes a load or store to a frame of the GIC. Accesses that the syndrome does not describe
    /// are left to the caller, as with any device.
    pub(super) fn complete_mmio(&mut self, syndrome: u64, ipa: u64) -> bool {
        let Syndrome::DataAbort(abort) = Esr::from(syndrome).decode() else { return false };
        let (Some(gic), Some(access)) = (self.vm.gic(), abort.access) else { return false };
        let request = if abort.write {
            gic::Access::Write(truncate(
                self.cpu.x(insn::src(access.register.into())),
                access.bytes,
            ))
        } else {
            gic::Access::Read
        };
        let Some(value) = gic.access(ipa, access.bytes, request) else { return false };
        if !abort.write {
            self.cpu.set_x(insn::dst(access.register.into()), extend(value, access));
        }
        self.cpu.skip();
        true
    }

    /// Completes an access to a register of the GIC's CPU interface or of the timers.
    pub(super) fn complete_sysreg(&mut self, syndrome: u64) -> bool {
        let Syndrome::SysReg(access) = Esr::from(syndrome).decode() else { return false };
        let SysRegAccess { register, rt, read } = access;
        let done = if read {
            let value = self.read_trapped(register);
            value.map(|value| self.cpu.set_x(insn::dst(rt.into()), value))
        } else {
            self.write_trapped(register, self.cpu.x(insn::src(rt.into())))
        };
        if done.is_some() {
            self.cpu.skip();
        }
        done.is_some()
    }

    fn read_trapped(&self, register: SysReg) -> Option<u64> {
        let interface = || self.vm.gic()?.read_icc(self.index(), register);
        self.shared.timers.read(register).or_else(interface)
    }

    fn write_trapped(&self, register: SysReg, value: u64) -> Option<()> {
        let interface = || self.vm.gic()?.write_icc(self.index(), register, value);
        self.shared.timers.write(register, value).or_else(interface)
    }
}

fn truncate(value: u64, bytes: u8) -> u64 {
    value & u64::MAX >> (64 - 8 * u32::from(bytes))
}

/// What a load leaves in its register.
fn extend(value: u64, access: esr::Access) -> u64 {
    let value = truncate(value, access.bytes);
    let unused = 64 - 8 * u32::from(access.bytes);
    let value =
        if access.sign_extend { ((value << unused) as i64 >> unused) as u64 } else { value };
    if access.is_64bit { value } else { value & 0xffff_ffff }
}
