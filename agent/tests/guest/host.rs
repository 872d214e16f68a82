//! The host's side: a machine with the agent in it, and a client.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use agent::{
    Attached, Channel, Clock, Config, Connection, DEFAULT_PORT, Exit, ExitStatus, FailureKind,
    Frame, Hello, Input, Layer, MAX_DATA, Output, ProcessId, ProcessSpec, ProtocolError, Reply,
    Request, STDIN_WINDOW, decode_message, write_data, write_message,
};
use virtio::VsockHost;
use vmm::{DiskConfig, DiskSource, Machine, MachineConfig, PartConfig, Resources, VsockConfig};

use crate::common::{Console, kernel};

const PATIENCE: Duration = Duration::from_secs(60);
/// The workload's own process.
pub(crate) const MAIN: ProcessId = 1;
/// A workload that ends when it is asked to.
pub(crate) const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

const COMMANDS: &str = "cat chmod date dd echo env false grep head hostname id kill ln ls mkdir \
                        mount nc nproc od printf ps pwd readlink rm seq sh sha256sum sleep stat \
                        stty sync tail tee test touch tr true tty ulimit uname wc yes";

/// A machine whose agent has answered.
pub(crate) struct Guest {
    pub machine: Machine,
    pub console: Console,
    vsock: VsockHost,
    next: AtomicU64,
    _files: tempfile::TempDir,
}

impl Guest {
    /// Boots with the root as the last of so many layers, and configures.
    pub(crate) fn boot(layers: usize, change: impl FnOnce(&mut Config)) -> Guest {
        let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = erofs(files.path(), "root", fill_root);
        let parts: Vec<PartConfig> = (1..=layers)
            .map(|number| PartConfig {
                path: if number == layers {
                    root.clone()
                } else {
                    erofs(files.path(), &format!("layer{number}"), |tree| {
                        fs::write(tree.join(format!("file{number}")), number.to_string()).unwrap();
                        fs::write(tree.join("shared"), number.to_string()).unwrap();
                    })
                },
                label: format!("layer{number}"),
            })
            .collect();
        let mut config = MachineConfig::new(kernel());
        config.initramfs = Some(initramfs());
        config.memory = 256 << 20;
        config.vcpus = 2;
        config.command_line = "console=ttyAMA0 earlycon".to_owned();
        config.vsock = Some(VsockConfig { cid: 3, socket: None });
        config.disks.push(DiskConfig {
            name: "layers".to_owned(),
            source: DiskSource::Composite { parts },
        });
        let console = Console::default();
        let machine = Machine::new(&config, Resources::serial(console.clone())).unwrap();
        let vsock = machine.vsock().unwrap();
        let listener = vsock.listen(DEFAULT_PORT).unwrap();
        machine.run().unwrap();
        // The agent says that it is there: no polling.
        let stream = listener
            .accept(PATIENCE)
            .unwrap_or_else(|_| panic!("no agent:\n{}", console.text()))
            .stream;
        let guest = Guest { machine, console, vsock, next: AtomicU64::new(100), _files: files };
        let mut connection = greet(stream);
        let mut config = Config {
            layers: (1..=layers)
                .map(|number| Layer {
                    device: format!("/dev/vda{number}"),
                    fstype: "erofs".to_owned(),
                })
                .collect(),
            hostname: "box".to_owned(),
            clock: Some(Clock {
                unix_nanos: SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
                counter: guest.machine.counter(),
            }),
            ..Config::default()
        };
        change(&mut config);
        connection.call(&Request::Configure(config)).unwrap().done().unwrap();
        guest
    }

    /// Boots with one layer and starts the workload.
    pub(crate) fn with(script: &str) -> Guest {
        let guest = Guest::boot(1, |_| {});
        guest.start(&shell(script));
        guest
    }

    pub(crate) fn start(&self, spec: &ProcessSpec) {
        self.call(&Request::Run { id: MAIN, spec: spec.clone() }).unwrap();
    }

    pub(crate) fn connect(&self) -> Connection<UnixStream> {
        greet(self.vsock.connect(DEFAULT_PORT, PATIENCE).unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) fn call(&self, request: &Request) -> Result<Reply, ProtocolError> {
        self.connect().call(request)
    }

    pub(crate) fn attach(&self, id: ProcessId, stdout: Option<u64>) -> Attachment {
        let mut connection = self.connect();
        let reply = connection.call(&Request::Attach { id, stdout, stderr: None }).unwrap();
        let Reply::Attached(begin) = reply else { panic!("{reply:?}") };
        Attachment { connection, begin, stdout: Vec::new(), stderr: Vec::new() }
    }

    pub(crate) fn fresh_id(&self) -> ProcessId {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs a command to its end beside the workload.
    pub(crate) fn exec(&self, spec: &ProcessSpec, stdin: &[u8]) -> Result<Ended, ProtocolError> {
        let id = self.fresh_id();
        let spec = ProcessSpec { stdin: !stdin.is_empty(), ..spec.clone() };
        self.call(&Request::Exec { id, spec: spec.clone() })?;
        let ended = self.attach(id, None).finish(spec.stdin.then(|| stdin.to_vec()));
        self.call(&Request::Remove { id })?.done()?;
        Ok(ended)
    }

    /// What a shell command prints; it must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let ended = self.exec(&shell(script), b"").unwrap();
        assert_eq!(ended.exit.status, ExitStatus::Exited(0), "{script}: {}", ended.error());
        ended.output()
    }

    /// Why a command cannot be started.
    pub(crate) fn refusal(&self, spec: &ProcessSpec) -> (FailureKind, String) {
        match self.exec(spec, b"") {
            Err(ProtocolError::Failed(failure)) => (failure.kind, failure.message),
            Err(error) => panic!("{error}"),
            Ok(ended) => panic!("it ran: {:?}", ended.exit),
        }
    }
}

/// One attachment.
pub(crate) struct Attachment {
    pub connection: Connection<UnixStream>,
    pub begin: Attached,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// A process that has ended, and what it said.
pub(crate) struct Ended {
    pub exit: Exit,
    pub stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ended {
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn error(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// What the writing half of an attachment does next.
enum Next {
    Taken(u64),
    Ack(u64, u64),
}

impl Attachment {
    /// Receives one frame and keeps its bytes; they must follow what came before.
    pub(crate) fn receive(&mut self) -> Result<Option<Output>, ProtocolError> {
        match self.connection.receive()? {
            Frame::Data { channel, offset, bytes } => {
                let (begin, kept) = match channel {
                    Channel::Stdout => (self.begin.stdout, &mut self.stdout),
                    Channel::Stderr => (self.begin.stderr, &mut self.stderr),
                    other => panic!("data of {other:?}"),
                };
                assert_eq!(offset, begin + kept.len() as u64, "bytes are missing");
                kept.extend(bytes);
                Ok(None)
            }
            Frame::Message(body) => decode_message(&body).map(Some),
        }
    }

    pub(crate) fn received(&self) -> (u64, u64) {
        let end = |begin: u64, bytes: &[u8]| begin + bytes.len() as u64;
        (end(self.begin.stdout, &self.stdout), end(self.begin.stderr, &self.stderr))
    }

    /// Sends stdin and reads output at the same time until the process has ended.
    pub(crate) fn finish(mut self, stdin: Option<Vec<u8>>) -> Ended {
        let (sender, receiver) = channel();
        let stream = self.connection.stream().try_clone().unwrap();
        let begin = self.begin;
        let writer = std::thread::spawn(move || {
            // Its end, when the guest has closed, is no fault.
            let _ = write(stream, begin, stdin, &receiver);
        });
        let exit = loop {
            match self.receive().unwrap() {
                None => {
                    let (stdout, stderr) = self.received();
                    let _ = sender.send(Next::Ack(stdout, stderr));
                }
                Some(Output::StdinTaken(taken)) => drop(sender.send(Next::Taken(taken))),
                Some(Output::Exited(exit)) => break exit,
                Some(other) => panic!("{other:?}"),
            }
        };
        drop(sender);
        writer.join().unwrap();
        assert_eq!(self.received(), (exit.stdout, exit.stderr), "output is missing");
        Ended { exit, stdout: self.stdout, stderr: self.stderr }
    }
}

fn write(
    mut stream: UnixStream,
    begin: Attached,
    stdin: Option<Vec<u8>>,
    next: &Receiver<Next>,
) -> Result<(), ProtocolError> {
    let (mut sent, mut taken) = (begin.stdin as usize, begin.stdin_taken as usize);
    let mut open = stdin.is_some();
    let stdin = stdin.unwrap_or_default();
    loop {
        let limit = stdin.len().min(taken + STDIN_WINDOW);
        while sent < limit {
            let end = limit.min(sent + MAX_DATA);
            write_data(&mut stream, Channel::Stdin, sent as u64, &stdin[sent..end])?;
            sent = end;
        }
        if open && sent == stdin.len() {
            write_message(&mut stream, &Input::CloseStdin)?;
            open = false;
        }
        match next.recv() {
            Ok(Next::Taken(offset)) => taken = offset as usize,
            Ok(Next::Ack(stdout, stderr)) => {
                write_message(&mut stream, &Input::Ack { stdout, stderr })?;
            }
            Err(_) => return Ok(()),
        }
    }
}

/// A command with the `PATH` of the root.
pub(crate) fn command(args: &[&str]) -> ProcessSpec {
    ProcessSpec {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: vec!["PATH=/bin".to_owned()],
        ..ProcessSpec::default()
    }
}

pub(crate) fn shell(script: &str) -> ProcessSpec {
    command(&["sh", "-c", script])
}

fn greet(stream: UnixStream) -> Connection<UnixStream> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Connection::open(stream, &Hello::new("test")).unwrap()
}

fn cached(product: &str, hint: &str) -> PathBuf {
    let path = kernel()
        .ancestors()
        .find(|path| path.ends_with("kiln"))
        .expect("the kernel is in kiln's cache")
        .join(product);
    assert!(path.exists(), "no {}: run cargo xtask {hint}", path.display());
    path
}

fn initramfs() -> PathBuf {
    cached("guest-agent/current/initramfs.cpio", "guest-agent")
}

/// A file system made by `fill`.
fn erofs(directory: &Path, name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let tree = directory.join(name);
    fs::create_dir(&tree).unwrap();
    fill(&tree);
    let file = directory.join(format!("{name}.erofs"));
    let output =
        Command::new("mkfs.erofs").arg("--all-root").args([&file, &tree]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

fn fill_root(tree: &Path) {
    for directory in ["bin", "etc", "tmp", "home"] {
        fs::create_dir(tree.join(directory)).unwrap();
    }
    fs::set_permissions(tree.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy(cached("busybox/arm64/bin/busybox", "test"), tree.join("bin/busybox")).unwrap();
    for command in COMMANDS.split_whitespace() {
        symlink("busybox", tree.join("bin").join(command)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/false\n";
    fs::write(tree.join("etc/passwd"), passwd).unwrap();
    fs::write(tree.join("etc/group"), "root:x:0:\nadm:x:4:web\nweb:x:34:\n").unwrap();
    fs::write(tree.join("etc/script"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(tree.join("etc/script"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/passwd", tree.join("etc/absolute")).unwrap();
    symlink("../../../../etc/group", tree.join("etc/climbing")).unwrap();
    symlink("loop", tree.join("etc/loop")).unwrap();
}
