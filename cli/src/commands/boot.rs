//! `kiln boot`: a kernel of the user's own, with the serial console on the terminal.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmm::{
    DiskConfig, DiskSource, Durability, Machine, MachineConfig, OnReset, Outcome, Resources,
    VsockConfig,
};

use crate::terminal::RawMode;
use crate::{descriptors, text};

/// Boots a kernel with the serial console on the terminal
///
/// The guest's reboot restarts it, and so does its panic if the command line has `panic=`; without
/// that a guest that panicked stays until it is stopped. Ctrl-A x stops the machine at once; an
/// interrupt or termination signal presses its power button, and a second one, or ten seconds, stop
/// it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel, an arm64 Image
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The initial RAM file system
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "STRING", default_value = "console=ttyAMA0 earlycon")]
    cmdline: String,
    /// Number of vCPUs
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: u32,
    /// Memory, with a suffix K, M or G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = text::parse_size)]
    memory: u64,
    /// A raw disk image, read-only with the suffix :ro; may be repeated
    #[arg(long, value_name = "FILE[:ro]")]
    disk: Vec<String>,
    /// A unix socket for connections to the guest's vsock ports
    #[arg(long, value_name = "PATH")]
    vsock: Option<PathBuf>,
    /// End when the guest resets, instead of starting it again
    #[arg(long)]
    no_reboot: bool,
    /// Say where the time and the host's memory went
    #[arg(long)]
    timings: bool,
}

/// The guest's context identifier, as the first that is not reserved (virtio 1.2, 5.10.4).
const GUEST_CID: u32 = 3;
/// Ctrl-A.
const ESCAPE: u8 = 0x01;
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a guest takes nothing of what is typed before it counts as one that does not read.
const STUCK: Duration = Duration::from_secs(1);
/// Most bytes typed ahead of what the machine takes: what a terminal holds of a line.
const AHEAD: usize = 4096;

impl Args {
    fn config(&self) -> MachineConfig {
        let mut config = MachineConfig::new(&self.kernel);
        config.memory = self.memory;
        config.vcpus = self.cpus;
        config.initramfs = self.initrd.clone();
        config.command_line = self.cmdline.clone();
        config.disks = self.disk.iter().enumerate().map(disk).collect();
        config.vsock = self
            .vsock
            .as_ref()
            .map(|socket| VsockConfig { cid: GUEST_CID, socket: Some(socket.clone()) });
        if self.no_reboot {
            config.on_reset = OnReset::End;
        }
        config
    }
}

/// The disk of an argument; the guest finds it by the serial `disk0`, `disk1`, …
fn disk((index, text): (usize, &String)) -> DiskConfig {
    let (path, read_only) = match text.strip_suffix(":ro") {
        Some(path) => (path, true),
        None => (text.as_str(), false),
    };
    let source = DiskSource::Raw { path: path.into(), read_only, durability: Durability::Medium };
    DiskConfig { name: format!("disk{index}"), source }
}

/// Boots and waits until the machine has ended.
pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let began = Instant::now();
    descriptors::raise_limit();
    let first_output = Arc::new(OnceLock::new());
    let serial = Console { first_output: Arc::clone(&first_output) };
    let machine = Machine::new(&args.config(), Resources::serial(serial))?;
    let built = Instant::now();
    let raw = RawMode::enter().context("the terminal cannot be put into raw mode")?;
    let outcome = attend(&machine)?;
    let ended = Instant::now();
    // From here on an interrupt ends this process, should nobody take what the guest still has to say.
    drop(raw);
    let overhead = Overhead::measure(&machine);
    drop(machine);
    if args.timings {
        let since = |then: Instant| format!("{:.1} ms", (then - began).as_secs_f64() * 1e3);
        eprintln!("kiln: machine built after {}", since(built));
        if let Some(first) = first_output.get() {
            eprintln!("kiln: first serial output after {}", since(*first));
        }
        eprintln!("kiln: machine ended after {}", since(ended));
        if let Some(Overhead { guest, total }) = overhead {
            eprintln!(
                "kiln: {} KiB of guest memory resident, {} KiB beyond it",
                guest,
                total.saturating_sub(guest)
            );
        } else {
            eprintln!("kiln: how much memory is resident cannot be told without /proc");
        }
    }
    match outcome {
        Outcome::PoweredOff | Outcome::Stopped | Outcome::Reset => Ok(0),
        failed @ (Outcome::GuestFault { .. } | Outcome::ThreadFailed { .. }) => bail!(failed),
    }
}

/// Standard output as the machine's console; notes when the guest first speaks.
struct Console {
    first_output: Arc<OnceLock<Instant>>,
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.first_output.get_or_init(Instant::now);
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Runs the machine while terminal and signals are attended to on a thread of their own.
fn attend(machine: &Machine) -> anyhow::Result<Outcome> {
    let signals = Signals::catch().context("signals cannot be caught")?;
    let (ended, end) = rustix::pipe::pipe()?;
    machine.run()?;
    std::thread::scope(|scope| {
        let attendant = std::thread::Builder::new()
            .name("kiln-terminal".to_owned())
            .spawn_scoped(scope, move || Attendant::new(machine).serve(&signals, &ended))
            .context("the terminal's thread cannot be started")?;
        let outcome = machine.wait();
        drop(end);
        match attendant.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the terminal was not attended to"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(outcome)
    })
}

/// SIGINT, SIGTERM and SIGHUP as a descriptor that becomes readable. Dropped, they do again what they do
/// by default.
struct Signals {
    pipe: std::os::unix::net::UnixStream,
    over: Arc<AtomicBool>,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let (read, write) = std::os::unix::net::UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&over))?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self { pipe: read, over })
    }

    /// Whether one has come since the last question.
    fn came(&self) -> bool {
        let mut bytes = [0; 16];
        (&self.pipe).read(&mut bytes).is_ok_and(|count| count > 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// Carries what is typed to the guest, and understands the escape.
struct Attendant<'a> {
    machine: &'a Machine,
    /// The last byte was the escape.
    escaped: bool,
    /// Typed ahead of what the machine took.
    pending: Vec<u8>,
    /// When the machine last took something, or there was nothing to take.
    taken: Instant,
    /// When a machine whose power button was pressed is to be stopped.
    deadline: Option<Instant>,
}

impl<'a> Attendant<'a> {
    fn new(machine: &'a Machine) -> Self {
        Self { machine, escaped: false, pending: Vec::new(), taken: Instant::now(), deadline: None }
    }

    /// Until the other end of `ended` is closed.
    fn serve(&mut self, signals: &Signals, ended: &OwnedFd) -> io::Result<()> {
        let stdin = io::stdin();
        let is_terminal = stdin.is_terminal();
        let mut typing = true;
        loop {
            // What comes fast waits for a guest that reads slowly. From one that does not read at all a person may still want
            // to escape.
            let stuck = is_terminal && self.taken.elapsed() > STUCK;
            let listening = typing && (self.pending.is_empty() || stuck);
            let input: Option<BorrowedFd<'_>> = listening.then(|| stdin.as_fd());
            let mut fds =
                vec![PollFd::new(ended, PollFlags::IN), PollFd::new(&signals.pipe, PollFlags::IN)];
            fds.extend(input.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let timeout = self.timeout();
            match poll(&mut fds, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[0] {
                return Ok(());
            }
            if ready[1] && signals.came() {
                self.signalled();
            }
            if ready.get(2) == Some(&true) {
                typing = self.typed()?;
            }
            self.offer();
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.machine.stop();
            }
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        /// A guest that reads slowly is offered the rest this often.
        const AGAIN: Duration = Duration::from_millis(50);
        let offer = (!self.pending.is_empty()).then_some(AGAIN);
        let stop = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let wait = offer.into_iter().chain(stop).min()?;
        Some(Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() })
    }

    fn signalled(&mut self) {
        if self.deadline.is_some() {
            self.machine.stop();
        } else {
            self.machine.press_power_button();
            self.deadline = Some(Instant::now() + PATIENCE);
        }
    }

    /// Reads what was typed. Returns whether there may be more.
    fn typed(&mut self) -> io::Result<bool> {
        let mut bytes = [0; AHEAD];
        let count = match rustix::io::read(io::stdin(), &mut bytes) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(true),
            // A terminal that is gone.
            Err(rustix::io::Errno::IO) => 0,
            other => other?,
        };
        for &byte in &bytes[..count] {
            match (self.escaped, byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, b'x' | b'X') => self.machine.stop(),
                (_, byte) => {
                    // Ctrl-A twice sends one; anything else after it is sent alone.
                    self.escaped = false;
                    if self.pending.len() < AHEAD {
                        self.pending.push(byte);
                    }
                }
            }
        }
        Ok(count > 0)
    }

    fn offer(&mut self) {
        let taken = self.machine.serial_input(&self.pending);
        self.pending.drain(..taken);
        if taken > 0 || self.pending.is_empty() {
            self.taken = Instant::now();
        }
    }
}

/// Memory that the process occupies, in KiB.
struct Overhead {
    guest: u64,
    total: u64,
}

impl Overhead {
    /// Reads the kernel's account; `None` where there is none.
    fn measure(machine: &Machine) -> Option<Self> {
        let guest = machine.host_memory();
        let account = fs::read_to_string("/proc/self/smaps").ok()?;
        let mut measured = Self { guest: 0, total: 0 };
        let mut is_guest = false;
        for line in account.lines() {
            if let Some(kib) = line.strip_prefix("Rss:") {
                let kib: u64 = kib.trim().strip_suffix(" kB")?.parse().ok()?;
                measured.total += kib;
                if is_guest {
                    measured.guest += kib;
                }
            } else if let Some((start, _)) =
                line.split_once(' ').and_then(|(range, _)| range.split_once('-'))
                && let Ok(start) = u64::from_str_radix(start, 16)
            {
                is_guest = guest.iter().any(|range| range.contains(&start));
            }
        }
        Some(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_makes_a_disk_read_only() {
        for (text, file, is_read_only) in
            [("a.img", "a.img", false), ("a.img:ro", "a.img", true), ("a:rw", "a:rw", false)]
        {
            let DiskSource::Raw { path, read_only, .. } = disk((0, &text.to_owned())).source else {
                panic!("{text}")
            };
            assert_eq!((path, read_only), (PathBuf::from(file), is_read_only));
        }
    }
}
