//! Starts the workload's processes.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use agent::{Config, Failure, FailureKind, ProcessId, ProcessSpec};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use serde::{Deserialize, Serialize};

use super::failure::{Explain, Outcome, failure};
use super::kernel::{self, Child, clone_and_exec};
use super::process::{Process, State, Table, set_size};
use super::pump::{self, Stdio};
use super::{cgroup, root};

/// Ourselves, whatever name the initramfs gave us.
const PROGRAM: &CStr = c"/proc/self/exe";
const STAGE: &CStr = c"kiln-stage";

/// What the stage is told.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub spec: ProcessSpec,
    /// The surroundings to build first, for the workload's own process.
    pub config: Option<Config>,
}

/// The workload's own process, whose namespaces others join.
pub(crate) struct Workload<'a> {
    pub pidfd: BorrowedFd<'a>,
}

/// Starts a process: the first one with its surroundings (`config`), every other one inside those
/// of the first (`workload`).
pub(crate) fn spawn(
    table: &Table,
    id: ProcessId,
    spec: &ProcessSpec,
    config: Option<&Config>,
    workload: Option<&Workload<'_>>,
) -> Outcome<Arc<Process>> {
    if spec.args.is_empty() {
        return Err(failure(FailureKind::Invalid, "there is no command to start"));
    }
    let (theirs, ours) = stdio(spec)?;
    let order = Order { spec: spec.clone(), config: config.cloned() };
    let order = order_file(&order)?;
    let (report, report_end) = pipe_with(PipeFlags::CLOEXEC).explain("make a pipe")?;

    let process = {
        let mut held = table.hold();
        if held.contains_key(&id) {
            return Err(failure(FailureKind::Invalid, format!("there is a process {id} already")));
        }
        let mut descriptors = vec![
            theirs[0].as_fd(),
            theirs[1].as_fd(),
            theirs[2].as_fd(),
            order.as_fd(),
            report_end.as_fd(),
        ];
        descriptors.extend(workload.map(|workload| workload.pidfd));
        let child = start(&descriptors, workload).explain("start a process")?;
        let terminal = match &ours.terminal {
            Some(terminal) => Some(terminal.try_clone().explain("duplicate a terminal")?),
            None => None,
        };
        let mut state = State::default();
        state.stdin.closed = ours.stdio.stdin.is_none();
        state.main = config.is_some();
        state.detaches = spec.detaches;
        state.stdout.ended = ours.stdio.stdout.is_none();
        state.stderr.ended = ours.stdio.stderr.is_none();
        if spec.detached {
            state.detach();
        }
        let process = Arc::new(Process::new(id, spec.args.clone(), child, terminal, state)?);
        held.insert(id, Arc::clone(&process));
        process
    };
    table.announce();
    drop((theirs, report_end));

    if let Err(failure) = read_report(report) {
        table.hold().remove(&id);
        return Err(failure);
    }
    pump::start(Arc::clone(&process), ours.stdio).explain("start a thread for the process")?;
    Ok(process)
}

/// Clones in a thread of its own when another namespace is to be joined: that changes the thread
/// for good.
fn start(
    descriptors: &[BorrowedFd<'_>],
    workload: Option<&Workload<'_>>,
) -> std::io::Result<(u32, OwnedFd)> {
    let cgroup = cgroup::open()?;
    let child = Child {
        program: PROGRAM,
        name: STAGE,
        descriptors,
        cgroup: cgroup.as_fd(),
        namespaces: match workload {
            None => (libc::CLONE_NEWPID | libc::CLONE_NEWNS) as u64,
            Some(_) => 0,
        },
    };
    let Some(workload) = workload else { return clone_and_exec(&child) };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn_scoped(scope, || {
                kernel::join_pid_namespace(workload.pidfd)?;
                clone_and_exec(&child)
            })?
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread that starts it failed")))
    })
}

/// Our side of a process's stdio.
struct Ours {
    stdio: Stdio,
    terminal: Option<OwnedFd>,
}

/// Makes the stdio: three descriptors for the process, and our ends.
fn stdio(spec: &ProcessSpec) -> Outcome<([OwnedFd; 3], Ours)> {
    if let Some(size) = spec.tty {
        let (master, slave) = terminal().explain("make a terminal")?;
        set_size(&master, size)?;
        let copy = |fd: &OwnedFd| fd.try_clone().explain("duplicate a terminal");
        let theirs = [copy(&slave)?, copy(&slave)?, slave];
        let stdin = spec.stdin.then(|| copy(&master)).transpose()?;
        let stdio = Stdio { stdin, stdout: Some(copy(&master)?), stderr: None };
        return Ok((theirs, Ours { stdio, terminal: Some(master) }));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).explain("make a pipe");
    let (stdin, their_stdin) = if spec.stdin {
        let (read, write) = pipe()?;
        (Some(write), read)
    } else {
        (None, File::open("/dev/null").explain("open /dev/null")?.into())
    };
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let theirs = [their_stdin, their_stdout, their_stderr];
    let stdio = Stdio { stdin, stdout: Some(stdout), stderr: Some(stderr) };
    Ok((theirs, Ours { stdio, terminal: None }))
}

/// A terminal of the workload's own devpts, so that its name means something in there.
fn terminal() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open(format!("{}/ptmx", root::TERMINALS), flags, Mode::empty())?;
    unlockpt(&master)?;
    let slave =
        ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok((master, slave))
}

/// The order as a file that the stage reads from its start.
fn order_file(order: &Order) -> Outcome<OwnedFd> {
    let what = "write down what to start";
    let mut bytes = Vec::new();
    ciborium::into_writer(order, &mut bytes).explain(what)?;
    let mut file = File::from(memfd_create("order", MemfdFlags::CLOEXEC).explain(what)?);
    file.write_all(&bytes).explain(what)?;
    file.rewind().explain(what)?;
    Ok(file.into())
}

/// What the stage says before it becomes the command: nothing if all is well.
fn read_report(report: OwnedFd) -> Outcome<()> {
    let mut bytes = Vec::new();
    File::from(report).read_to_end(&mut bytes).explain("read how the start went")?;
    if bytes.is_empty() {
        return Ok(());
    }
    let failure: Failure =
        ciborium::from_reader(bytes.as_slice()).explain("understand how the start went")?;
    Err(failure)
}
