//! A vCPU's thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use arch_aarch64::mpidr::Mpidr;
use arch_aarch64::pstate;
use arch_aarch64::sysreg::SysReg;
use devices::{Access, Bus, Effect, Width};
use hv::{Exit, Reg, Vcpu, VcpuState, VcpuTimer, Vm};

use crate::Error;
use crate::crew::{Crew, End, Next};
use crate::error::{Outcome, with_causes};
use crate::power::Entry;
use crate::timings::Stopwatch;

/// What all vCPU threads share.
pub(crate) struct Common {
    pub(crate) crew: Arc<Crew>,
    pub(crate) bus: Bus,
    /// The one timer offset of the machine.
    pub(crate) timer: Mutex<VcpuTimer>,
    /// System registers that the guest touched and nobody knows, each logged once.
    pub(crate) unknown: Mutex<BTreeMap<SysReg, ()>>,
    pub(crate) watch: Stopwatch,
}

impl Common {
    pub(crate) fn timer(&self) -> VcpuTimer {
        *self.timer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_timer(&self, timer: VcpuTimer) {
        *self.timer.lock().unwrap_or_else(PoisonError::into_inner) = timer;
    }

    fn unknown_register(&self, register: SysReg, access: &str) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        // Encodings are 16 bits, so this is bounded.
        if unknown.insert(register, ()).is_none() {
            tracing::debug!(%register, access, "unknown system register: reads as zero, ignores writes");
        }
    }
}

/// Starts the thread of vCPU `index` and waits until its vCPU exists.
pub(crate) fn spawn(index: usize, vm: &Vm, common: &Arc<Common>) -> Result<JoinHandle<()>, Error> {
    let name = name(index);
    let (ready, is_ready) = mpsc::sync_channel(1);
    let (vm, common) = (vm.clone(), Arc::clone(common));
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let created = Vcpu::new(&vm, Mpidr::of_index(index as u32)).and_then(|vcpu| {
                // What CPU_ON starts from.
                let reset = vcpu.save()?;
                Ok((vcpu, reset))
            });
            drop(vm);
            match created {
                Err(error) => {
                    // The receiver waits below.
                    let _ = ready.send(Err(error));
                }
                Ok((vcpu, reset)) => {
                    common.crew.join(index, vcpu.handle());
                    let post = Post { index, common: &common };
                    let _ = ready.send(Ok(()));
                    post.serve(vcpu, &reset);
                }
            }
        })
        .map_err(|source| Error::Thread { name: name.clone(), source })?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => {
            join(thread);
            Err(error.into())
        }
        Err(_) => {
            join(thread);
            let source = std::io::Error::other("it panicked");
            Err(Error::Thread { name, source })
        }
    }
}

fn name(index: usize) -> String {
    format!("kiln-vcpu{index}")
}

/// Joins a thread whose panic has been reported already.
pub(crate) fn join(thread: JoinHandle<()>) {
    let _ = thread.join();
}

/// One thread's place in the machine. Leaving it, in whatever way, is noticed.
struct Post<'a> {
    index: usize,
    common: &'a Common,
}

impl Drop for Post<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.common.crew.failed(&name(self.index), "it panicked");
        }
        self.common.crew.leave(self.index);
    }
}

impl Post<'_> {
    /// Carries out orders until told to exit. The vCPU is destroyed on this thread, before the crew
    /// hears that it has left.
    fn serve(self, mut vcpu: Vcpu, reset: &VcpuState) {
        loop {
            let done = match self.common.crew.next(self.index) {
                Next::Exit => break,
                Next::Job(job) => {
                    job(&mut vcpu);
                    Ok(())
                }
                Next::Begin(entry) => {
                    self.begin(&mut vcpu, reset, entry).and_then(|()| self.run(&mut vcpu))
                }
                Next::Run => self.run(&mut vcpu),
            };
            if let Err(error) = done {
                self.common.crew.failed(&name(self.index), with_causes(&error));
            }
        }
        drop(vcpu);
    }

    /// Registers as at reset, then those of the boot protocol. The GIC's own state stays.
    fn begin(&self, vcpu: &mut Vcpu, reset: &VcpuState, entry: Entry) -> Result<(), hv::Error> {
        let mut state = reset.clone();
        state.icc.clear();
        state.redistributor.clear();
        state.pc = entry.pc;
        state.pstate = pstate::BOOT;
        state.general = [0; 31];
        state.general[0] = entry.x0;
        vcpu.load(&state, self.common.timer())
    }

    /// Runs the guest until it is forced out or the machine's run ends.
    fn run(&self, vcpu: &mut Vcpu) -> Result<(), hv::Error> {
        let Common { crew, bus, watch, .. } = self.common;
        watch.entered();
        loop {
            let effect = match vcpu.run()? {
                Exit::Canceled => return Ok(()),
                Exit::MmioRead(read) => {
                    let value = access(read.address, read.bytes())
                        .and_then(|access| bus.read(access))
                        .unwrap_or_else(|| {
                            tracing::debug!(
                                address = format_args!("{:#x}", read.address),
                                "read of nothing"
                            );
                            0
                        });
                    vcpu.complete_mmio_read(read, value)?;
                    Effect::None
                }
                Exit::MmioWrite { address, bytes, value } => access(address, bytes)
                    .and_then(|access| bus.write(access, value))
                    .unwrap_or_else(|| {
                        tracing::debug!(address = format_args!("{address:#x}"), "write to nothing");
                        Effect::None
                    }),
                Exit::Hvc(_) | Exit::Smc(_) => {
                    let mut registers = [0; 4];
                    for (n, register) in registers.iter_mut().enumerate() {
                        *register = vcpu.get(Reg::X(n as u8))?;
                    }
                    match crew.firmware(self.index, registers) {
                        Some(value) => vcpu.set(Reg::X(0), value)?,
                        None => return Ok(()),
                    }
                    Effect::None
                }
                Exit::SysRegRead(read) => {
                    self.common.unknown_register(read.register, "read");
                    vcpu.complete_sys_reg_read(read, 0)?;
                    Effect::None
                }
                Exit::SysRegWrite { register, .. } => {
                    self.common.unknown_register(register, "write");
                    Effect::None
                }
                // With the framework's GIC neither comes; waiting is never wrong to skip.
                Exit::WaitFor(_) | Exit::VtimerActivated => Effect::None,
                // Pairs, SIMD and write-back forms at addresses that are not memory: the hardware does
                // not describe them. The guest is told, and harms only itself.
                Exit::Fault(fault) if vcpu.inject_data_abort(&fault)? => {
                    tracing::debug!(%fault, "answered with an External abort");
                    Effect::None
                }
                Exit::Fault(fault) => {
                    let vcpu = self.index;
                    crew.end(End::For(Outcome::GuestFault { vcpu, fault }));
                    return Ok(());
                }
            };
            match effect {
                Effect::None => {}
                Effect::PowerOff => {
                    crew.end(End::For(Outcome::PoweredOff));
                    return Ok(());
                }
                Effect::Reset => {
                    crew.end(End::Reset);
                    return Ok(());
                }
            }
        }
    }
}

fn access(address: u64, bytes: u8) -> Option<Access> {
    Some(Access::new(address, Width::from_bytes(bytes.into())?))
}
