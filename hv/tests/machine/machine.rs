//! A machine that runs one guest program: RAM, GIC, a thread for every vCPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use arch_aarch64::mpidr::Mpidr;
use hv::{Exit, Gic, GicConfig, Permissions, Reg, Vcpu, VcpuHandle, VcpuState, Vm, VmBuilder};
use vm_memory::{Bytes, GuestAddress, GuestRegionMmap, MemoryRegionAddress};

use crate::image::Image;

/// RAM, as `guest/guest.ld` and `runtime.c` have it.
pub(crate) const RAM: u64 = 0x4000_0000;
pub(crate) const RAM_SIZE: u64 = 0x0200_0000;
const DISTRIBUTOR: u64 = 0x0800_0000;

/// HVC immediates, as `guest.h` has them.
const DONE: u16 = 0;
const FAIL: u16 = 1;
const EVENT: u16 = 2;

/// What a vCPU reports.
#[derive(Debug)]
pub(crate) enum Report {
    /// It ended with this result.
    Done(u64),
    /// The guest reached a point that the host waits for: which, and a value.
    Event(u64, u64),
    /// A forced exit came back; the vCPU goes on.
    Canceled,
    /// It was stopped; this is where it stood.
    Saved(Box<VcpuState>),
}

pub(crate) struct Machine {
    vm: Vm,
    ram: GuestRegionMmap,
    pub(crate) gic: Gic,
    /// Address of the words that the guest calls `parameters`.
    parameters: u64,
}

/// Runs a program on `count` vCPUs to its end.
pub(crate) fn pass(program: &str, argument: u64, count: u32) {
    Machine::new(program, argument).run(count);
}

impl Machine {
    /// Memory with the program in it, and a GIC.
    pub(crate) fn new(program: &str, argument: u64) -> Self {
        let image = Image::build(program);
        let (mut machine, [distributor, redistributors, size]) = Self::create();
        machine.parameters = image.parameters;
        machine.write(RAM, &image.bytes);
        for (index, value) in [distributor, redistributors, size, argument].into_iter().enumerate()
        {
            machine.set_parameter(index as u64, value);
        }
        machine
    }

    /// A machine whose memory somebody else fills.
    pub(crate) fn empty() -> Self {
        Self::create().0
    }

    /// The machine, and where its GIC is: distributor, redistributors, the size of one.
    fn create() -> (Self, [u64; 3]) {
        let builder = VmBuilder::new(None).expect("the only VM of this process");
        let sizes = builder.gic_parameters().expect("the GIC's parameters");
        let redistributors =
            (DISTRIBUTOR + sizes.distributor_size).next_multiple_of(sizes.redistributor_alignment);
        let config = GicConfig { distributor: DISTRIBUTOR, redistributors };
        let vm = builder.with_gic(&config).expect("a GIC before any vCPU");
        let ram = hv::anonymous_region(GuestAddress(RAM), RAM_SIZE).expect("32 MiB of memory");
        vm.map(&ram, Permissions::ReadWriteExecute).expect("an empty VM");
        let gic = vm.gic().expect("it was just made");
        (
            Machine { vm, ram, gic, parameters: RAM },
            [DISTRIBUTOR, redistributors, sizes.redistributor_size],
        )
    }

    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        self.ram.write_slice(bytes, MemoryRegionAddress(address - RAM)).expect("in RAM");
    }

    fn set_parameter(&self, index: u64, value: u64) {
        self.ram
            .store(value, MemoryRegionAddress(self.parameters + 8 * index - RAM), Ordering::Release)
            .expect("in RAM");
    }

    /// The word that host and guest share.
    pub(crate) fn set_shared(&self, value: u64) {
        self.set_parameter(4, value);
    }

    /// All of RAM, while no vCPU runs.
    pub(crate) fn read_all(&self) -> Vec<u8> {
        let mut bytes = vec![0; RAM_SIZE as usize];
        self.ram.read_slice(&mut bytes, MemoryRegionAddress(0)).expect("all of RAM");
        bytes
    }

    /// Starts vCPU `index` of `count` on a thread of its own, at the entry of the program.
    pub(crate) fn start(&self, index: u32, count: u32) -> Running {
        self.spawn(index, move |vcpu| {
            vcpu.set(Reg::Pc, RAM).expect("a register");
            vcpu.set(Reg::X(0), u64::from(index)).expect("a register");
            vcpu.set(Reg::X(1), u64::from(count)).expect("a register");
        })
    }

    /// Starts a vCPU in the state that `prepare` gives it.
    pub(crate) fn spawn(
        &self,
        index: u32,
        prepare: impl FnOnce(&mut Vcpu) + Send + 'static,
    ) -> Running {
        let vm = self.vm.clone();
        let (report, reports) = channel();
        let (ready, handle) = channel();
        let (go, wait) = channel::<()>();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut vcpu = Vcpu::new(&vm, Mpidr::of_index(index)).expect("one more vCPU");
            ready.send(vcpu.handle()).expect("the starter waits");
            // Every vCPU exists before one runs.
            if wait.recv().is_err() {
                return;
            }
            prepare(&mut vcpu);
            serve(index, &mut vcpu, &report, &stopped);
            // The vCPU lives until its machine is done with: the state of the GIC has a part of it.
            let _ = wait.recv();
        });
        let handle = handle.recv().expect("the vCPU's thread starts");
        Running { index, handle, reports, thread, go, stop }
    }

    /// Runs the program on `count` vCPUs to its end; returns what vCPU 0 returned.
    pub(crate) fn run(&self, count: u32) -> u64 {
        let vcpus: Vec<_> = (0..count).map(|index| self.start(index, count)).collect();
        vcpus.iter().for_each(Running::go);
        let results: Vec<_> = vcpus.into_iter().map(Running::finish).collect();
        results[0]
    }
}

/// Runs until the guest is done.
fn serve(index: u32, vcpu: &mut Vcpu, report: &Sender<Report>, stopped: &AtomicBool) {
    loop {
        let exit = vcpu.run().expect("a vCPU on its own thread");
        let x = |n| vcpu.get(Reg::X(n)).expect("a register");
        let next = match exit {
            Exit::Hvc(DONE) => Report::Done(x(0)),
            Exit::Hvc(EVENT) => Report::Event(x(0), x(1)),
            Exit::Hvc(FAIL) => panic!(
                "vCPU {index}: the guest's check in line {} (or {:#x}) failed: {:#x} instead of {:#x}, from {:#x}",
                x(0) & 0xffff,
                x(0),
                x(1),
                x(2),
                x(30)
            ),
            Exit::Canceled if stopped.load(Ordering::Acquire) => {
                Report::Saved(Box::new(vcpu.save().expect("a vCPU outside of the guest")))
            }
            Exit::Canceled => Report::Canceled,
            other => panic!(
                "vCPU {index}: {other:x?} at {:#x}, x30 {:#x}",
                vcpu.get(Reg::Pc).expect("a register"),
                x(30)
            ),
        };
        let done = matches!(next, Report::Done(_) | Report::Saved(_));
        // Nobody listens any more when the test is over.
        if report.send(next).is_err() || done {
            return;
        }
    }
}

/// A vCPU on its thread.
pub(crate) struct Running {
    index: u32,
    pub(crate) handle: VcpuHandle,
    pub(crate) reports: Receiver<Report>,
    thread: JoinHandle<()>,
    go: Sender<()>,
    stop: Arc<AtomicBool>,
}

impl Running {
    pub(crate) fn go(&self) {
        self.go.send(()).expect("the vCPU's thread waits");
    }

    /// Takes it out of the guest for good.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.handle.exit().expect("a live vCPU");
    }

    /// Waits for the state of a vCPU that was stopped.
    pub(crate) fn saved(&self) -> VcpuState {
        loop {
            match self.reports.recv() {
                Ok(Report::Saved(state)) => return *state,
                Ok(Report::Event(..) | Report::Canceled) => {}
                other => panic!("vCPU {}: {other:?} instead of its state", self.index),
            }
        }
    }

    /// Waits for the end; other reports on the way are nobody's.
    pub(crate) fn finish(self) -> u64 {
        let result = loop {
            match self.reports.recv() {
                Ok(Report::Done(result)) => break Some(result),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        drop(self.go);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
        result.expect("a vCPU that ends says so")
    }

    /// Waits for the guest to reach that point.
    pub(crate) fn event(&self) -> (u64, u64) {
        loop {
            match self.reports.recv() {
                Ok(Report::Event(which, value)) => return (which, value),
                Ok(Report::Canceled) => {}
                other => panic!("vCPU {}: {other:?} instead of an event", self.index),
            }
        }
    }
}
