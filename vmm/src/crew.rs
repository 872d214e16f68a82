//! The vCPU threads under one command.
//!
//! Each thread asks [`Crew::next`] what to do whenever its vCPU is out of the guest and has nothing
//! else to do. Commanders change the order, force the vCPUs out, and wait until every thread has come
//! to rest: the rendezvous. At rest a thread carries out jobs on its own vCPU, which is how registers
//! are saved and loaded.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hv::{Vcpu, VcpuHandle};

use crate::error::Outcome;
use crate::firmware::{self, Answer};
use crate::power::{Entry, Power, PowerTable};

/// Work for a vCPU's own thread while it is at rest.
type Job = Box<dyn FnOnce(&mut Vcpu) + Send>;

/// What all vCPU threads are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Stay out of the guest.
    Hold,
    /// Run the guest.
    Run,
    /// End the thread.
    Exit,
}

/// What one vCPU thread is to do.
pub(crate) enum Next {
    /// Enter the guest.
    Run,
    /// Begin at that entry with reset registers, then enter the guest.
    Begin(Entry),
    /// Carry out a job, then ask again.
    Job(Job),
    /// End.
    Exit,
}

/// Why the machine is to leave its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// For good.
    For(Outcome),
    /// The guest asked for a reset.
    Reset,
}

struct Berth {
    handle: Option<VcpuHandle>,
    jobs: VecDeque<Job>,
    /// The thread is out of the guest and waits.
    at_rest: bool,
    /// The thread exists.
    alive: bool,
}

struct State {
    order: Order,
    berths: Vec<Berth>,
    power: PowerTable,
    end: Option<End>,
}

pub(crate) struct Crew {
    state: Mutex<State>,
    /// vCPU threads wait here.
    ordered: Condvar,
    /// Commanders wait here.
    changed: Condvar,
}

impl Crew {
    pub(crate) fn new(power: PowerTable) -> Arc<Self> {
        let berths = power
            .states()
            .iter()
            .map(|_| Berth { handle: None, jobs: VecDeque::new(), at_rest: false, alive: false })
            .collect();
        Arc::new(Self {
            state: Mutex::new(State { order: Order::Hold, berths, power, end: None }),
            ordered: Condvar::new(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A vCPU thread reports for duty.
    pub(crate) fn join(&self, index: usize, handle: VcpuHandle) {
        let mut state = self.lock();
        let berth = &mut state.berths[index];
        berth.handle = Some(handle);
        berth.alive = true;
    }

    /// A vCPU thread leaves; its vCPU is gone or about to go.
    pub(crate) fn leave(&self, index: usize) {
        let mut state = self.lock();
        let berth = &mut state.berths[index];
        berth.handle = None;
        berth.alive = false;
        berth.at_rest = true;
        // Whoever waits for a job's result learns from the dropped job that there is none.
        berth.jobs.clear();
        self.changed.notify_all();
    }

    /// Blocks the thread of vCPU `index` until it has something to do.
    pub(crate) fn next(&self, index: usize) -> Next {
        let mut state = self.lock();
        loop {
            let order = state.order;
            let power = state.power.get(index);
            let berth = &mut state.berths[index];
            berth.at_rest = false;
            match order {
                Order::Exit => return Next::Exit,
                Order::Hold => {
                    if let Some(job) = berth.jobs.pop_front() {
                        return Next::Job(job);
                    }
                }
                Order::Run => match power {
                    Power::On => return Next::Run,
                    Power::OnPending(entry) => {
                        state.power.set_on(index);
                        return Next::Begin(entry);
                    }
                    Power::Off => {}
                },
            }
            state.berths[index].at_rest = true;
            self.changed.notify_all();
            state = self.ordered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Answers a firmware call of vCPU `index`. `None`: the thread asks [`next`](Self::next).
    pub(crate) fn firmware(&self, index: usize, registers: [u64; 4]) -> Option<u64> {
        let mut state = self.lock();
        match firmware::call(&mut state.power, index, registers) {
            Answer::Value(value) => Some(value),
            Answer::Woke(value) => {
                self.ordered.notify_all();
                Some(value)
            }
            Answer::Off { last: false } => None,
            Answer::Off { last: true } => {
                tracing::info!("the last vCPU switched itself off");
                self.end_locked(&mut state, End::For(Outcome::PoweredOff));
                None
            }
            Answer::SystemOff => {
                self.end_locked(&mut state, End::For(Outcome::PoweredOff));
                None
            }
            Answer::SystemReset => {
                self.end_locked(&mut state, End::Reset);
                None
            }
        }
    }

    /// A thread of the machine has failed.
    pub(crate) fn failed(&self, thread: &str, cause: impl Into<String>) {
        let (thread, cause) = (thread.to_owned(), cause.into());
        self.end(End::For(Outcome::ThreadFailed { thread, cause }));
    }

    /// Ends the run: every vCPU comes out of the guest and stays out. The first end counts, except
    /// that a reset yields to an end for good.
    pub(crate) fn end(&self, end: End) {
        self.end_locked(&mut self.lock(), end);
    }

    fn end_locked(&self, state: &mut State, end: End) {
        if matches!(state.end, None | Some(End::Reset)) {
            state.end = Some(end);
        }
        if state.order == Order::Run {
            self.order(state, Order::Hold);
        }
        self.changed.notify_all();
    }

    fn order(&self, state: &mut State, order: Order) {
        state.order = order;
        if order != Order::Run {
            for berth in &state.berths {
                if let Some(handle) = &berth.handle
                    && let Err(error) = handle.exit()
                {
                    tracing::error!(%error, "a vCPU cannot be forced out of the guest");
                }
            }
        }
        self.ordered.notify_all();
    }

    /// Lets the guest run, unless the run has ended.
    pub(crate) fn run(&self) -> Result<(), Outcome> {
        let mut state = self.lock();
        if let Some(End::For(outcome)) = &state.end {
            return Err(outcome.clone());
        }
        if state.end.is_none() && state.order == Order::Hold {
            self.order(&mut state, Order::Run);
        }
        Ok(())
    }

    /// Takes every vCPU out of the guest and waits until all threads are at rest.
    pub(crate) fn hold(&self) {
        let mut state = self.lock();
        if state.order == Order::Run {
            self.order(&mut state, Order::Hold);
        }
        while !state.berths.iter().all(|berth| berth.at_rest) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells every thread to end.
    pub(crate) fn dismiss(&self) {
        let mut state = self.lock();
        self.order(&mut state, Order::Exit);
    }

    /// Has every vCPU thread do `work` on its vCPU, all at once, and collects the results by index.
    /// The crew is held. `None` for a thread that is gone.
    pub(crate) fn each<T: Send + 'static>(
        &self,
        work: impl Fn(usize, &mut Vcpu) -> T + Clone + Send + 'static,
    ) -> Vec<Option<T>> {
        let mut state = self.lock();
        let results: Vec<_> = state
            .berths
            .iter_mut()
            .enumerate()
            .map(|(index, berth)| {
                let (sender, receiver) = mpsc::sync_channel(1);
                if berth.alive {
                    let work = work.clone();
                    berth.jobs.push_back(Box::new(move |vcpu| {
                        // The receiver waits below.
                        let _ = sender.send(work(index, vcpu));
                    }));
                }
                receiver
            })
            .collect();
        self.ordered.notify_all();
        drop(state);
        results.into_iter().map(|receiver| receiver.recv().ok()).collect()
    }

    /// Waits until the run ends.
    pub(crate) fn wait(&self) -> End {
        let mut state = self.lock();
        loop {
            if let Some(end) = &state.end {
                return end.clone();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the run ends for good, or `limit` is over.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> Option<Outcome> {
        let until = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(End::For(outcome)) = &state.end {
                return Some(outcome.clone());
            }
            let left = until.checked_duration_since(Instant::now())?;
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How the run has ended, if it has.
    pub(crate) fn ended(&self) -> Option<Outcome> {
        match &self.lock().end {
            Some(End::For(outcome)) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// Power states, while the crew is held.
    pub(crate) fn power(&self) -> Vec<Power> {
        self.lock().power.states().to_vec()
    }

    /// Prepares a run, the first or one after a reset. The crew is held.
    pub(crate) fn begin(&self, power: Vec<Power>) {
        let mut state = self.lock();
        state.power.set_states(power);
        if state.end == Some(End::Reset) {
            state.end = None;
        }
    }
}
