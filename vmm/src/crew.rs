//! The vCPU threads under one command.
//!
//! Each thread asks [`Crew::next`] what to do whenever its vCPU is out of the guest and has nothing
//! else to do. Commanders change the order, force the vCPUs out, and wait until every thread has come
//! to rest: the rendezvous. At rest a thread carries out jobs on its own vCPU, which is how registers
//! are saved and loaded.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hv::{Vcpu, VcpuHandle};

use crate::error::Outcome;
use crate::firmware::{self, Answer};
use crate::power::{Entry, Power, PowerTable};

/// How long a vCPU may take to come out of the guest. It is forced out and has at most the access to a
/// device to finish, so this is for hosts that are short of everything.
pub(crate) const RENDEZVOUS: Duration = Duration::from_secs(10);

/// A vCPU that missed the rendezvous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Straggler {
    /// Its index.
    pub(crate) vcpu: usize,
}

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

    /// Takes every vCPU out of the guest and waits until all threads are at rest, for [`RENDEZVOUS`].
    pub(crate) fn hold(&self) -> Result<(), Straggler> {
        self.gather(RENDEZVOUS, |_| false)
    }

    /// The same, but an end of the run for good ends the wait too.
    pub(crate) fn pause(&self, limit: Duration) -> Result<(), Straggler> {
        self.gather(limit, |state| matches!(state.end, Some(End::For(_))))
    }

    /// The rendezvous. If a vCPU misses it, the others go on, unless they did not run before or the run
    /// has ended.
    fn gather(&self, limit: Duration, give_up: fn(&State) -> bool) -> Result<(), Straggler> {
        let mut state = self.lock();
        let ran = state.order == Order::Run;
        if ran {
            self.order(&mut state, Order::Hold);
        }
        let mut state = self.wait_until(state, limit, |state| {
            state.berths.iter().all(|berth| berth.at_rest) || give_up(state)
        });
        let Some(vcpu) = state.berths.iter().position(|berth| !berth.at_rest) else {
            return Ok(());
        };
        if ran && state.end.is_none() {
            self.order(&mut state, Order::Run);
        }
        Err(Straggler { vcpu })
    }

    /// Tells every thread to end, and waits for that, for [`RENDEZVOUS`]. Returns which have not.
    pub(crate) fn dismiss(&self) -> Vec<usize> {
        let mut state = self.lock();
        self.order(&mut state, Order::Exit);
        let all_gone = |state: &State| state.berths.iter().all(|berth| !berth.alive);
        let state = self.wait_until(state, RENDEZVOUS, all_gone);
        (0..state.berths.len()).filter(|&index| state.berths[index].alive).collect()
    }

    fn wait_until<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout_while(state, limit, |state| !done(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
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
        let ended = |state: &State| matches!(state.end, Some(End::For(_)));
        match &self.wait_until(self.lock(), limit, ended).end {
            Some(End::For(outcome)) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// How the run has ended, if it has.
    pub(crate) fn ended(&self) -> Option<Outcome> {
        match &self.lock().end {
            Some(End::For(outcome)) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// Whether the guest has asked for a reset that has not come yet.
    pub(crate) fn is_resetting(&self) -> bool {
        self.lock().end == Some(End::Reset)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use arch_aarch64::mpidr::Mpidr;

    use super::*;

    /// A crew of two vCPUs that are on and run.
    fn running() -> Arc<Crew> {
        let table =
            PowerTable::new((0..2).map(Mpidr::of_index).collect(), vec![Power::On; 2], 0..1);
        let crew = Crew::new(table);
        crew.run().expect("it has not ended");
        for index in 0..2 {
            assert!(matches!(crew.next(index), Next::Run));
        }
        crew
    }

    #[test]
    fn a_vcpu_that_misses_the_rendezvous_lets_the_others_go_on() {
        let crew = running();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // vCPU 1 comes out whenever it is told, and asks what to do; vCPU 0 never does.
            scope.spawn(|| {
                while matches!(crew.next(1), Next::Run) && !over.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            });
            let missed = crew.pause(Duration::from_millis(10));
            over.store(true, Ordering::Release);
            assert_eq!(missed, Err(Straggler { vcpu: 0 }));
        });
        // Nor does a crew that stood still before begin to run.
        let crew = Crew::new(PowerTable::new(vec![Mpidr::of_index(0)], vec![Power::On], 0..1));
        assert_eq!(crew.pause(Duration::ZERO), Err(Straggler { vcpu: 0 }));
        assert_eq!(crew.lock().order, Order::Hold);
    }

    #[test]
    fn a_stop_ends_the_wait_for_the_rendezvous() {
        let crew = running();
        let waiting = Arc::clone(&crew);
        let thread = std::thread::spawn(move || waiting.pause(Duration::MAX));
        crew.end(End::For(Outcome::Stopped));
        assert_eq!(thread.join().expect("no panic"), Err(Straggler { vcpu: 0 }));
        assert_eq!(crew.lock().order, Order::Hold, "nobody goes on");
    }
}
