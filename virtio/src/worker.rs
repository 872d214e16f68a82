//! A worker: one thread, its event loop, and the devices that it owns by value.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use virtio_queue::QueueState;

use crate::Error;
use crate::device::{Active, DeviceState, Doorbell, VirtioDevice};
use crate::event::{self, Bell, Readiness, Task, Watch};
use crate::once::{Once, log_once};
use crate::queue::Broken;

/// A thread that runs devices. Dropping it stops the devices and joins the thread.
#[derive(Debug)]
pub struct Worker {
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

/// The other end of a worker's command channel.
#[derive(Debug, Clone)]
struct Remote {
    name: Arc<str>,
    commands: Sender<Command>,
    bell: Arc<Bell>,
}

type Action = Box<dyn FnOnce(&mut Vec<Slot>, &mut dyn Watch) + Send>;

enum Command {
    Do(Action),
    Exit,
}

struct Slot {
    index: usize,
    device: Box<dyn VirtioDevice>,
    doorbell: Arc<Doorbell>,
    active: Option<Active>,
    /// The driver broke a queue; the device is quiesced until the driver resets it.
    broken: bool,
    complained: Once,
}

impl Worker {
    /// Starts a thread named `name` (15 bytes are shown by Linux). If it ends before the worker is
    /// dropped, by a panic or because its event loop fails, `on_failure` is called on it with the
    /// cause.
    ///
    /// # Errors
    /// If the process has no thread or descriptor left.
    pub fn spawn(
        name: &str,
        on_failure: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self, Error> {
        let spawn_error = |source| Error::Spawn { name: name.to_owned(), source };
        let (commands, inbox) = channel();
        let bell = Arc::new(Bell::new().map_err(spawn_error)?);
        let room = Room { inbox, bell: bell.clone(), slots: Vec::new() };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| event::run(room));
                match std::panic::catch_unwind(run) {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => on_failure(e.to_string()),
                    Err(panic) => on_failure(panic_message(&*panic)),
                }
            })
            .map_err(spawn_error)?;
        let remote = Remote { name: name.into(), commands, bell };
        Ok(Self { remote, thread: Some(thread) })
    }

    /// Moves a device to the worker's thread.
    pub(crate) fn adopt(&self, device: Box<dyn VirtioDevice>) -> Result<Seat, Error> {
        let doorbell = Arc::new(Doorbell::new(self.remote.bell.clone()));
        let theirs = doorbell.clone();
        let index = self.remote.ask(move |slots, _| {
            let index = slots.len();
            slots.push(Slot {
                index,
                device,
                doorbell: theirs,
                active: None,
                broken: false,
                complained: Once::default(),
            });
            index
        })?;
        Ok(Seat { index, remote: self.remote.clone(), doorbell })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.remote.send(Command::Exit);
        if let Some(thread) = self.thread.take() {
            // A panic was reported to on_failure.
            let _ = thread.join();
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic").to_owned()
}

impl Remote {
    fn send(&self, command: Command) {
        // A receiver that is gone shows when an answer is waited for.
        let _ = self.commands.send(command);
        self.bell.ring();
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Vec<Slot>, &mut dyn Watch) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = channel();
        self.send(Command::Do(Box::new(move |slots, watch| {
            let _ = answer.send(question(slots, watch));
        })));
        answered.recv().map_err(|_| Error::WorkerGone { name: self.name.to_string() })
    }
}

/// A transport's handle to its device on a worker.
#[derive(Debug)]
pub(crate) struct Seat {
    index: usize,
    remote: Remote,
    pub(crate) doorbell: Arc<Doorbell>,
}

/// How a device is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It will go on from where it is. Requests in flight are waited for that long.
    Pause(Duration),
    /// It will go on without a queue that the driver has taken out.
    Restart,
    /// The driver has reset it.
    Reset,
}

impl Seat {
    /// Hands the queues over; the device runs from here on.
    pub(crate) fn activate(&self, mut active: Active) {
        let index = self.index;
        self.remote.send(Command::Do(Box::new(move |slots, watch| {
            let watch = &mut SlotWatch { inner: watch, slot: index };
            let slot = &mut slots[index];
            slot.broken = false;
            let activated = slot.device.activate(&mut active, watch);
            for queue in (0..active.queues.len()).filter(|&q| active.queues[q].is_some()) {
                active.doorbell.ring(queue as u32);
            }
            active.doorbell.ring_host();
            let active = slot.active.insert(active);
            if let Err(error) = activated {
                let device = slot.device.id();
                log_once!(slot.complained, error, %error, device, "a device could not start");
                slot.broken = true;
                slot.device.quiesce(active, watch);
                active.interrupt.needs_reset();
            }
        })));
    }

    /// Stops the device at a descriptor boundary and takes back what its queues have become.
    /// Waits for requests in flight: without a limit where the driver may use their memory again
    /// afterwards.
    pub(crate) fn stop(&self, stop: Stop) -> Result<Vec<Option<QueueState>>, Error> {
        let index = self.index;
        self.remote.ask(move |slots, watch| {
            let slot = &mut slots[index];
            if let Stop::Pause(limit) = stop
                && !slot.device.settles_within(limit)
            {
                return Err(Error::Busy { device: slot.device.name(), limit });
            }
            let queues = slot.quiesce(watch);
            if stop == Stop::Reset {
                slot.device.reset(&mut SlotWatch { inner: watch, slot: index });
            }
            Ok(queues)
        })?
    }

    /// Guest-visible state of the device itself.
    pub(crate) fn save(&self) -> Result<DeviceState, Error> {
        let index = self.index;
        self.remote.ask(move |slots, _| slots[index].device.save())
    }
}

impl Slot {
    fn quiesce(&mut self, watch: &mut dyn Watch) -> Vec<Option<QueueState>> {
        let Some(mut active) = self.active.take() else {
            return Vec::new();
        };
        let watch = &mut SlotWatch { inner: watch, slot: self.index };
        if !self.broken {
            self.device.quiesce(&mut active, watch);
        }
        active.queues.iter().map(|q| q.as_ref().map(|q| q.state())).collect()
    }

    fn attend(
        &mut self,
        watch: &mut dyn Watch,
        event: impl FnOnce(&mut dyn VirtioDevice, &mut Active, &mut dyn Watch) -> Result<(), Broken>,
    ) {
        let Some(active) = &mut self.active else { return };
        if self.broken {
            return;
        }
        let watch = &mut SlotWatch { inner: watch, slot: self.index };
        if let Err(Broken) = event(&mut *self.device, active, watch) {
            let device = self.device.id();
            log_once!(self.complained, warn, device, "the driver broke a queue: reset needed");
            self.broken = true;
            self.device.quiesce(active, watch);
            active.interrupt.needs_reset();
        }
    }
}

/// What runs on the thread.
struct Room {
    inbox: Receiver<Command>,
    bell: Arc<Bell>,
    slots: Vec<Slot>,
}

/// Tokens carry the slot above and the device's own token below.
const TOKEN_BITS: u32 = 24;
const BELL: u32 = u32::MAX;

struct SlotWatch<'a> {
    inner: &'a mut dyn Watch,
    slot: usize,
}

impl SlotWatch<'_> {
    fn token(&self, token: u32) -> u32 {
        (self.slot as u32) << TOKEN_BITS | token & ((1 << TOKEN_BITS) - 1)
    }
}

impl Watch for SlotWatch<'_> {
    fn add(
        &mut self,
        fd: std::os::fd::BorrowedFd<'_>,
        token: u32,
        interest: Readiness,
    ) -> io::Result<()> {
        self.inner.add(fd, self.token(token), interest)
    }

    fn modify(
        &mut self,
        fd: std::os::fd::BorrowedFd<'_>,
        token: u32,
        interest: Readiness,
    ) -> io::Result<()> {
        self.inner.modify(fd, self.token(token), interest)
    }

    fn remove(&mut self, fd: std::os::fd::BorrowedFd<'_>) {
        self.inner.remove(fd);
    }
}

impl Room {
    fn answer_bell(&mut self, watch: &mut dyn Watch) -> bool {
        self.bell.silence();
        loop {
            // Whoever rings a doorbell and then sends a command finds the doorbell answered first.
            let command = self.inbox.try_recv();
            self.answer_doorbells(watch);
            match command {
                Ok(Command::Do(action)) => action(&mut self.slots, watch),
                Ok(Command::Exit) => {
                    for slot in &mut self.slots {
                        slot.quiesce(watch);
                    }
                    return false;
                }
                Err(_) => return true,
            }
        }
    }

    fn answer_doorbells(&mut self, watch: &mut dyn Watch) {
        for slot in &mut self.slots {
            let rung = slot.doorbell.take();
            if rung.host() {
                slot.attend(watch, |device, active, watch| device.host_event(active, watch));
            }
            for queue in rung.queues() {
                slot.attend(watch, |device, active, watch| device.notify(queue, active, watch));
            }
        }
    }
}

impl Task for Room {
    fn start(&mut self, watch: &mut dyn Watch) -> io::Result<()> {
        let bell = self.bell.clone();
        watch.add(std::os::fd::AsFd::as_fd(&*bell), BELL, Readiness::READ)
    }

    fn ready(&mut self, token: u32, ready: Readiness, watch: &mut dyn Watch) -> bool {
        if token == BELL {
            return self.answer_bell(watch);
        }
        let index = (token >> TOKEN_BITS) as usize;
        if let Some(slot) = self.slots.get_mut(index) {
            let token = token & ((1 << TOKEN_BITS) - 1);
            if slot.active.is_none() {
                let watch = &mut SlotWatch { inner: watch, slot: index };
                slot.device.ready_after_reset(token, ready, watch);
                return true;
            }
            slot.attend(watch, |device, active, watch| device.ready(token, ready, active, watch));
        }
        true
    }
}
