//! The complete state of a machine but its memory: taking it, and what it promises.

use std::io;
use std::ops::Range;

use arch_aarch64::mpidr::Mpidr;
use hv::{Touched, VcpuState};
use serde::{Deserialize, Serialize};
use snapshot::{Fingerprint, Invalid, MemorySource, Saved};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend};

use crate::Error;
use crate::config::MachineConfig;
use crate::machine::{Devices, Machine};
use crate::parts::PartsState;
use crate::pause::Pause;
use crate::power::Power;

/// Everything a machine is, except the contents of its memory and disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineState {
    /// What it was asked to be.
    pub config: MachineConfig,
    /// Its devices.
    pub parts: PartsState,
    /// Which vCPUs are on.
    pub power: Vec<Power>,
    /// Its vCPUs, by index.
    pub vcpus: Vec<VcpuState>,
    /// Its interrupt controller, in the framework's own bytes.
    #[serde(with = "serde_bytes")]
    pub gic: Vec<u8>,
    /// `CNTVCT_EL0` when it stood still.
    pub counter: u64,
}

impl Saved for MachineState {
    const KIND: &'static str = "machine";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        let invalid = |what| Err(Invalid { kind: Self::KIND, what });
        let vcpus = self.config.vcpus as usize;
        if self.vcpus.len() != vcpus || self.power.len() != vcpus {
            return invalid(format!(
                "{vcpus} vCPUs with {} register states and {} power states",
                self.vcpus.len(),
                self.power.len()
            ));
        }
        for (index, vcpu) in self.vcpus.iter().enumerate() {
            if vcpu.mpidr != Mpidr::of_index(index as u32).affinity() {
                return invalid(format!("vCPU {index} has affinity {:#x}", vcpu.mpidr));
            }
        }
        let PartsState { serial, clock, gpio, virtio } = &self.parts;
        serial.validate()?;
        clock.validate()?;
        gpio.validate()?;
        virtio.values().try_for_each(Saved::validate)
    }
}

impl Pause<'_> {
    /// Takes the machine's state. The devices are stopped at a descriptor boundary and memory does not
    /// change from here until the end of the pause, so it can be copied meanwhile.
    ///
    /// # Errors
    /// [`Error::Ended`] if a thread of the machine has ended.
    pub fn capture(&mut self) -> Result<MachineState, Error> {
        let Pause { machine, rest, .. } = self;
        if let Some(outcome) = machine.crew().ended() {
            return Err(Error::Ended(outcome));
        }
        if rest.devices == Devices::Active {
            machine.parts.quiesce()?;
            rest.devices = Devices::Quiet;
        }
        let parts = machine.parts.save()?;
        // The guest's counter stands still in a pause, see `Machine::run_from`.
        let since = rest.since.unwrap_or_else(hv::host_counter);
        let counter = since.wrapping_sub(machine.common.timer().offset);
        let mut vcpus = Vec::new();
        for saved in machine.crew().each(|_, vcpu| vcpu.save()) {
            let saved = saved.ok_or(Error::ThreadGone)?;
            vcpus.push(VcpuState { counter, ..saved? });
        }
        Ok(MachineState {
            config: machine.config.clone(),
            parts,
            power: machine.crew().power(),
            vcpus,
            gic: machine.gic.save()?,
            counter,
        })
    }

    /// The memory that belongs to a [`capture`](Self::capture).
    pub fn captured_memory(&self) -> MachineMemory<'_> {
        let region = self.machine.memory.iter().next().expect("a machine has memory");
        MachineMemory { machine: self.machine, touched: Touched::new(region) }
    }
}

/// Guest memory in the order of a [`MemoryFile`](crate::MemoryFile), to be copied while the machine is
/// captured.
pub struct MachineMemory<'a> {
    machine: &'a Machine,
    touched: Touched<'a>,
}

impl MemorySource for MachineMemory<'_> {
    fn len(&self) -> u64 {
        let range = self.machine.layout.memory();
        range.end - range.start
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let address = GuestAddress(self.machine.layout.ram.start).unchecked_add(offset);
        self.machine.memory.read_slice(into, address).map_err(io::Error::other)
    }

    fn next_data(&mut self, offset: u64) -> Option<Range<u64>> {
        self.touched.next(offset).map(|start| start..self.len())
    }
}

/// What decides whether a state fits this host: the identification registers its vCPUs show.
pub fn fingerprint() -> Result<Fingerprint, Error> {
    let features = hv::Features::query()?;
    Ok(features.0.into_iter().fold(Fingerprint::default(), |fingerprint, (register, value)| {
        fingerprint.with(register.to_string(), value)
    }))
}
