//! A machine's own process: one a machine, from its boot to its end.

mod clock;
mod guest;
mod ports;
mod snapshot;
mod stdio;
mod stopwatch;
mod supervisor;
mod working_set;

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use agent::Request;
use anyhow::Context;

pub(crate) use snapshot::Workload;
pub(crate) use supervisor::{Supervisor, splice};
pub(crate) use working_set::{FIRST_MOMENTS, HOST_TELLS};

use self::{guest::Guest, ports::Ports, stdio::Stdio, stopwatch::Stopwatch};
use crate::{
    control,
    launch::Life,
    log::LogWriter,
    record::{Machine, Origin},
};

/// How long the output of a restored machine stays in the guest if nobody waits for it: its first moments belong to what its
/// processes serve.
const QUIET: Duration = Duration::from_millis(50);

/// Runs the machine of this directory to its end.
///
/// Standard input is the tether: it ends when whoever started this process is gone. A machine whose process has not started
/// by then is given up without a trace; [`Life::Bound`] extends that to its whole life.
pub(crate) fn main(directory: &Path, life: Life) -> anyhow::Result<()> {
    // Nothing that happens to the terminal it was started from concerns it. It fails for a group's leader, which is
    // as good.
    let _ = rustix::process::setsid();
    let machine = Machine::open(directory)?;
    let lock = machine.claim()?;
    let result = live(&machine, life);
    if let Err(error) = &result {
        machine.record_failure(error)?;
    }
    // The socket goes before the lock: whoever finds the lock free finds no socket.
    let _ = std::fs::remove_file(directory.join("control.sock"));
    let bury = match &result {
        Ok(End::Abandoned) => true,
        Ok(End::Over) => machine.spec.auto_remove,
        // It is swept later.
        Ok(End::Unheard) | Err(_) => false,
    };
    if bury {
        machine.bury()?;
    }
    drop(lock);
    result.map(drop)
}

/// How a machine's life ended.
enum End {
    Over,
    /// A client stood still and has missed it; what is on disk tells it.
    Unheard,
    /// Nobody wants to know of it.
    Abandoned,
}

fn live(machine: &Machine, life: Life) -> anyhow::Result<End> {
    let spec = &machine.spec;
    let mut stopwatch = Stopwatch::start();
    let ports = Ports::bind(&spec.ports)?;
    let mut log = LogWriter::open(&machine.directory)?;
    let (guest, snapshot) = Guest::build(machine)?;
    stopwatch.lap(match spec.origin {
        Origin::Boot { .. } => "virtual machine built",
        Origin::Snapshot { .. } => "state loaded, memory mapped, virtual machine restored",
    });
    let stdio = Stdio::new(spec.stdin_once);
    let supervisor = Arc::new(Supervisor::new(
        machine.clone(),
        guest,
        stdio.clone(),
        ports.mappings(),
        stopwatch,
    ));
    // Whoever wants something of the guest can ask before it runs.
    let server = control::serve(&machine.directory, supervisor.clone())?;
    if let Some(snapshot) = snapshot.filter(|_| HOST_TELLS) {
        working_set::follow(&supervisor, snapshot)?;
    }
    supervisor.guest().run()?;
    watch(&supervisor)?;
    watch_tether(&supervisor, life == Life::Bound)?;
    match configure(&supervisor) {
        Ok(()) => supervisor.ready(),
        Err(error) => supervisor.fail(&error),
    }
    // What a restored machine serves it serves already; its clients' bytes wait for it in the guest until it is thawed.
    let restored = matches!(spec.origin, Origin::Snapshot { .. });
    if restored || supervisor.wait_started() {
        ports.serve(&supervisor)?;
    }
    if life == Life::Eager {
        let supervisor = supervisor.clone();
        // Whoever asks for the start hears why it failed.
        thread::Builder::new().name("start".into()).spawn(move || drop(supervisor.start()))?;
    }
    if supervisor.wait_started() {
        clock::follow(&supervisor)?;
        if restored {
            stdio.wait_for_client(QUIET);
        }
        match stdio.pump(|| supervisor.greet_agent(), &mut log) {
            Ok(exit) => {
                supervisor.exited(exit);
                stdio.close(Some(exit));
            }
            Err(error) => supervisor.fail(&error),
        }
    }
    stdio.close(None);
    supervisor.power_off();
    let heard = stdio.finish();
    if life == Life::Eager {
        // It may all have been over before anybody could ask.
        supervisor.wait_asked();
    }
    server.finish();
    Ok(match supervisor.is_abandoned() {
        true => End::Abandoned,
        false if heard => End::Over,
        false => End::Unheard,
    })
}

/// Reports a guest that ends by itself.
fn watch(supervisor: &Arc<Supervisor>) -> anyhow::Result<()> {
    let supervisor = supervisor.clone();
    thread::Builder::new().name("watch".into()).spawn(move || {
        let cause = supervisor.guest().wait();
        supervisor.fail(&anyhow::anyhow!("the guest ended: {cause}"));
    })?;
    Ok(())
}

/// Gives the machine up when whoever started it goes too early.
fn watch_tether(supervisor: &Arc<Supervisor>, bound: bool) -> anyhow::Result<()> {
    let supervisor = supervisor.clone();
    thread::Builder::new().name("tether".into()).spawn(move || {
        // Nothing more is written to it.
        while let Ok(1..) = io::stdin().read(&mut [0]) {}
        supervisor.abandon(bound);
    })?;
    Ok(())
}

/// Waits for the agent and has it build the root.
fn configure(supervisor: &Supervisor) -> anyhow::Result<()> {
    let limit = Duration::from_secs(supervisor.spec().init_timeout);
    if let Origin::Snapshot { .. } = supervisor.spec().origin {
        // Its agent listens already, and its root is built.
        return Ok(());
    }
    supervisor.guest().wait_agent(limit)?;
    let mut agent = supervisor.greet_agent()?;
    let clock = Some(supervisor.guest().clock());
    let config = agent::Config { clock, ..supervisor.spec().guest.clone() };
    agent.call(&Request::Configure(config)).context("the guest's root cannot be built")?.done()?;
    Ok(())
}
