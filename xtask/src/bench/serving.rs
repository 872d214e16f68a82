//! Machines that answer over TCP, and kiln in a home of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

use crate::run::{measured, output, run};
use crate::setup::{self, Purpose};
use crate::{guest_agent, kernel, servers};

/// A server of the image of servers, on port 80.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) command: &'static [&'static str],
}

pub(super) const NGINX: Server =
    Server { name: "nginx", command: &["/usr/sbin/nginx", "-c", "/etc/nginx/kiln.conf"] };
pub(super) const PYTHON: Server = Server {
    name: "python",
    command: &["/usr/bin/python3", "-m", "http.server", "--directory", "/srv", "80"],
};

/// kiln as its users have it, with the image of servers, in a home that goes away with it.
pub(super) struct Kiln {
    program: PathBuf,
    place: tempfile::TempDir,
    pub(super) image: String,
}

impl Kiln {
    pub(super) fn new() -> Result<Self> {
        setup::ensure(&[Purpose::Test])?;
        kernel::build(None, false)?;
        guest_agent::build()?;
        let image = format!("oci-layout:{}:latest", servers::layout()?.display());
        let place = tempfile::tempdir()?;
        let kiln = Self { program: super::kiln()?, place, image };
        // Converted once, as it is the first time that anybody runs it.
        run(kiln.command(&["pull", "--quiet", &kiln.image]).stdout(Stdio::null()))?;
        Ok(kiln)
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = measured(&self.program);
        command.env("KILN_HOME", self.path("home")).args(arguments);
        command
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Keeps a snapshot of a server that has answered once, with one vCPU.
    pub(super) fn bake(&self, server: &Server, memory: &str, name: &str) -> Result<()> {
        let answered = "exec:busybox wget -q -O /dev/null http://127.0.0.1/";
        let mut command = self.command(&["bake", "--ready", answered, "--settle", "500ms"]);
        command.args(["--cpus", "1", "--memory", memory, "--publish", "127.0.0.1:0:80"]);
        command.args(["-o", name, &self.image]);
        run(command.args(server.command).stdout(Stdio::null()))
    }

    /// The machines that run, by id.
    fn machines(&self) -> Result<Vec<String>> {
        Ok(output(&mut self.command(&["ps", "-aq"]))?.lines().map(str::to_owned).collect())
    }

    /// The process of a machine that runs.
    pub(super) fn process(&self, id: &str) -> Result<Pid> {
        let state: Value = serde_json::from_str(&output(&mut self.command(&["inspect", id]))?)?;
        let pid = state[0]["state"]["pid"].as_i64().and_then(|pid| pid.try_into().ok());
        pid.and_then(Pid::from_raw).context("a machine that runs has a process")
    }

    /// Removes all machines, and waits until their processes have given their memory back.
    pub(super) fn remove_machines(&self) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(10);
        for id in self.machines()? {
            let process = self.process(&id);
            run(self.command(&["rm", "--force", &id]).stdout(Stdio::null()))?;
            let began = Instant::now();
            while process.as_ref().is_ok_and(|&process| is_there(process)) {
                ensure!(began.elapsed() < LIMIT, "the process of machine {id} does not end");
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    /// Seconds from the start of the command, which leaves a machine behind and publishes port 80 on the one that it is given,
    /// to the first byte of the answer. The machine is removed.
    pub(super) fn seconds_to_answer(&self, arguments: &[&str], rest: &[&str]) -> Result<f64> {
        let port = free_port()?;
        let publish = format!("127.0.0.1:{port}:80");
        let mut command = self.command(arguments);
        command.args(["--detach", "--publish", &publish]).args(rest).stdout(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn()?;
        let failed = || matches!(child.try_wait(), Ok(Some(s)) if !s.success());
        let answered = first_byte(port, Forwarder::Honest, failed);
        let seconds = began.elapsed().as_secs_f64();
        child.wait()?;
        self.remove_machines()?;
        answered.map(|()| seconds)
    }
}

impl Drop for Kiln {
    fn drop(&mut self) {
        // The directory goes away; a machine that cannot be removed has ended.
        let _ = self.remove_machines();
    }
}

/// Whether a process is there, and not only its entry that nobody takes note of (Linux: proc_pid_stat(5)).
fn is_there(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    let ended = stat.is_ok_and(|stat| stat.contains(") Z ") || stat.contains(") X "));
    test_kill_process(process).is_ok() && !ended
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Who takes connections for the guest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarder {
    /// Every connection that it takes is answered, or ends.
    Honest,
    /// It takes connections before the guest listens, and may keep or drop what it took then.
    Eager,
}

/// Asks for `/` until the first byte of an answer comes; `failed` tells that none will.
///
/// With an eager forwarder connections are made again and again, and whichever is answered first counts.
pub(super) fn first_byte(
    port: u16,
    forwarder: Forwarder,
    mut failed: impl FnMut() -> bool,
) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(120);
    const AGAIN: Duration = Duration::from_millis(20);
    const LOOK: Duration = Duration::from_micros(200);
    let began = Instant::now();
    let mut asked: Option<Instant> = None;
    let mut open: Vec<TcpStream> = Vec::new();
    while began.elapsed() < LIMIT {
        let again = || asked.is_none_or(|asked| asked.elapsed() > AGAIN);
        if open.is_empty() || forwarder == Forwarder::Eager && again() {
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                && stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok()
            {
                stream.set_nonblocking(true)?;
                open.push(stream);
                asked = Some(Instant::now());
            } else if failed() {
                bail!("the machine failed before it answered");
            }
        }
        let mut answered = false;
        open.retain_mut(|stream| match stream.read(&mut [0]) {
            Ok(count) => {
                answered |= count > 0;
                false
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        if answered {
            return Ok(());
        }
        // It leaves the processors to whoever is measured.
        let mut waiting: Vec<_> =
            open.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        let patience = match (forwarder, asked) {
            (Forwarder::Eager, Some(asked)) => AGAIN.saturating_sub(asked.elapsed()),
            _ => LIMIT,
        };
        if waiting.is_empty() {
            thread::sleep(LOOK);
        } else {
            poll(&mut waiting, Some(&patience.try_into()?))?;
        }
    }
    bail!("nothing answered on port {port} within {} s", LIMIT.as_secs())
}

/// Makes the host forget what it has read of files, as after its start. Needs root.
pub(super) fn drop_caches() -> Result<()> {
    /// What it has forgotten it gives back a little later.
    const REST: Duration = Duration::from_millis(50);
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the page cache")?;
    thread::sleep(REST);
    Ok(())
}
