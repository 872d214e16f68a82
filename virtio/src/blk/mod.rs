//! Block device (virtio 1.2, section 5.2) over raw files and composite disks.
//!
//! The worker answers reads that the host has cached; everything else goes to a few I/O threads,
//! so that many requests are in flight whatever their order. Data is copied through a buffer: no
//! reference points into guest memory.

mod disk;
mod gpt;
mod request;
#[cfg(test)]
mod tests;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use virtio_bindings::virtio_blk::*;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

pub use disk::{Disk, Durability, Part};

use crate::config::ConfigSpace;
use crate::device::{Active, Doorbell, Handled, VirtioDevice};
use crate::event::Watch;
use crate::queue::Broken;
use crate::{Error, Memory};
use disk::SECTOR;
use request::{MAX_RANGE_SECTORS, MAX_RANGES, Request};

const QUEUE_SIZE: u16 = 256;
/// Data descriptors of one request: all of a queue but header and status.
const SEG_MAX: u32 = QUEUE_SIZE as u32 - 2;
const IO_THREADS: usize = 4;
/// Offset of `writeback` in the configuration (5.2.4).
const WRITEBACK: usize = 32;

/// A block device.
#[derive(Debug)]
pub struct Blk {
    disk: Arc<Disk>,
    queues: u16,
    config: ConfigSpace,
    pool: Pool,
    buf: Vec<u8>,
}

impl Blk {
    /// A device with `queues` request queues (one for each vCPU, or one).
    ///
    /// # Errors
    /// If the I/O threads cannot be started.
    pub fn new(disk: Disk, queues: u16) -> Result<Self, Error> {
        let queues = queues.clamp(1, crate::MAX_QUEUES as u16);
        let disk = Arc::new(disk);
        let pool = Pool::spawn(&disk)?;
        let config = ConfigSpace::new(
            config_bytes(&disk, queues),
            WRITEBACK..WRITEBACK + 1,
            WRITEBACK..WRITEBACK + 1,
        );
        Ok(Self { disk, queues, config, pool, buf: Vec::new() })
    }

    fn collect(&mut self, active: &mut Active) -> Result<(), Broken> {
        let mut told = vec![false; active.queues.len()];
        for done in self.pool.take_done() {
            if let Some(Some(queue)) = active.queues.get_mut(done.queue) {
                queue.complete(done.head, done.written)?;
                told[done.queue] = true;
            }
        }
        for queue in (0..told.len()).filter(|&q| told[q]) {
            active.publish(queue)?;
        }
        Ok(())
    }
}

/// `struct virtio_blk_config` (5.2.4).
fn config_bytes(disk: &Disk, queues: u16) -> Vec<u8> {
    let mut c = Vec::with_capacity(60);
    c.extend((disk.len() / SECTOR).to_le_bytes());
    c.extend(0u32.to_le_bytes()); // size_max: no limit
    c.extend(SEG_MAX.to_le_bytes());
    c.extend([0; 4]); // geometry
    c.extend((SECTOR as u32).to_le_bytes());
    // A physical block is 2^3 sectors, aligned at zero; I/O of one is best, of 256 optimal.
    c.extend([3, 0]);
    c.extend(8u16.to_le_bytes());
    c.extend(256u32.to_le_bytes());
    c.extend([1, 0]); // writeback
    c.extend(queues.to_le_bytes());
    for field in [MAX_RANGE_SECTORS, MAX_RANGES, 8, MAX_RANGE_SECTORS, MAX_RANGES] {
        c.extend(field.to_le_bytes());
    }
    c.extend([1, 0, 0, 0]); // write_zeroes_may_unmap
    c
}

impl VirtioDevice for Blk {
    fn id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn name(&self) -> String {
        format!("disk {}", self.disk.id)
    }

    fn features(&self) -> u64 {
        let mut features = 1 << VIRTIO_BLK_F_SEG_MAX
            | 1 << VIRTIO_BLK_F_BLK_SIZE
            | 1 << VIRTIO_BLK_F_TOPOLOGY
            | 1 << VIRTIO_BLK_F_FLUSH;
        if self.queues > 1 {
            features |= 1 << VIRTIO_BLK_F_MQ;
        }
        if self.disk.read_only {
            features |= 1 << VIRTIO_BLK_F_RO;
        } else {
            features |= 1 << VIRTIO_BLK_F_CONFIG_WCE
                | 1 << VIRTIO_BLK_F_DISCARD
                | 1 << VIRTIO_BLK_F_WRITE_ZEROES;
        }
        features
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; self.queues.into()]
    }

    fn config(&self) -> ConfigSpace {
        self.config.clone()
    }

    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        _watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        // Without a way to flush, the driver takes a completed write for durable (5.2.6.2).
        let write_through = !active.has(VIRTIO_BLK_F_FLUSH)
            || active.has(VIRTIO_BLK_F_CONFIG_WCE) && self.config.field(WRITEBACK) == [0];
        let doorbell = active.doorbell.clone();
        let Self { disk, pool, buf, .. } = self;
        active.drain(queue, |chain, memory| {
            let Some(request) = Request::parse(chain, memory) else {
                return Handled::Done(0);
            };
            if let Some(written) = request.try_at_once(disk, memory, buf) {
                return Handled::Done(written);
            }
            pool.submit(Job {
                request,
                queue,
                head: chain.head,
                memory: memory.clone(),
                write_through,
                doorbell: doorbell.clone(),
            });
            Handled::Kept
        })
    }

    fn host_event(&mut self, active: &mut Active, _watch: &mut dyn Watch) -> Result<(), Broken> {
        self.collect(active)
    }

    fn settles_within(&mut self, limit: Duration) -> bool {
        self.pool.shared.wait_idle(Some(limit))
    }

    fn quiesce(&mut self, active: &mut Active, _watch: &mut dyn Watch) {
        self.pool.shared.wait_idle(None);
        // A queue that is broken is not looked at again.
        let _ = self.collect(active);
    }

    fn reset(&mut self, _watch: &mut dyn Watch) {
        self.config.update(|bytes| bytes[WRITEBACK] = 1);
    }
}

struct Job {
    request: Request,
    queue: usize,
    head: u16,
    memory: Memory,
    write_through: bool,
    doorbell: Arc<Doorbell>,
}

#[derive(Debug, Clone, Copy)]
struct Done {
    queue: usize,
    head: u16,
    written: u32,
}

/// Requests that are being done, and those that are.
#[derive(Debug, Default)]
struct Progress {
    in_flight: usize,
    done: Vec<Done>,
    /// The number of a thread that panicked.
    failed: Option<usize>,
}

#[derive(Debug, Default)]
struct Shared {
    progress: Mutex<Progress>,
    idle: Condvar,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is in flight, or the limit is over. Returns whether that is so.
    fn wait_idle(&self, limit: Option<Duration>) -> bool {
        let began = Instant::now();
        let mut progress = self.lock();
        while progress.in_flight != 0 {
            let left = limit.map_or(Duration::MAX, |limit| limit.saturating_sub(began.elapsed()));
            if left.is_zero() {
                return false;
            }
            let waited = self.idle.wait_timeout(progress, left);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// The I/O threads of one disk.
#[derive(Debug)]
struct Pool {
    jobs: Option<Sender<Job>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    fn spawn(disk: &Arc<Disk>) -> Result<Self, Error> {
        let (jobs, inbox) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        let mut pool = Self { jobs: Some(jobs), shared: Arc::default(), threads: Vec::new() };
        for number in 0..IO_THREADS {
            let name = format!("kiln-io{number}-{}", disk.id);
            let (disk, inbox, shared) = (disk.clone(), inbox.clone(), pool.shared.clone());
            let thread = std::thread::Builder::new()
                .name(name.clone())
                .spawn(move || work(number, &disk, &inbox, &shared))
                .map_err(|source| Error::Spawn { name, source })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Requests that are done. A panic of a thread becomes the caller's, whose end is noticed.
    fn take_done(&mut self) -> Vec<Done> {
        let (done, failed) = {
            let mut progress = self.shared.lock();
            (std::mem::take(&mut progress.done), progress.failed.take())
        };
        if let Some(number) = failed
            && let Err(panic) = self.threads.remove(number).join()
        {
            std::panic::resume_unwind(panic);
        }
        done
    }

    fn submit(&self, job: Job) {
        self.shared.lock().in_flight += 1;
        if let Some(jobs) = &self.jobs {
            // The threads outlive the sender.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A job that a thread has taken. However that ends, it is no longer in flight afterwards.
struct Taken<'a> {
    thread: usize,
    shared: &'a Shared,
    doorbell: Arc<Doorbell>,
    done: Option<Done>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut progress = self.shared.lock();
        match self.done {
            Some(done) => progress.done.push(done),
            None => progress.failed = Some(self.thread),
        }
        progress.in_flight -= 1;
        if progress.in_flight == 0 {
            self.shared.idle.notify_all();
        }
        drop(progress);
        self.doorbell.ring_host();
    }
}

fn work(thread: usize, disk: &Disk, inbox: &Mutex<Receiver<Job>>, shared: &Shared) {
    let mut buf = Vec::new();
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { request, queue, head, memory, write_through, doorbell }) = job else {
            return;
        };
        let mut taken = Taken { thread, shared, doorbell, done: None };
        let written = request.execute(disk, &memory, &mut buf, write_through);
        taken.done = Some(Done { queue, head, written });
    }
}
