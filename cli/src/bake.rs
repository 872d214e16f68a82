//! A snapshot of an image that was run until it is ready.

use std::{
    io,
    str::FromStr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use agent::{ExitStatus, Request};
use anyhow::{Context, bail};

use crate::{
    Home, agent_link,
    control::{SnapshotReply, StopRequest},
    launch::Launched,
    log::LogReader,
    options::Options,
    prepare, sandbox,
    session::{self, Ended},
    signal,
    snapshots::Snapshots,
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
    let launched = Launched::bound(prepare::from_image(home, &options, progress)?)?;
    let result = launched.start().and_then(|_| {
        moment.wait_for(&launched)?;
        snapshots.create(&launched.machine, name)
    });
    let kill = StopRequest { signal: Some(signal::KILL), timeout: Some(0) };
    let stopped = sandbox::stop(&launched.machine, &kill);
    let reply = result?;
    stopped?;
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
