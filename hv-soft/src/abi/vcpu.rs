//! vCPUs: each belongs to the thread that created it.

use core::cell::RefCell;
use core::ffi::c_void;
use core::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arch_aarch64::sysreg::SysReg;

use crate::cpu::{Cpu, ExitRequest};
use crate::gic::InterruptPort;
use crate::timer::{Output, Timers};

use super::error::answer;
use super::object::{self, Object};
use super::vm::{MAX_VCPUS, Vm};
use super::{Error, ExitInfo, HvReturn, put};

/// What other threads know of a vCPU.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) port: InterruptPort,
    pub(super) timers: Arc<Timers>,
    pub(super) exit: Arc<ExitRequest>,
    /// The vCPU's thread is inside `hv_vcpu_run`.
    pub(super) running: AtomicBool,
}

/// A vCPU, as its thread has it.
#[derive(Debug)]
pub(super) struct Vcpu {
    pub(super) handle: u64,
    pub(super) vm: Arc<Vm>,
    pub(super) shared: Arc<Shared>,
    pub(super) cpu: Box<Cpu>,
    /// What the caller reads after a run. Written between the caller's reads only, on its thread.
    exit: NonNull<ExitInfo>,
    /// `MPIDR_EL1` has been set.
    pub(super) has_affinity: bool,
    /// The topology has been made final.
    pub(super) has_run: bool,
    /// Time spent in guest code.
    pub(super) executed: Duration,
}

impl Vcpu {
    /// Tells the caller why the run ended.
    pub(super) fn report(&mut self, info: ExitInfo) {
        // SAFETY: `exit` comes from `Box::into_raw` and is freed in `drop` only; the caller reads it
        // on this thread, hence not now.
        unsafe { self.exit.write(info) };
    }

    /// The number of the vCPU's redistributor and of its slot.
    pub(super) fn index(&self) -> usize {
        self.handle as usize
    }
}

impl Drop for Vcpu {
    fn drop(&mut self) {
        self.shared.timers.disarm();
        if let Some(gic) = self.vm.gic() {
            gic.detach(self.index());
        }
        self.vm.topology().vcpus[self.handle as usize] = None;
        // SAFETY: the allocation of `create`, freed once; the handle is gone, and with it the
        // caller's right to read the exit information.
        drop(unsafe { Box::from_raw(self.exit.as_ptr()) });
    }
}

thread_local! {
    /// The vCPU of this thread. If the thread ends without destroying it, it goes with the thread.
    static VCPU: RefCell<Option<Vcpu>> = const { RefCell::new(None) };
}

/// Uses a vCPU of this thread. Any other handle, of another thread or of nothing, is a bad argument.
pub(super) fn with<T>(
    handle: u64,
    operation: impl FnOnce(&mut Vcpu) -> Result<T, Error>,
) -> Result<T, Error> {
    VCPU.with_borrow_mut(|slot| match slot {
        Some(vcpu) if vcpu.handle == handle => operation(vcpu),
        _ => Err(Error::BadArgument),
    })
}

/// Creates the vCPU of this thread.
fn create() -> Result<(u64, *const ExitInfo), Error> {
    let vm = Vm::current()?;
    VCPU.with_borrow_mut(|slot| {
        if slot.is_some() {
            return Err(Error::Busy);
        }
        let vcpu = register(vm)?;
        let created = (vcpu.handle, vcpu.exit.as_ptr().cast_const());
        *slot = Some(vcpu);
        Ok(created)
    })
}

/// Takes the lowest free handle, as the framework does.
fn register(vm: Arc<Vm>) -> Result<Vcpu, Error> {
    let mut topology = vm.topology();
    if topology.is_final && vm.gic().is_some() {
        return Err(Error::Busy);
    }
    let free = topology.vcpus.iter().position(Option::is_none);
    let index = free.unwrap_or(topology.vcpus.len());
    if index == MAX_VCPUS {
        return Err(Error::NoResources);
    }

    let mut cpu = Cpu::new(&vm.domain, AFFINITY_RES1);
    let (lines, thread) = (cpu.lines().clone(), std::thread::current());
    let port = InterruptPort::new(lines.clone(), thread.clone());
    let exit = Arc::new(ExitRequest::new(lines, thread));
    let output = match vm.gic() {
        Some(gic) => {
            gic.attach(index, 0, port.clone());
            Output::Ppi { gic: gic.clone(), pe: index }
        }
        None => {
            let exit = exit.clone();
            Output::Exit(Box::new(move || exit.nudge()))
        }
    };
    let timers = Timers::new(&vm.alarm, index as u64, output);
    let shared = Arc::new(Shared { port, timers, exit, running: AtomicBool::new(false) });
    if free.is_none() {
        topology.vcpus.push(None);
    }
    topology.vcpus[index] = Some(shared.clone());
    drop(topology);

    // The framework hands vCPUs out with the OS lock open; the ABI has no register for it.
    cpu.set_sysreg(SysReg::OSLAR_EL1.bits(), 0);
    Ok(Vcpu {
        handle: index as u64,
        vm,
        shared,
        cpu,
        exit: NonNull::from(Box::leak(Box::default())),
        has_affinity: false,
        has_run: false,
        executed: Duration::ZERO,
    })
}

/// `MPIDR_EL1[31]` reads as one.
pub(super) const AFFINITY_RES1: u64 = 1 << 31;

fn destroy(handle: u64) -> Result<(), Error> {
    VCPU.with_borrow_mut(|slot| match slot {
        Some(vcpu) if vcpu.handle == handle => {
            *slot = None;
            Ok(())
        }
        _ => Err(Error::BadArgument),
    })
}

/// Creates the vCPU of the calling thread; `config` is null or a vCPU configuration.
///
/// # Safety
/// `vcpu` and `exit` are null or valid for a write. What `*exit` points to may be read on this thread
/// until the vCPU is destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_create(
    vcpu: *mut u64,
    exit: *mut *const ExitInfo,
    config: *mut c_void,
) -> HvReturn {
    let checked = || {
        if vcpu.is_null() || exit.is_null() {
            return Err(Error::BadArgument);
        }
        if !config.is_null() {
            object::with(config, |object| matches!(object, Object::Vcpu).then_some(()))?;
        }
        let (handle, info) = create()?;
        // SAFETY: the caller's promise.
        unsafe { put(vcpu, handle).and(put(exit, info)) }
    };
    answer(checked())
}

/// Destroys the vCPU of the calling thread.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_destroy(vcpu: u64) -> HvReturn {
    answer(destroy(vcpu))
}
