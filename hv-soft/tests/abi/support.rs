//! A process for each case, and a small guest.

use std::process::Command;
use std::ptr::null_mut;

use applevisor_sys::{hv_error_t, hv_reg_t, hv_sys_reg_t};
use hv_soft::abi::*;

pub(crate) const SUCCESS: i32 = hv_error_t::HV_SUCCESS as i32;
pub(crate) const ERROR: i32 = hv_error_t::HV_ERROR as i32;
pub(crate) const BUSY: i32 = hv_error_t::HV_BUSY as i32;
pub(crate) const BAD_ARGUMENT: i32 = hv_error_t::HV_BAD_ARGUMENT as i32;
pub(crate) const NO_RESOURCES: i32 = hv_error_t::HV_NO_RESOURCES as i32;
pub(crate) const NO_DEVICE: i32 = hv_error_t::HV_NO_DEVICE as i32;
pub(crate) const DENIED: i32 = hv_error_t::HV_DENIED as i32;
pub(crate) const UNSUPPORTED: i32 = hv_error_t::HV_UNSUPPORTED as i32;

pub(crate) const READ: u64 = applevisor_sys::HV_MEMORY_READ;
pub(crate) const WRITE: u64 = applevisor_sys::HV_MEMORY_WRITE;
pub(crate) const EXEC: u64 = applevisor_sys::HV_MEMORY_EXEC;

/// Exit reasons (`hv_exit_reason_t`).
pub(crate) const CANCELED: u32 = applevisor_sys::hv_exit_reason_t::CANCELED as u32;
pub(crate) const EXCEPTION: u32 = applevisor_sys::hv_exit_reason_t::EXCEPTION as u32;
pub(crate) const VTIMER: u32 = applevisor_sys::hv_exit_reason_t::VTIMER_ACTIVATED as u32;

/// Apple's page: the granule of everything that is mapped.
pub(crate) const GRANULE: usize = applevisor_sys::PAGE_SIZE;

const CASE: &str = "HV_SOFT_CASE";

/// Runs a case in a process of its own: this test binary, asked for this one test.
pub(crate) fn isolated(path: &str, body: fn()) {
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    if std::env::var(CASE).as_deref() == Ok(name) {
        return body();
    }
    let binary = std::env::current_exe().expect("the test binary");
    let output = Command::new(binary)
        .args(["--exact", name, "--nocapture"])
        .env(CASE, name)
        .output()
        .expect("a child process");
    assert!(
        output.status.success(),
        "{name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Declares tests that run in a process of their own.
macro_rules! cases {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)*) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                crate::support::isolated(concat!(module_path!(), "::", stringify!($name)), || $body);
            }
        )*
    };
}
pub(crate) use cases;

/// Page-aligned host memory that the process keeps.
pub(crate) fn memory(size: usize) -> *mut u8 {
    let mut address = null_mut();
    // SAFETY: the pointer is valid.
    assert_eq!(unsafe { hv_vm_allocate(&raw mut address, size, 0) }, SUCCESS);
    address.cast()
}

/// Where the guest's memory and code are.
pub(crate) const RAM: u64 = 0x4000_0000;
/// A guest-physical address that nothing answers.
pub(crate) const HOLE: u64 = 0x1000_0000;

pub(crate) fn create_vm() {
    assert_eq!(hv_vm_create(null_mut()), SUCCESS);
}

/// Maps RAM and places instructions at its start. Returns the host address.
pub(crate) fn load(code: &[u32]) -> *mut u8 {
    let host = memory(4 * GRANULE);
    for (index, word) in code.iter().enumerate() {
        // SAFETY: within the allocation, and aligned.
        unsafe { host.cast::<u32>().add(index).write(*word) };
    }
    map(host, RAM, 4 * GRANULE, READ | WRITE | EXEC);
    host
}

pub(crate) fn map(host: *mut u8, ipa: u64, size: usize, flags: u64) {
    assert_eq!(try_map(host, ipa, size, flags), SUCCESS);
}

pub(crate) fn try_map(host: *mut u8, ipa: u64, size: usize, flags: u64) -> i32 {
    // SAFETY: callers pass memory that they keep, or nonsense that is refused.
    unsafe { hv_vm_map(host.cast(), ipa, size, flags) }
}

/// The vCPU of this thread.
pub(crate) struct Guest {
    pub(crate) vcpu: u64,
    exit: *const ExitInfo,
}

impl Guest {
    /// A vCPU at the start of RAM in EL1h, exceptions masked.
    pub(crate) fn new() -> Guest {
        let (mut vcpu, mut exit) = (u64::MAX, std::ptr::null());
        // SAFETY: both pointers are valid.
        let result = unsafe { hv_vcpu_create(&raw mut vcpu, &raw mut exit, null_mut()) };
        assert_eq!(result, SUCCESS);
        let guest = Guest { vcpu, exit };
        guest.set(hv_reg_t::CPSR, 0x3c5);
        guest.set(hv_reg_t::PC, RAM);
        guest.set(hv_reg_t::X1, HOLE);
        guest
    }

    pub(crate) fn run(&self) -> ExitInfo {
        assert_eq!(hv_vcpu_run(self.vcpu), SUCCESS);
        // SAFETY: valid until the vCPU is destroyed, and written by its run only.
        unsafe { *self.exit }
    }

    /// Runs to an exception and returns its class.
    pub(crate) fn run_to_exception(&self) -> u64 {
        let exit = self.run();
        assert_eq!(exit.reason, EXCEPTION, "{exit:x?}");
        exit.syndrome >> 26
    }

    pub(crate) fn get(&self, register: hv_reg_t) -> u64 {
        let mut value = 0;
        // SAFETY: the pointer is valid.
        let result = unsafe { hv_vcpu_get_reg(self.vcpu, register as u32, &raw mut value) };
        assert_eq!(result, SUCCESS);
        value
    }

    pub(crate) fn set(&self, register: hv_reg_t, value: u64) {
        assert_eq!(hv_vcpu_set_reg(self.vcpu, register as u32, value), SUCCESS);
    }

    pub(crate) fn get_sys(&self, register: hv_sys_reg_t) -> u64 {
        let mut value = 0;
        // SAFETY: the pointer is valid.
        let result = unsafe { hv_vcpu_get_sys_reg(self.vcpu, register as u32, &raw mut value) };
        assert_eq!(result, SUCCESS);
        value
    }

    pub(crate) fn set_sys(&self, register: hv_sys_reg_t, value: u64) {
        assert_eq!(hv_vcpu_set_sys_reg(self.vcpu, register as u32, value), SUCCESS);
    }

    /// Goes past the instruction, as the host does once it has completed it.
    pub(crate) fn skip(&self) {
        self.set(hv_reg_t::PC, self.get(hv_reg_t::PC) + 4);
    }
}

/// Instructions that the guests consist of.
pub(crate) mod insn {
    pub(crate) const HVC_7: u32 = 0xd400_00e2;
    pub(crate) const HVC_0: u32 = 0xd400_0002;
    pub(crate) const SMC_3: u32 = 0xd400_0063;
    pub(crate) const WFI: u32 = 0xd503_207f;
    /// `b .`
    pub(crate) const SPIN: u32 = 0x1400_0000;
    /// `b .-4`
    pub(crate) const BACK_1: u32 = 0x17ff_ffff;
    pub(crate) const NOP: u32 = 0xd503_201f;
    /// `str w2, [x1]`
    pub(crate) const STR_W2: u32 = 0xb900_0022;
    /// `ldr w2, [x1]`
    pub(crate) const LDR_W2: u32 = 0xb940_0022;
    /// `ldr x2, [x1]`
    pub(crate) const LDR_X2: u32 = 0xf940_0022;
    /// `add x0, x0, #1`
    pub(crate) const ADD_X0: u32 = 0x9100_0400;
    /// `msr cntv_ctl_el0, x6`
    pub(crate) const MSR_CNTV_CTL_X6: u32 = 0xd51b_e326;
    /// `msr cntv_cval_el0, x7`
    pub(crate) const MSR_CNTV_CVAL_X7: u32 = 0xd51b_e347;
    /// `mrs x5, cntv_ctl_el0`
    pub(crate) const MRS_X5_CNTV_CTL: u32 = 0xd53b_e325;
    /// `mrs x5, icc_iar1_el1`
    pub(crate) const MRS_X5_IAR1: u32 = 0xd538_cc05;
    /// `msr icc_eoir1_el1, x5`
    pub(crate) const MSR_EOIR1_X5: u32 = 0xd518_cc25;
    /// `msr daifclr, #3`
    pub(crate) const UNMASK: u32 = 0xd503_43ff;
    /// `brk #5`
    pub(crate) const BRK_5: u32 = 0xd420_00a0;
    /// `mrs x5, mdscr_el1`
    pub(crate) const MRS_X5_MDSCR: u32 = 0xd530_0245;
}
