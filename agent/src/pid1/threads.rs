//! Threads that come back for more: starting and ending one takes a guest that was just restored longer than most of what
//! they do.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

type Job = Box<dyn FnOnce() + Send>;

/// How many threads stay to wait for a job.
const WAITING: usize = 4;

/// The threads that wait, by where their next job comes from.
static IDLE: Mutex<Vec<Sender<Job>>> = Mutex::new(Vec::new());

/// Runs a job on a thread of its own.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut job: Job = Box::new(job);
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(idle) = idle {
        match idle.send(job) {
            Ok(()) => return Ok(()),
            Err(unsent) => job = unsent.0,
        }
    }
    std::thread::Builder::new()
        .name("worker".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || work(job))
        .map(drop)
}

fn work(mut job: Job) {
    loop {
        job();
        let (next, jobs) = channel();
        {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() >= WAITING {
                return;
            }
            idle.push(next);
        }
        match jobs.recv() {
            Ok(next) => job = next,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    /// More jobs than threads wait for, all at once, and again.
    #[test]
    fn every_job_runs_beside_the_others() {
        const JOBS: usize = 3 * WAITING;
        for _ in 0..3 {
            let all = Arc::new(Barrier::new(JOBS + 1));
            for _ in 0..JOBS {
                let all = Arc::clone(&all);
                run(move || {
                    all.wait();
                })
                .unwrap();
            }
            all.wait();
        }
        assert!(IDLE.lock().unwrap().len() <= WAITING);
    }
}
