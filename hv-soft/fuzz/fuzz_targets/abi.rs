//! Random call sequences from two threads, over guests made of random instructions.
//!
//! Whatever is called in whatever order with whatever values answers a code of the framework; the guest
//! can be stopped; and when the vCPUs are gone, so is the VM.
#![no_main]

use std::ffi::c_void;
use std::ptr::{null, null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use arbitrary::Arbitrary;
use hv_soft::abi::*;
use libfuzzer_sys::fuzz_target;

const GRANULE: usize = 16 * 1024;
/// Host memory that may be mapped, so that nothing else of this process is.
const POOL: usize = 8 * GRANULE;
const RAM: u64 = 0x4000_0000;
const GICD: u64 = 0x0800_0000;
const GICR: u64 = 0x0a00_0000;
const GICM: u64 = 0x0802_0000;

/// One call, and the thread that makes it.
#[derive(Arbitrary, Debug)]
struct Step {
    elsewhere: bool,
    call: Call,
}

/// Values that matter are likely, all others possible.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Place {
    Ram(u8),
    Distributor(u16),
    Redistributor(u32),
    Messages(u8),
    Any(u64),
}

impl Place {
    fn address(self) -> u64 {
        match self {
            Place::Ram(page) => RAM + u64::from(page % 16) * GRANULE as u64,
            Place::Distributor(offset) => GICD + u64::from(offset),
            Place::Redistributor(offset) => GICR + u64::from(offset & 0x7_ffff),
            Place::Messages(offset) => GICM + u64::from(offset),
            Place::Any(address) => address,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Call {
    VmCreate { configured: bool, bits: u8 },
    VmDestroy,
    Map { page: u8, place: Place, pages: u8, flags: u8, skew: bool },
    Unmap { place: Place, pages: u8 },
    Protect { place: Place, pages: u8, flags: u8 },
    GicCreate { distributor: Place, redistributor: Place, messages: Option<(Place, u16, u16)> },
    UsualGic,
    GicReset,
    SetSpi { intid: u16, level: bool },
    SendMsi { place: Place, intid: u16 },
    Distributor { register: u16, write: Option<u64> },
    Redistributor { register: u32, write: Option<u64> },
    Interface { register: u16, write: Option<u64> },
    State { damage: Option<(u16, u8)> },
    VcpuCreate,
    VcpuDestroy { other: bool },
    Code { at: u16, words: Vec<u32> },
    Run,
    General { register: u8, write: Option<u64> },
    System { register: u16, write: Option<u64> },
    UsualState { pc: u16, x1: Place },
    Simd { register: u8, write: Option<u128> },
    Pending { kind: u8, pending: bool },
    TimerMask { masked: bool },
    TimerOffset { offset: u64 },
    Traps { exceptions: bool, registers: bool },
    Exit { handles: Vec<u8> },
    Release { object: u16 },
}

/// The vCPU of a thread, by handle, and its exit information.
#[derive(Default)]
struct Thread {
    vcpu: u64,
    exit: Option<*const ExitInfo>,
}

/// The memory, which is there for ever.
fn pool() -> *mut u8 {
    static POOL_ADDRESS: LazyLock<usize> = LazyLock::new(|| {
        let mut memory = null_mut();
        // SAFETY: the pointer is valid.
        assert_eq!(unsafe { hv_vm_allocate(&raw mut memory, POOL, 0) }, code::SUCCESS);
        memory.expose_provenance()
    });
    std::ptr::with_exposed_provenance_mut(*POOL_ADDRESS)
}

/// Handle plus one of the vCPU that runs; zero if none does. The watchdog stops it.
static RUNNING: AtomicU64 = AtomicU64::new(0);

fn start_watchdog() {
    static STARTED: LazyLock<()> = LazyLock::new(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_micros(500));
                if let Some(vcpu) = RUNNING.load(Ordering::SeqCst).checked_sub(1) {
                    // SAFETY: the list is valid.
                    unsafe { hv_vcpus_exit(&raw const vcpu, 1) };
                }
            }
        });
    });
    LazyLock::force(&STARTED);
}

fn known(result: i32) {
    let codes = [
        code::SUCCESS,
        code::ERROR,
        code::BUSY,
        code::BAD_ARGUMENT,
        code::NO_RESOURCES,
        code::NO_DEVICE,
        code::DENIED,
        code::UNSUPPORTED,
    ];
    assert!(codes.contains(&result), "{result:#x}");
}

impl Thread {
    fn perform(&mut self, call: &Call) {
        if let Some(result) = self.answer(call) {
            known(result);
        }
    }

    /// What the function answers, if one is called.
    fn answer(&mut self, call: &Call) -> Option<i32> {
        let vcpu = self.vcpu;
        let mut value = 0u64;
        // SAFETY: host memory that is mapped is the pool's, which lives for ever and has no
        // references into it; all other pointers are valid or null.
        Some(unsafe {
            match *call {
                Call::VmCreate { configured, bits } => {
                    if !configured {
                        return Some(hv_vm_create(null_mut()));
                    }
                    let config = hv_vm_config_create();
                    known(hv_vm_config_set_ipa_size(config, bits.into()));
                    let result = hv_vm_create(config);
                    os_release(config);
                    result
                }
                Call::VmDestroy => hv_vm_destroy(),
                Call::Map { page, place, pages, flags, skew } => {
                    let first = usize::from(page) % 9;
                    let size = usize::from(pages % 10) * GRANULE;
                    if first * GRANULE + size > POOL {
                        // Beyond the pool: an address that nothing has.
                        let nowhere = without_provenance_mut(0x10_0000_0000_0000 + first * GRANULE);
                        return Some(hv_vm_map(nowhere, place.address(), size, flags.into()));
                    }
                    let host = pool().add(first * GRANULE + if skew { 8 } else { 0 });
                    if skew && first * GRANULE + size + 8 > POOL {
                        return None;
                    }
                    hv_vm_map(host.cast(), place.address(), size, u64::from(flags % 9))
                }
                Call::Unmap { place, pages } => {
                    hv_vm_unmap(place.address(), usize::from(pages) * GRANULE)
                }
                Call::Protect { place, pages, flags } => {
                    hv_vm_protect(place.address(), usize::from(pages) * GRANULE, (flags % 9).into())
                }
                Call::GicCreate { distributor, redistributor, messages } => {
                    let config = hv_gic_config_create();
                    known(hv_gic_config_set_distributor_base(config, distributor.address()));
                    known(hv_gic_config_set_redistributor_base(config, redistributor.address()));
                    if let Some((place, first, count)) = messages {
                        known(hv_gic_config_set_msi_region_base(config, place.address()));
                        let (first, count) = (first.into(), count.into());
                        known(hv_gic_config_set_msi_interrupt_range(config, first, count));
                    }
                    let result = hv_gic_create(config);
                    os_release(config);
                    result
                }
                Call::UsualGic => {
                    let config = hv_gic_config_create();
                    known(hv_gic_config_set_distributor_base(config, GICD));
                    known(hv_gic_config_set_redistributor_base(config, GICR));
                    known(hv_gic_config_set_msi_region_base(config, GICM));
                    known(hv_gic_config_set_msi_interrupt_range(config, 64, 32));
                    let result = hv_gic_create(config);
                    os_release(config);
                    result
                }
                Call::GicReset => hv_gic_reset(),
                Call::SetSpi { intid, level } => hv_gic_set_spi(intid.into(), level),
                Call::SendMsi { place, intid } => hv_gic_send_msi(place.address(), intid.into()),
                Call::Distributor { register, write } => match write {
                    Some(value) => hv_gic_set_distributor_reg(register.into(), value),
                    None => hv_gic_get_distributor_reg(register.into(), &raw mut value),
                },
                Call::Redistributor { register, write } => match write {
                    Some(value) => hv_gic_set_redistributor_reg(vcpu, register, value),
                    None => hv_gic_get_redistributor_reg(vcpu, register, &raw mut value),
                },
                Call::Interface { register, write } => match write {
                    Some(value) => hv_gic_set_icc_reg(vcpu, register.into(), value),
                    None => hv_gic_get_icc_reg(vcpu, register.into(), &raw mut value),
                },
                Call::State { damage } => return state(damage),
                Call::VcpuCreate => {
                    let (mut handle, mut exit) = (0, null());
                    let result = hv_vcpu_create(&raw mut handle, &raw mut exit, null_mut());
                    if result == code::SUCCESS {
                        assert!(self.exit.is_none(), "one vCPU a thread");
                        (self.vcpu, self.exit) = (handle, Some(exit));
                    }
                    result
                }
                Call::VcpuDestroy { other } => {
                    let result = hv_vcpu_destroy(if other { vcpu ^ 1 } else { vcpu });
                    if result == code::SUCCESS {
                        assert!(!other && self.exit.take().is_some());
                    }
                    result
                }
                Call::Code { at, ref words } => {
                    let start = usize::from(at) % (POOL / 4);
                    for (index, word) in words.iter().enumerate() {
                        let address = pool().cast::<u32>().add((start + index) % (POOL / 4));
                        address.write_volatile(*word);
                    }
                    return None;
                }
                Call::Run => {
                    RUNNING.store(vcpu + 1, Ordering::SeqCst);
                    let result = hv_vcpu_run(vcpu);
                    RUNNING.store(0, Ordering::SeqCst);
                    if let (code::SUCCESS, Some(exit)) = (result, self.exit) {
                        assert!((*exit).reason <= reason::VTIMER_ACTIVATED);
                    }
                    result
                }
                Call::General { register, write } => match write {
                    Some(value) => hv_vcpu_set_reg(vcpu, register.into(), value),
                    None => hv_vcpu_get_reg(vcpu, register.into(), &raw mut value),
                },
                Call::System { register, write } => match write {
                    Some(value) => hv_vcpu_set_sys_reg(vcpu, register.into(), value),
                    None => hv_vcpu_get_sys_reg(vcpu, register.into(), &raw mut value),
                },
                Call::UsualState { pc, x1 } => {
                    const PC: u32 = 31;
                    const CPSR: u32 = 34;
                    known(hv_vcpu_set_reg(vcpu, CPSR, 0x305));
                    known(hv_vcpu_set_reg(vcpu, 1, x1.address()));
                    hv_vcpu_set_reg(vcpu, PC, RAM + (u64::from(pc) & !3))
                }
                Call::Simd { register, write } => match write {
                    Some(value) => {
                        hv_vcpu_set_simd_fp_reg(vcpu, register.into(), std::mem::transmute(value))
                    }
                    None => {
                        let mut value = 0u128;
                        hv_vcpu_get_simd_fp_reg(vcpu, register.into(), &raw mut value)
                    }
                },
                Call::Pending { kind, pending } => {
                    hv_vcpu_set_pending_interrupt(vcpu, kind.into(), pending)
                }
                Call::TimerMask { masked } => hv_vcpu_set_vtimer_mask(vcpu, masked),
                Call::TimerOffset { offset } => hv_vcpu_set_vtimer_offset(vcpu, offset),
                Call::Traps { exceptions, registers } => {
                    known(hv_vcpu_set_trap_debug_exceptions(vcpu, exceptions));
                    hv_vcpu_set_trap_debug_reg_accesses(vcpu, registers)
                }
                Call::Exit { ref handles } => {
                    let handles: Vec<u64> = handles.iter().map(|handle| (*handle).into()).collect();
                    hv_vcpus_exit(handles.as_ptr(), handles.len() as u32)
                }
                Call::Release { object } => {
                    os_release(without_provenance_mut(object.into()));
                    return None;
                }
            }
        })
    }

    /// Leaves the thread without a vCPU.
    fn finish(&mut self) {
        if self.exit.take().is_some() {
            assert_eq!(hv_vcpu_destroy(self.vcpu), code::SUCCESS);
        }
    }
}

/// Captures the interrupt controller's state and gives it back, perhaps damaged.
fn state(damage: Option<(u16, u8)>) -> Option<i32> {
    let object = hv_gic_state_create();
    if object.is_null() {
        return None;
    }
    let mut size = 0;
    // SAFETY: the pointers are valid, and the buffer has the size that was asked for.
    unsafe {
        assert_eq!(hv_gic_state_get_size(object, &raw mut size), code::SUCCESS);
        let mut data = vec![0u8; size];
        assert_eq!(hv_gic_state_get_data(object, data.as_mut_ptr().cast()), code::SUCCESS);
        os_release(object);
        if let Some((at, bits)) = damage {
            let at = usize::from(at) % size;
            data[at] ^= bits;
        }
        Some(hv_gic_set_state(data.as_ptr().cast::<c_void>(), data.len()))
    }
}

/// The second thread: does what it is sent and says when it is done. `None` ends a sequence.
static OTHER: LazyLock<Mutex<(Sender<Option<Call>>, Receiver<()>)>> = LazyLock::new(|| {
    let (calls, inbox) = channel::<Option<Call>>();
    let (done, outbox) = channel();
    std::thread::spawn(move || {
        let mut thread = Thread::default();
        while let Ok(call) = inbox.recv() {
            match call {
                Some(call) => thread.perform(&call),
                None => thread.finish(),
            }
            done.send(()).expect("the fuzzer's thread listens");
        }
    });
    Mutex::new((calls, outbox))
});

/// How a sequence starts.
#[derive(Arbitrary, Debug)]
enum Start {
    /// With nothing, not even a VM.
    Nothing,
    /// With memory that holds these instructions, perhaps an interrupt controller, and a vCPU.
    Machine { gic: bool, code: Vec<u32> },
}

impl Start {
    fn calls(self) -> Vec<Call> {
        let Start::Machine { gic, code } = self else { return Vec::new() };
        let mut calls = vec![
            Call::VmCreate { configured: false, bits: 0 },
            Call::Map { page: 0, place: Place::Ram(0), pages: 8, flags: 7, skew: false },
            Call::Code { at: 0, words: code },
        ];
        if gic {
            calls.push(Call::UsualGic);
        }
        calls.extend([
            Call::VcpuCreate,
            Call::System { register: MPIDR_EL1, write: Some(0) },
            Call::System { register: CPACR_EL1, write: Some(3 << 20) },
            Call::UsualState { pc: 0, x1: Place::Ram(1) },
        ]);
        calls
    }
}

const MPIDR_EL1: u16 = 0xc005;
const CPACR_EL1: u16 = 0xc082;

fuzz_target!(|sequence: (Start, Vec<Step>)| {
    let (start, steps) = sequence;
    start_watchdog();
    let other = OTHER.lock().expect("no panic");
    let elsewhere = |call| {
        other.0.send(call).expect("the other thread lives");
        other.1.recv().expect("and answers");
    };
    let mut here = Thread::default();
    start.calls().iter().for_each(|call| here.perform(call));
    for step in steps.into_iter().take(64) {
        if step.elsewhere {
            elsewhere(Some(step.call));
        } else {
            here.perform(&step.call);
        }
    }
    here.finish();
    elsewhere(None);
    let result = hv_vm_destroy();
    assert!(result == code::SUCCESS || result == code::NO_DEVICE, "{result:#x}");
});
