//! A snapshot of an image that was run until it is ready.

use std::{
    io::{self, Read, Write},
    str::FromStr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use agent::{ExitStatus, Request};
use anyhow::{Context, bail};
use snapshot::Snapshot;

use crate::{
    Home,
    agent_link::{self, Agent},
    control::{SnapshotReply, StopRequest},
    launch::{Launched, Life},
    log::LogReader,
    machine::{FIRST_MOMENTS, HOST_TELLS},
    options::Options,
    prepare, sandbox,
    session::{self, Ended},
    signal,
    snapshots::{RestoreOptions, Snapshots},
    text,
};

/// What tells that a machine is ready to be captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// Something in the guest listens on this TCP port.
    Listen(u16),
    /// Its output has this text in it.
    Marker(String),
    /// A shell command in the guest succeeds.
    Exec(String),
    /// This time has passed.
    After(Duration),
}

/// When to capture a machine.
#[derive(Debug, Clone)]
pub struct Moment {
    /// What tells that it is ready.
    pub ready: Ready,
    /// How long it may take to be ready.
    pub timeout: Duration,
    /// How long to let it come to rest once it is ready.
    pub settle: Duration,
    /// Restore the snapshot once and throw that machine away, so that later restores find what they need first.
    pub rehearse: bool,
}

impl FromStr for Ready {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let how = "write listen:PORT, marker:TEXT, exec:COMMAND or after:DURATION";
        let (kind, value) = text.split_once(':').with_context(|| how.to_owned())?;
        if value.is_empty() {
            bail!(how);
        }
        Ok(match kind {
            "listen" => {
                Self::Listen(value.parse().with_context(|| format!("{value:?} is no port"))?)
            }
            "marker" => Self::Marker(value.into()),
            "exec" => Self::Exec(value.into()),
            "after" => Self::After(text::parse_duration(value)?),
            _ => bail!(how),
        })
    }
}

/// Ends a machine that nobody needs any more.
const KILL: StopRequest = StopRequest { signal: Some(signal::KILL), timeout: Some(0) };

/// Runs an image until the moment has come, keeps a snapshot of it under `name`, and lets the machine go.
pub(crate) fn bake(
    home: &Home,
    options: &Options,
    moment: &Moment,
    name: &str,
    progress: image::Progress<'_>,
) -> anyhow::Result<SnapshotReply> {
    let snapshots = Snapshots::open(home)?;
    if snapshots.path(name)?.exists() {
        bail!("the snapshot {name} exists; remove it with `kiln snapshot rm {name}`");
    }
    let options = Options { auto_remove: true, ..options.clone() };
    // Nobody wants the machine for itself.
    let launched = Launched::new(prepare::from_image(home, &options, progress)?, Life::Bound)?;
    let result = launched.start().and_then(|_| {
        moment.wait_for(&launched)?;
        snapshots.create(&launched.machine, name)
    });
    let stopped = sandbox::stop(&launched.machine, &KILL);
    let reply = result?;
    stopped?;
    if moment.rehearse
        && HOST_TELLS
        && let Err(error) = moment.rehearse(&snapshots, name)
    {
        tracing::warn!("the snapshot {name} was made, but its rehearsal failed: {error:#}");
    }
    Ok(reply)
}

impl Moment {
    /// Waits until the machine is ready and has come to rest.
    fn wait_for(&self, launched: &Launched) -> anyhow::Result<()> {
        // None is a time that never comes.
        let deadline = Instant::now().checked_add(self.timeout);
        match &self.ready {
            Ready::After(time) => self.until(launched, None, elapsed(*time))?,
            Ready::Listen(port) => {
                let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                let request = Request::AwaitListener { port: *port, timeout_ms };
                agent_link::call(&launched.client, &request).map(drop)?;
            }
            Ready::Marker(marker) => {
                let mut reader = LogReader::open(&launched.machine.directory);
                let mut seen = Vec::new();
                self.until(launched, deadline, || {
                    found(&mut reader, &mut seen, marker.as_bytes())
                })?;
            }
            Ready::Exec(command) => {
                self.until(launched, deadline, || succeeds(launched, command, deadline))?;
            }
        }
        self.until(launched, None, elapsed(self.settle))
    }

    /// Restores the snapshot once, asks its ports for something, and lets it go: what it touches meanwhile is what the next one
    /// needs first, and is written down by its process. The guest reaches nothing but its own memory, so nobody else notices.
    fn rehearse(&self, snapshots: &Snapshots, name: &str) -> anyhow::Result<()> {
        /// How long its process may take to write that down.
        const LIMIT: Duration = FIRST_MOMENTS.saturating_add(Duration::from_secs(30));
        let path = snapshots.path(name)?;
        let snapshot = Snapshot::open(&path)?;
        snapshot.evict();
        let options =
            RestoreOptions { free_ports: true, auto_remove: true, ..RestoreOptions::default() };
        let launched = snapshots.launch(&path, &options, Life::Bound, || {})?;
        let rehearsed = launched.start().and_then(|_| {
            let mut ports: Vec<_> = launched.machine.spec.ports.iter().map(|p| p.guest).collect();
            ports.extend(if let Ready::Listen(port) = self.ready { Some(port) } else { None });
            for port in ports {
                if let Err(error) = ask(&launched, port) {
                    tracing::debug!("port {port} did not answer in the rehearsal: {error:#}");
                }
            }
            let deadline = Instant::now().checked_add(LIMIT);
            self.until(&launched, deadline, || Ok(snapshot.working_set().is_some()))
        });
        sandbox::stop(&launched.machine, &KILL)?;
        rehearsed
    }

    /// Asks again and again, as long as there is a machine and time.
    fn until(
        &self,
        launched: &Launched,
        deadline: Option<Instant>,
        mut met: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        while !met()? {
            if !launched.machine.is_alive() {
                bail!("the machine ended before it was ready");
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                bail!(
                    "the machine was not ready within {} s; allow more with --timeout",
                    self.timeout.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn elapsed(time: Duration) -> impl FnMut() -> anyhow::Result<bool> {
    let began = Instant::now();
    move || Ok(began.elapsed() >= time)
}

/// Reads on; whether the marker is in what was read. Keeps no more than a marker may need.
fn found(reader: &mut LogReader, seen: &mut Vec<u8>, marker: &[u8]) -> anyhow::Result<bool> {
    while let Some(record) = reader.read()? {
        seen.extend(record.bytes);
        if seen.windows(marker.len()).any(|window| window == marker) {
            return Ok(true);
        }
        let keep = seen.len().min(marker.len());
        seen.drain(..seen.len() - keep);
    }
    Ok(false)
}

/// Asks a port of the guest what most clients ask first, in HTTP, and takes the beginning of the answer. A server of another kind
/// has been talked to as well.
fn ask(launched: &Launched, port: u16) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_millis(300);
    let mut agent = Agent::connect(&launched.client)?;
    agent.call(&Request::Connect { port })?.done()?;
    let mut stream = agent.into_stream();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let _ = stream.read(&mut [0; 1024])?;
    Ok(())
}

/// Whether the command succeeds before it is too late.
fn succeeds(launched: &Launched, command: &str, deadline: Option<Instant>) -> anyhow::Result<bool> {
    let command = vec!["/bin/sh".into(), "-c".into(), command.into()];
    let spec = agent_link::beside(&launched.machine.spec.process, command);
    let (ended, end) = mpsc::channel();
    let client = launched.client.clone();
    // One that hangs ends with the machine.
    thread::Builder::new().name("ready".into()).spawn(move || {
        let stdio = session::Stdio { stdin: false, tty: false, signals: false };
        let result = agent_link::exec(&client, spec, stdio, &mut io::sink(), &mut io::sink());
        // Nobody waits any more if this fails.
        let _ = ended.send(result);
    })?;
    let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
    match end.recv_timeout(left) {
        Ok(result) => {
            Ok(matches!(result?, Ended::Exited(exit) if exit.status == ExitStatus::Exited(0)))
        }
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        assert_eq!("listen:80".parse::<Ready>().unwrap(), Ready::Listen(80));
        assert_eq!("marker:a:b".parse::<Ready>().unwrap(), Ready::Marker("a:b".into()));
        assert_eq!("after:2s".parse::<Ready>().unwrap(), Ready::After(Duration::from_secs(2)));
        for text in ["", "listen", "listen:", "listen:x", "now:1"] {
            assert!(text.parse::<Ready>().is_err(), "{text:?}");
        }
    }
}
