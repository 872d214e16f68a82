//! The host's side of the platform devices: serial output and input, and the clock's alarm, on one
//! thread that sleeps unless there is work.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use devices::{Access, Effect, MmioDevice, Pl011, Pl031};

use crate::Error;
use crate::crew::Crew;

/// Most bytes of serial input that wait for the guest; a person types no further ahead.
const INPUT_LIMIT: usize = 64 << 10;

#[derive(Default)]
struct State {
    /// Something happened since the thread last looked.
    woken: bool,
    input: VecDeque<u8>,
    exit: bool,
    /// The thread has ended, or is about to.
    gone: bool,
}

/// Where vCPU threads and the host's user leave word for the thread.
#[derive(Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to look at. Never blocks for long.
    pub(crate) fn wake(&self) {
        self.lock().woken = true;
        self.changed.notify_one();
    }

    /// Offers serial input; the number of bytes taken. The rest did not fit, because the guest does
    /// not read.
    pub(crate) fn input(&self, bytes: &[u8]) -> usize {
        let mut state = self.lock();
        let taken = bytes.len().min(INPUT_LIMIT.saturating_sub(state.input.len()));
        state.input.extend(&bytes[..taken]);
        state.woken = true;
        self.changed.notify_one();
        taken
    }
}

/// A clock whose alarm the thread watches.
pub(crate) struct WatchedClock {
    pub(crate) clock: Arc<Pl031>,
    pub(crate) desk: Arc<Desk>,
}

impl MmioDevice for WatchedClock {
    fn read(&self, access: Access) -> u64 {
        self.clock.read(access)
    }

    fn write(&self, access: Access, value: u64) -> Effect {
        let effect = self.clock.write(access, value);
        self.desk.wake();
        effect
    }
}

const NAME: &str = "kiln-platform";

/// The end of the thread is told to whoever waits for it; a panic stops the machine.
struct Noticed<'a> {
    crew: &'a Crew,
    desk: &'a Desk,
}

impl Drop for Noticed<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.crew.failed(NAME, "it panicked");
        }
        self.desk.lock().gone = true;
        self.desk.changed.notify_all();
    }
}

/// The running thread. [`Platform::finish`] flushes the serial output and joins it.
pub(crate) struct Platform {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Platform {
    pub(crate) fn start(
        desk: Arc<Desk>,
        serial: Arc<Pl011>,
        clock: Arc<Pl031>,
        mut output: Box<dyn Write + Send>,
        crew: Arc<Crew>,
    ) -> Result<Self, Error> {
        let name = NAME.to_owned();
        let thread = {
            let desk = Arc::clone(&desk);
            // A thread that is left behind in a write holds nothing of the machine.
            let (serial, clock) = (Arc::downgrade(&serial), Arc::downgrade(&clock));
            thread::Builder::new()
                .name(name.clone())
                .spawn(move || {
                    let _noticed = Noticed { crew: &crew, desk: &desk };
                    serve(&desk, &serial, &clock, &mut *output);
                })
                .map_err(|source| Error::Thread { name, source })?
        };
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Writes what the guest has sent, and ends the thread. The vCPUs have stopped. After `limit` a thread
    /// whose write does not come back is left behind.
    pub(crate) fn finish(&mut self, limit: Option<Duration>) {
        let Some(thread) = self.thread.take() else { return };
        let mut state = self.desk.lock();
        state.exit = true;
        self.desk.changed.notify_all();
        let limit = limit.unwrap_or(Duration::MAX);
        let waited = self.desk.changed.wait_timeout_while(state, limit, |state| !state.gone);
        let (state, time_out) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if time_out.timed_out() {
            tracing::warn!("nobody takes the serial output; the rest of it is lost");
            return;
        }
        if thread.join().is_err() {
            tracing::error!("the platform thread panicked");
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.finish(None);
    }
}

/// Until the exit, or the end of the devices.
fn serve(desk: &Desk, serial: &Weak<Pl011>, clock: &Weak<Pl031>, output: &mut dyn Write) {
    let mut bytes = Vec::new();
    let mut broken = false;
    loop {
        bytes.clear();
        let Some(exit) = look(desk, serial, clock, &mut bytes) else { return };
        if !bytes.is_empty() && !broken {
            broken = !written(output, &bytes);
        }
        if exit {
            return;
        }
    }
}

/// Waits for work and does it, but for the output; whether to exit, unless the devices are gone.
fn look(
    desk: &Desk,
    serial: &Weak<Pl011>,
    clock: &Weak<Pl031>,
    bytes: &mut Vec<u8>,
) -> Option<bool> {
    let (serial, clock) = (serial.upgrade()?, clock.upgrade()?);
    let exit = desk.wait(&clock);
    clock.check_alarm();
    desk.feed(&serial);
    serial.take_output(bytes);
    Some(exit)
}

/// Writes all; `false` if nobody will ever read again. The guest does not notice.
fn written(output: &mut dyn Write, bytes: &[u8]) -> bool {
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
        Err(error) => {
            tracing::warn!(%error, "serial output is lost from here on");
            false
        }
    }
}

impl Desk {
    /// Sleeps until there is something to do, or the alarm is due. Returns whether to exit, after one
    /// last look.
    fn wait(&self, clock: &Pl031) -> bool {
        let mut state = self.lock();
        loop {
            if state.woken || state.exit {
                state.woken = false;
                return state.exit;
            }
            state = match clock.alarm_in() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let (state, time_out) = self
                        .changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner);
                    if time_out.timed_out() {
                        return state.exit;
                    }
                    state
                }
            };
        }
    }

    /// Hands waiting input to the serial port, as much as its FIFO takes. It wakes us for more.
    fn feed(&self, serial: &Pl011) {
        let mut state = self.lock();
        let taken = serial.receive(state.input.make_contiguous());
        state.input.drain(..taken);
    }
}
