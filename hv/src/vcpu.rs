//! One virtual CPU.

use std::marker::PhantomData;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use arch_aarch64::esr::{Esr, Syndrome};
use arch_aarch64::mpidr::Mpidr;
use hv_sys::{hv_reg_t, hv_sys_reg_t, hv_vcpu_exit_t, hv_vcpu_t};

use crate::error::Error;
use crate::exit::{Exit, GuestFault, MmioRead, SysRegRead, extend};
use crate::sys::{call, get};
use crate::vm::{Inner, Vm};

/// A core register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reg {
    /// X0 to X30.
    X(u8),
    /// Program counter.
    Pc,
    /// PSTATE, laid out as in [`arch_aarch64::pstate`].
    Pstate,
}

pub(crate) const GENERAL: [hv_reg_t; 31] = {
    use hv_reg_t::*;
    [
        X0, X1, X2, X3, X4, X5, X6, X7, X8, X9, X10, X11, X12, X13, X14, X15, X16, X17, X18, X19,
        X20, X21, X22, X23, X24, X25, X26, X27, X28, X29, X30,
    ]
};

/// A virtual CPU, bound to the thread that made it. Dropping it destroys it.
pub struct Vcpu {
    pub(crate) id: hv_vcpu_t,
    /// Filled by the framework before each return from the guest, valid while the vCPU exists. A raw
    /// pointer, so this type is neither `Send` nor `Sync`.
    exit: *const hv_vcpu_exit_t,
    alive: Arc<Mutex<Option<hv_vcpu_t>>>,
    mpidr: Mpidr,
    vm: Arc<Inner>,
    gic: bool,
    _bound_to_its_thread: PhantomData<*mut ()>,
}

/// Forces a vCPU out of the guest, from any thread, at any time.
#[derive(Clone)]
pub struct VcpuHandle {
    /// `None` once the vCPU is gone, so that an identifier the framework has given to another vCPU
    /// is never used.
    id: Arc<Mutex<Option<hv_vcpu_t>>>,
}

impl VcpuHandle {
    /// Makes the vCPU's run return [`Exit::Canceled`]. If it is not in the guest now, its next run
    /// does so at once. Without effect on a vCPU that is gone.
    pub fn exit(&self) -> Result<(), Error> {
        let id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        match *id {
            // SAFETY: one identifier is passed by pointer, and the lock keeps its vCPU alive.
            Some(id) => unsafe { call!(hv_vcpus_exit(&raw const id, 1)) },
            None => Ok(()),
        }
    }
}

/// A guest that faults on mapped memory this often at one place does so for another reason than a
/// page that is being exchanged.
const MOST_RETRIES: u32 = 1000;

impl Vcpu {
    /// Creates a vCPU of that affinity, owned by the calling thread.
    pub fn new(vm: &Vm, mpidr: Mpidr) -> Result<Self, Error> {
        let mut id: hv_vcpu_t = 0;
        let mut exit: *const hv_vcpu_exit_t = ptr::null();
        // SAFETY: both pointers are valid for a write; a null configuration means the defaults.
        unsafe { call!(hv_vcpu_create(&raw mut id, &raw mut exit, ptr::null_mut()))? };
        let vcpu = Self {
            id,
            exit,
            alive: Arc::new(Mutex::new(Some(id))),
            mpidr,
            vm: Arc::clone(&vm.inner),
            gic: vm.gic,
            _bound_to_its_thread: PhantomData,
        };
        vcpu.set_sys(hv_sys_reg_t::MPIDR_EL1, mpidr.register())?;
        Ok(vcpu)
    }

    /// The affinity it was created with.
    pub fn mpidr(&self) -> Mpidr {
        self.mpidr
    }

    pub(crate) fn has_gic(&self) -> bool {
        self.gic
    }

    /// A handle for other threads.
    pub fn handle(&self) -> VcpuHandle {
        VcpuHandle { id: Arc::clone(&self.alive) }
    }

    /// Guest-physical base of this vCPU's redistributor.
    pub fn redistributor_base(&self) -> Result<u64, Error> {
        // SAFETY: this is the owning thread, the pointer is valid.
        get("hv_gic_get_redistributor_base", |base| unsafe {
            hv_sys::hv_gic_get_redistributor_base(self.id, base)
        })
    }

    /// Runs the guest until something happens that the caller has to see.
    pub fn run(&mut self) -> Result<Exit, Error> {
        let mut retries = 0;
        loop {
            // SAFETY: this is the owning thread.
            unsafe { call!(hv_vcpu_run(self.id))? };
            if let Some(exit) = self.decode(&mut retries)? {
                return Ok(exit);
            }
        }
    }

    /// Decodes the last exit; `None` when it is dealt with and the guest can go on.
    fn decode(&mut self, retries: &mut u32) -> Result<Option<Exit>, Error> {
        use hv_sys::hv_exit_reason_t as Reason;
        // SAFETY: the pointer is valid while the vCPU exists, and the framework writes through it only
        // during a run. The reason is read as an integer, for it may be one we do not know.
        let (reason, exception) = unsafe {
            let reason = (&raw const (*self.exit).reason).cast::<u32>().read();
            (reason, (&raw const (*self.exit).exception).read())
        };
        let esr = Esr::from(exception.syndrome);
        if reason == Reason::CANCELED as u32 {
            return Ok(Some(Exit::Canceled));
        }
        if reason == Reason::VTIMER_ACTIVATED as u32 {
            return Ok(Some(Exit::VtimerActivated));
        }
        if reason != Reason::EXCEPTION as u32 {
            return Ok(Some(self.fault(Esr::from(0), 0, 0)?));
        }
        // The framework leaves the program counter at the instruction for everything but HVC.
        let address = exception.physical_address;
        Ok(Some(match esr.decode() {
            Syndrome::Hvc(immediate) => Exit::Hvc(immediate),
            Syndrome::Smc(immediate) => {
                self.advance()?;
                Exit::Smc(immediate)
            }
            Syndrome::WaitFor(what) => {
                self.advance()?;
                Exit::WaitFor(what)
            }
            Syndrome::SysReg(access) if access.read => {
                Exit::SysRegRead(SysRegRead { register: access.register, rt: access.rt })
            }
            Syndrome::SysReg(access) => {
                let value = self.operand(access.rt)?;
                self.advance()?;
                Exit::SysRegWrite { register: access.register, value }
            }
            Syndrome::DataAbort(abort) if abort.cache_maintenance => {
                self.advance()?;
                return Ok(None);
            }
            Syndrome::DataAbort(_) | Syndrome::InstructionAbort(_)
                if *retries < MOST_RETRIES && self.vm.holds(address) =>
            {
                // Memory that was being discarded at that moment. It is back now.
                *retries += 1;
                return Ok(None);
            }
            Syndrome::DataAbort(abort) => match abort.access {
                Some(access) if !abort.stage1_walk => {
                    if abort.write {
                        let value = self.operand(access.register)?;
                        self.advance()?;
                        let unused = 64 - 8 * u32::from(access.bytes);
                        Exit::MmioWrite {
                            address,
                            bytes: access.bytes,
                            value: value << unused >> unused,
                        }
                    } else {
                        Exit::MmioRead(MmioRead { address, access })
                    }
                }
                _ => self.fault(esr, exception.virtual_address, address)?,
            },
            Syndrome::InstructionAbort(_) | Syndrome::Other(_) => {
                self.fault(esr, exception.virtual_address, address)?
            }
        }))
    }

    fn fault(&self, esr: Esr, virtual_address: u64, physical_address: u64) -> Result<Exit, Error> {
        let pc = self.get(Reg::Pc)?;
        Ok(Exit::Fault(GuestFault { pc, esr, virtual_address, physical_address }))
    }

    /// Finishes a load with the value the device answered; bytes beyond its width are ignored.
    pub fn complete_mmio_read(&mut self, read: MmioRead, value: u64) -> Result<(), Error> {
        self.set_result(read.access.register, extend(&read.access, value))?;
        self.advance()
    }

    /// Finishes an MRS.
    pub fn complete_sys_reg_read(&mut self, read: SysRegRead, value: u64) -> Result<(), Error> {
        self.set_result(read.rt, value)?;
        self.advance()
    }

    /// Reads a core register.
    pub fn get(&self, register: Reg) -> Result<u64, Error> {
        self.get_raw(raw(register))
    }

    /// Writes a core register.
    pub fn set(&mut self, register: Reg, value: u64) -> Result<(), Error> {
        self.set_raw(raw(register), value)
    }

    /// Moves past the instruction that the exit stands for.
    fn advance(&mut self) -> Result<(), Error> {
        let pc = self.get(Reg::Pc)?;
        self.set(Reg::Pc, pc.wrapping_add(4))
    }

    /// A register operand: 31 is XZR.
    fn operand(&self, register: u8) -> Result<u64, Error> {
        if register == 31 { Ok(0) } else { self.get(Reg::X(register)) }
    }

    /// A register result: 31 is XZR.
    fn set_result(&mut self, register: u8, value: u64) -> Result<(), Error> {
        if register == 31 { Ok(()) } else { self.set(Reg::X(register), value) }
    }

    pub(crate) fn get_raw(&self, register: hv_reg_t) -> Result<u64, Error> {
        // SAFETY: this is the owning thread, the pointer is valid.
        get("hv_vcpu_get_reg", |value| unsafe { hv_sys::hv_vcpu_get_reg(self.id, register, value) })
    }

    pub(crate) fn set_raw(&self, register: hv_reg_t, value: u64) -> Result<(), Error> {
        // SAFETY: this is the owning thread.
        unsafe { call!(hv_vcpu_set_reg(self.id, register, value)) }
    }

    pub(crate) fn get_sys(&self, register: hv_sys_reg_t) -> Result<u64, Error> {
        // SAFETY: this is the owning thread, the pointer is valid.
        get("hv_vcpu_get_sys_reg", |value| unsafe {
            hv_sys::hv_vcpu_get_sys_reg(self.id, register, value)
        })
    }

    pub(crate) fn set_sys(&self, register: hv_sys_reg_t, value: u64) -> Result<(), Error> {
        // SAFETY: this is the owning thread.
        unsafe { call!(hv_vcpu_set_sys_reg(self.id, register, value)) }
    }
}

/// # Panics
/// For X31 and beyond, which is no register.
fn raw(register: Reg) -> hv_reg_t {
    match register {
        Reg::X(n) => GENERAL[usize::from(n)],
        Reg::Pc => hv_reg_t::PC,
        Reg::Pstate => hv_reg_t::CPSR,
    }
}

impl Drop for Vcpu {
    fn drop(&mut self) {
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // SAFETY: this is the owning thread; no handle uses the identifier any more.
        if let Err(error) = unsafe { call!(hv_vcpu_destroy(self.id)) } {
            tracing::error!(%error, mpidr = %self.mpidr, "the vCPU could not be destroyed");
        }
    }
}
