//! The devices of a machine: each built from its configuration, its host resources and its state.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arch_aarch64::layout::Layout;
use devices::{
    Bus, DeviceKind, DeviceManager, IrqLine, IrqSink, Pl011, Pl011State, Pl031, Pl031State, Pl061,
    Pl061State, Placement, Trigger,
};
use hv::{Gic, GicParameters, Vm};
use serde::{Deserialize, Serialize};
use virtio::{
    Balloon, BalloonHost, Blk, Console, ConsoleHost, Disk, MMIO_LEN, Memory, MmioTransport, Part,
    ReturnMemory, Rng, VirtioDevice, VirtioState, Vsock, VsockHost, VsockSocket, Worker,
};
use vm_memory::GuestAddress;

use crate::Error;
use crate::config::{DiskConfig, DiskSource, Durability, MachineConfig, PartConfig, VsockConfig};
use crate::crew::{Crew, RENDEZVOUS};
use crate::machine::Resources;
use crate::platform::{Desk, Platform, WatchedClock};

/// Guest-visible state of all devices. The default is that of a cold boot, without virtio devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsState {
    /// The serial port.
    pub serial: Pl011State,
    /// The clock.
    pub clock: Pl031State,
    /// The GPIO controller.
    pub gpio: Pl061State,
    /// The virtio devices, by name.
    pub virtio: BTreeMap<String, VirtioState>,
}

/// Bytes of a PrimeCell's registers.
const PRIMECELL_LEN: u64 = 0x1000;

/// The framework's GIC as the devices see it.
struct GicSink(Gic);

impl IrqSink for GicSink {
    fn set_level(&self, intid: u32, high: bool) {
        if let Err(error) = self.0.set_spi(intid, high) {
            tracing::error!(%error, intid, high, "an interrupt could not be delivered");
        }
    }
}

/// A worker whose failure stops the machine.
fn worker(name: &'static str, crew: &Arc<Crew>) -> Result<Worker, Error> {
    let crew = Arc::clone(crew);
    Ok(Worker::spawn(name, move |cause| crew.failed(name, cause))?)
}

/// Host resources of the devices, opened before anything of the machine exists.
pub(crate) struct Backends {
    serial: Box<dyn Write + Send>,
    disks: Vec<(String, Disk)>,
    /// Request queues of each disk.
    disk_queues: u16,
    vsock: Option<Vsock>,
    console: Option<Console>,
}

impl Backends {
    pub(crate) fn open(config: &MachineConfig, resources: Resources) -> Result<Self, Error> {
        /// More queues than this win nothing, since the host's I/O threads are no more.
        const MOST_QUEUES: u32 = 4;
        let mut disks = Vec::new();
        for DiskConfig { name, source } in &config.disks {
            let disk = match source {
                DiskSource::Raw { path, read_only, durability } => {
                    let durability = match durability {
                        Durability::Medium => virtio::Durability::Medium,
                        Durability::HostCache => virtio::Durability::HostCache,
                    };
                    Disk::raw(name, path, *read_only, durability)?
                }
                DiskSource::Composite { parts } => {
                    let parts: Vec<_> = parts
                        .iter()
                        .map(|PartConfig { path, label }| Part {
                            path: path.clone(),
                            label: label.clone(),
                        })
                        .collect();
                    Disk::composite(name, &parts)?
                }
            };
            disks.push((format!("disk-{name}"), disk));
        }
        let disk_queues = config.vcpus.min(MOST_QUEUES) as u16;
        let vsock = match &config.vsock {
            None => None,
            Some(VsockConfig { cid, socket }) => {
                let socket = socket.as_deref().map(VsockSocket::bind).transpose()?;
                Some(Vsock::new(*cid, socket))
            }
        };
        let Resources { serial, console } = resources;
        let console = if console.is_empty() { None } else { Some(Console::new(console)?) };
        Ok(Self { serial, disks, disk_queues, vsock, console })
    }
}

/// Where the devices are put.
pub(crate) struct Site<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) parameters: &'a GicParameters,
    pub(crate) gic: &'a Gic,
    pub(crate) vm: &'a Vm,
    pub(crate) memory: &'a Memory,
    pub(crate) crew: &'a Arc<Crew>,
}

/// Memory that the balloon gives back.
struct Returned {
    vm: Vm,
    /// The host has refused once; the guest could have it refuse, and say so, for ever.
    refused: bool,
}

impl ReturnMemory for Returned {
    fn granule(&self) -> u64 {
        hv::GRANULE
    }

    fn give_back(&mut self, address: GuestAddress, len: u64) {
        if let Err(error) = self.vm.discard(address.0, len)
            && !std::mem::replace(&mut self.refused, true)
        {
            tracing::warn!(%error, "ballooned memory could not be returned to the host");
        }
    }
}

pub(crate) struct Parts {
    manager: DeviceManager,
    serial: Arc<Pl011>,
    clock: Arc<Pl031>,
    gpio: Arc<Pl061>,
    generation: IrqLine,
    desk: Arc<Desk>,
    platform: Platform,
    vsock: Option<VsockHost>,
    balloon: BalloonHost,
    console: Option<ConsoleHost>,
    /// Dropped before their workers.
    transports: BTreeMap<String, Arc<MmioTransport>>,
    _workers: Vec<Worker>,
}

/// What it takes to add a virtio device.
struct Adding<'a> {
    manager: &'a mut DeviceManager,
    memory: &'a Memory,
    /// The saved states; `None` for a cold boot.
    state: Option<&'a BTreeMap<String, VirtioState>>,
    transports: BTreeMap<String, Arc<MmioTransport>>,
}

impl Adding<'_> {
    fn add(
        &mut self,
        name: &str,
        device: Box<dyn VirtioDevice>,
        worker: &Worker,
    ) -> Result<(), Error> {
        let kind = DeviceKind::Virtio(device.id());
        let place = self.manager.place(kind, name, MMIO_LEN, Trigger::Level)?;
        let reset = VirtioState::default();
        let state = match self.state {
            None => &reset,
            Some(saved) => {
                saved.get(name).ok_or_else(|| Error::NoDeviceState { name: name.to_owned() })?
            }
        };
        let transport = Arc::new(MmioTransport::new(
            device,
            worker,
            Arc::clone(self.memory),
            place.line,
            state,
        )?);
        self.manager.attach(kind, name, transport.clone())?;
        self.transports.insert(name.to_owned(), transport);
        Ok(())
    }
}

impl Parts {
    /// Builds every device on its host resources and from its state, or for a cold boot.
    pub(crate) fn new(
        site: &Site<'_>,
        backends: Backends,
        state: Option<&PartsState>,
    ) -> Result<Self, Error> {
        let saved_virtio = state.map(|state| &state.virtio);
        let reset = PartsState::default();
        let state = state.unwrap_or(&reset);
        let Site { layout, parameters, gic, vm, memory, crew } = *site;
        let Backends { serial: output, disks, disk_queues, vsock, console } = backends;
        let sink = Arc::new(GicSink(gic.clone()));
        let mut manager = DeviceManager::new(layout.devices.clone(), parameters.spis.clone(), sink);
        let desk = Arc::new(Desk::default());

        let place = manager.place(DeviceKind::Serial, "serial0", PRIMECELL_LEN, Trigger::Level)?;
        let wake = {
            let desk = Arc::clone(&desk);
            move || desk.wake()
        };
        let serial = Arc::new(Pl011::new(place.line, wake, &state.serial)?);
        manager.attach(DeviceKind::Serial, "serial0", serial.clone())?;

        let place = manager.place(DeviceKind::Rtc, "rtc0", PRIMECELL_LEN, Trigger::Level)?;
        let clock = Arc::new(Pl031::new(place.line, &state.clock)?);
        let watched = WatchedClock { clock: Arc::clone(&clock), desk: Arc::clone(&desk) };
        manager.attach(DeviceKind::Rtc, "rtc0", Arc::new(watched))?;

        let place = manager.place(DeviceKind::Gpio, "gpio0", PRIMECELL_LEN, Trigger::Level)?;
        let gpio = Arc::new(Pl061::new(place.line, &state.gpio)?);
        manager.attach(DeviceKind::Gpio, "gpio0", gpio.clone())?;

        let generation = manager.place(DeviceKind::VmGenId, "generation", 0, Trigger::Edge)?.line;

        let events = worker("kiln-events", crew)?;
        let mut adding = Adding {
            manager: &mut manager,
            memory,
            state: saved_virtio,
            transports: BTreeMap::new(),
        };
        adding.add("rng0", Box::new(Rng), &events)?;
        let balloon = Balloon::new(Box::new(Returned { vm: vm.clone(), refused: false }), true);
        let balloon_host = balloon.host();
        adding.add("balloon0", Box::new(balloon), &events)?;
        let console_host = console.as_ref().map(Console::host);
        if let Some(console) = console {
            adding.add("console0", Box::new(console), &events)?;
        }
        let mut workers = vec![events];
        if !disks.is_empty() {
            let blk = worker("kiln-blk", crew)?;
            for (name, disk) in disks {
                adding.add(&name, Box::new(Blk::new(disk, disk_queues)?), &blk)?;
            }
            workers.push(blk);
        }
        let vsock_host = vsock.as_ref().map(Vsock::host);
        if let Some(vsock) = vsock {
            let worker = worker("kiln-vsock", crew)?;
            adding.add("vsock0", Box::new(vsock), &worker)?;
            workers.push(worker);
        }
        let transports = adding.transports;
        let unknown = |name: &&String| !transports.contains_key(*name);
        if let Some(name) = saved_virtio.and_then(|saved| saved.keys().find(unknown)) {
            return Err(Error::NoDevice { name: name.clone() });
        }

        let platform = Platform::start(
            Arc::clone(&desk),
            Arc::clone(&serial),
            Arc::clone(&clock),
            output,
            Arc::clone(crew),
        )?;
        Ok(Self {
            manager,
            serial,
            clock,
            gpio,
            generation,
            desk,
            platform,
            transports,
            vsock: vsock_host,
            balloon: balloon_host,
            console: console_host,
            _workers: workers,
        })
    }

    pub(crate) fn bus(&self) -> Result<Bus, Error> {
        Ok(self.manager.freeze()?)
    }

    pub(crate) fn placements(&self) -> Vec<Placement> {
        self.manager.placements().into_iter().cloned().collect()
    }

    /// Every device back to its reset state. The vCPUs are stopped.
    pub(crate) fn reset(&self) {
        self.serial.reset();
        self.clock.reset();
        self.gpio.reset();
        for transport in self.transports.values() {
            transport.reset();
        }
        self.redrive();
    }

    /// Ends every vsock stream, after what the guest had sent on it, which a slow reader gets until this is
    /// dropped. The guest has ended.
    pub(crate) fn hang_up(&self) {
        if let Some(vsock) = self.transports.get("vsock0") {
            vsock.reset();
        }
    }

    /// Stops the virtio devices at a descriptor boundary, or none of them. The vCPUs are stopped.
    pub(crate) fn quiesce(&self) -> Result<(), Error> {
        for (at, transport) in self.transports.values().enumerate() {
            if let Err(error) = transport.quiesce(RENDEZVOUS) {
                self.transports.values().take(at).for_each(|transport| transport.resume(false));
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Guest-visible state. The devices are quiesced.
    pub(crate) fn save(&self) -> Result<PartsState, Error> {
        let mut virtio = BTreeMap::new();
        for (name, transport) in &self.transports {
            virtio.insert(name.clone(), transport.save()?);
        }
        Ok(PartsState {
            serial: self.serial.save(),
            clock: self.clock.save(),
            gpio: self.gpio.save(),
            virtio,
        })
    }

    /// Lets the virtio devices go on, and kicks every queue: from where they were quiesced, or, with
    /// `restored`, from the state of another machine.
    pub(crate) fn resume(&self, restored: bool) {
        for transport in self.transports.values() {
            transport.resume(restored);
        }
        // Output that was not yet written when the state was taken.
        self.desk.wake();
    }

    /// Drives every level line again, after the interrupt controller's state has changed.
    pub(crate) fn redrive(&self) {
        self.manager.redrive();
    }

    /// Tells the guest that it has a new generation ID.
    pub(crate) fn renewed(&self) {
        self.generation.pulse();
    }

    pub(crate) fn vsock(&self) -> Option<VsockHost> {
        self.vsock.clone()
    }

    pub(crate) fn balloon(&self) -> BalloonHost {
        self.balloon.clone()
    }

    pub(crate) fn console(&self) -> Option<ConsoleHost> {
        self.console.clone()
    }

    pub(crate) fn power_button(&self, pressed: bool) {
        self.gpio.set_power_button(pressed);
    }

    pub(crate) fn serial_input(&self, bytes: &[u8]) -> usize {
        self.desk.input(bytes)
    }

    /// Flushes the serial output, for at most `limit` if there is one, and ends the platform thread. The
    /// vCPUs are gone.
    pub(crate) fn finish(&mut self, limit: Option<Duration>) {
        self.platform.finish(limit);
    }
}
