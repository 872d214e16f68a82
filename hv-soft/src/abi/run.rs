//! `hv_vcpu_run`: guest code until something is left to the caller.

use std::sync::atomic::Ordering;
use std::time::Instant;

use arch_aarch64::esr::{Esr, ec};

use crate::cpu::CoreExit;
use crate::gic::Source;

use super::error::answer;
use super::vcpu::{self, Vcpu};
use super::{Error, ExitInfo, HvReturn, put, reason};

impl Vcpu {
    fn run(&mut self) -> ExitInfo {
        loop {
            if self.shared.exit.take() {
                return ExitInfo { reason: reason::CANCELED, ..ExitInfo::default() };
            }
            if self.vm.gic().is_none() && self.shared.timers.take_activation() {
                return ExitInfo { reason: reason::VTIMER_ACTIVATED, ..ExitInfo::default() };
            }
            let started = Instant::now();
            let exit = self.cpu.run();
            self.executed += started.elapsed();
            if let Some(info) = self.complete(exit) {
                return info;
            }
        }
    }

    /// Does what the framework does inside; what it leaves to the caller becomes the exit.
    fn complete(&mut self, exit: CoreExit) -> Option<ExitInfo> {
        let exception = |esr: u64, va: u64, ipa: u64| {
            Some(ExitInfo {
                reason: reason::EXCEPTION,
                syndrome: esr,
                virtual_address: va,
                physical_address: ipa,
            })
        };
        match exit {
            // The loop looks at the requests after this.
            CoreExit::Attention => self.shared.exit.acknowledge(),
            CoreExit::Wfi if self.vm.gic().is_some() => {
                self.shared.port.wait();
                self.cpu.skip();
            }
            CoreExit::Wfi => return exception(Esr::new(ec::WFX, WFI_ISS).bits(), 0, 0),
            CoreExit::DataAbort { esr, ipa, .. } if self.complete_mmio(esr, ipa) => {}
            CoreExit::SysReg { esr } if self.complete_sysreg(esr) => {}
            CoreExit::DataAbort { esr, va, ipa } | CoreExit::InstructionAbort { esr, va, ipa } => {
                return exception(esr, va, ipa);
            }
            CoreExit::Debug { esr, va } => return exception(esr, va, 0),
            CoreExit::SysReg { esr } | CoreExit::Hvc { esr } | CoreExit::Smc { esr } => {
                return exception(esr, 0, 0);
            }
        }
        None
    }
}

/// CV is 1 and COND is 0xE for AArch64; TI is 0 for WFI (Arm ARM, ISS encoding of EC 0x01).
const WFI_ISS: u32 = 1 << 24 | 0xe << 20;

fn run(handle: u64) -> Result<(), Error> {
    vcpu::with(handle, |vcpu| {
        if !vcpu.has_run {
            vcpu.vm.topology().is_final = true;
            vcpu.has_run = true;
        }
        vcpu.shared.running.store(true, Ordering::SeqCst);
        let info = vcpu.run();
        vcpu.shared.running.store(false, Ordering::SeqCst);
        // What the host made pending holds for one run.
        vcpu.shared.port.drive(Source::Host, 0);
        vcpu.report(info);
        Ok(())
    })
}

/// Runs the vCPU of the calling thread until an exit, which is described where `hv_vcpu_create` said.
///
/// The PC stands at the instruction that caused the exit, except for HVC, where it is past it.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_run(vcpu: u64) -> HvReturn {
    answer(run(vcpu))
}

/// Nanoseconds that the vCPU has spent in guest code.
///
/// # Safety
/// `time` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_exec_time(vcpu: u64, time: *mut u64) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.executed.as_nanos() as u64));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(time, read) }))
}
