//! `-t`: docs.docker.com/reference/cli/docker/container/run, "Allocate a pseudo-TTY", "Detached mode" and
//! "Override the detach sequence".

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::{common::Kiln, images::Images};

/// How long anything on a terminal may take.
const LIMIT: Duration = Duration::from_secs(60);

/// kiln on a terminal of its own.
struct Terminal {
    controller: Option<File>,
    /// The side of kiln, to look at its modes.
    line: OwnedFd,
    seen: String,
    kiln: Child,
}

impl Terminal {
    fn start(kiln: &Kiln, size: (u16, u16), args: &[&str]) -> Self {
        let controller =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line: OwnedFd = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let controller = File::from(controller);
        set_size(&controller, size);
        // As a login shell would: a session whose terminal this is.
        let plain = kiln.command(args);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let end = || Stdio::from(line.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(command);
        Self { controller: Some(controller), line, seen: String::new(), kiln: child }
    }

    fn controller(&mut self) -> &mut File {
        self.controller.as_mut().expect("the terminal is still there")
    }

    /// Reads what is on the screen, or waits a moment for it; false once nobody can write to it any more.
    fn look(&mut self) -> bool {
        let controller = self.controller();
        let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let mut fds = [PollFd::new(&*controller, PollFlags::IN)];
        if poll(&mut fds, Some(&moment)).unwrap() == 0 {
            return true;
        }
        let mut bytes = [0; 4096];
        let count = controller.read(&mut bytes).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }

    /// Waits until this is on the screen, behind what was waited for before.
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            self.look();
        }
        panic!("{text:?} is not on the screen: {:?}", self.seen);
    }

    fn type_in(&mut self, text: &str) {
        self.controller().write_all(text.as_bytes()).unwrap();
    }

    fn resize(&mut self, size: (u16, u16)) {
        set_size(self.controller(), size);
    }

    fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.kiln.try_wait().unwrap() {
                return status.code();
            }
            match self.controller {
                Some(_) => drop(self.look()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        panic!("kiln does not end: {:?}", self.seen);
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        !modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.kiln.kill();
        let _ = self.kiln.wait();
    }
}

fn set_size(controller: &File, (rows, columns): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(controller, size).unwrap();
}

const SHELL: &str = "PS1='# ' exec sh";

#[test]
fn a_session_on_a_terminal() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let args = ["run", "--rm", "-it", "--name", "term", &image, "sh", "-c", SHELL];
    let mut terminal = Terminal::start(&kiln, (31, 97), &args);
    terminal.expect("# ");
    assert!(terminal.is_raw());
    // The size is the user's, at the start and when it changes.
    terminal.type_in("stty size\r");
    terminal.expect("31 97\r\n");
    let told =
        "sh -c \"trap 'stty size; exit' WINCH; echo re''ady; while :; do sleep 0.05; done\"\r";
    terminal.type_in(told);
    terminal.expect("ready\r\n");
    terminal.resize((50, 132));
    terminal.expect("50 132\r\n");
    // Control-C is the guest's, not kiln's.
    terminal.type_in("sleep 1000; echo int\"\"errupted $?\r");
    terminal.expect("# ");
    std::thread::sleep(Duration::from_millis(200));
    terminal.type_in("\x03");
    terminal.expect("^C");
    terminal.type_in("\recho st\"\"ill here\r");
    terminal.expect("still here\r\n");
    // A second command on a terminal of its own, with a size of its own.
    let mut other = Terminal::start(&kiln, (11, 22), &["exec", "-it", "term", "sh", "-c", SHELL]);
    other.expect("# ");
    other.type_in("stty size; tty\r");
    other.expect("11 22\r\n/dev/pts/1\r\n");
    other.resize((12, 23));
    other.type_in("sleep 0.2; stty size\r");
    other.expect("12 23\r\n");
    other.type_in("exit 4\r");
    assert_eq!(other.end(), Some(4));
    assert!(!other.is_raw(), "the terminal is as it was");
    // Control-D ends the shell, and its status is kiln's.
    terminal.type_in("sh -c 'exit 3'\r\x04");
    assert_eq!(terminal.end(), Some(3));
    assert!(!terminal.is_raw(), "the terminal is as it was");
    assert_eq!(kiln.text(&["ps", "-aq"]), "");
}

#[test]
fn the_detach_keys_leave_it_running() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let args = ["run", "-it", "--name", "term", &image, "sh", "-c", SHELL];
    let mut terminal = Terminal::start(&kiln, (24, 80), &args);
    terminal.expect("# ");
    terminal.type_in("\x10\x11");
    assert_eq!(terminal.end(), Some(0));
    assert!(!terminal.is_raw());
    assert_eq!(kiln.text(&["exec", "term", "cat", "/proc/1/comm"]), "sh");
    // Without the second key, the first one is for the process.
    let mut other = Terminal::start(
        &kiln,
        (24, 80),
        &["exec", "-it", "term", "sh", "-c", "stty raw -echo; echo up; head -c 2 | od -An -tx1"],
    );
    other.expect("up");
    other.type_in("\x10x");
    other.expect("10 78");
    assert_eq!(other.end(), Some(0));
    kiln.text(&["rm", "-f", "term"]);
}

/// A terminal that vanishes takes its command with it; the machine goes on.
#[test]
fn a_terminal_may_vanish() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let args = [
        "run",
        "-it",
        "--name",
        "term",
        &image,
        "sh",
        "-c",
        "trap '' HUP; while :; do echo 'still here'; sleep 0.1; done",
    ];
    let mut terminal = Terminal::start(&kiln, (24, 80), &args);
    terminal.expect("still here");
    let mut command =
        Terminal::start(&kiln, (24, 80), &["exec", "-it", "term", "sh", "-c", "echo up; cat"]);
    command.expect("up");
    for mut gone in [terminal, command] {
        gone.controller = None;
        gone.end();
    }
    assert_eq!(kiln.text(&["exec", "term", "cat", "/proc/1/comm"]), "sh");
    assert_eq!(kiln.text(&["rm", "-f", "term"]), "term");
}

/// Whoever cannot type must be able to interrupt: "Interactive", same page.
#[test]
fn without_standard_input_the_terminal_is_the_users() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let args = ["run", "-t", "--name", "term", &image, "sh", "-c", "echo up; exec sleep 1000"];
    let mut terminal = Terminal::start(&kiln, (24, 80), &args);
    terminal.expect("up");
    assert!(!terminal.is_raw());
    terminal.type_in("\x03");
    // It died of the signal.
    assert_eq!(terminal.end(), None);
    assert_eq!(kiln.text(&["exec", "term", "cat", "/proc/1/comm"]), "sleep");
    kiln.text(&["rm", "-f", "term"]);
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let args = ["run", "-it", "--name", "term", &image, "sh", "-c", SHELL];
    let mut first = Terminal::start(&kiln, (24, 80), &args);
    first.expect("# ");
    for signal in ["-TERM", "-INT", "-HUP"] {
        let mut terminal =
            Terminal::start(&kiln, (24, 80), &["exec", "-it", "term", "sh", "-c", SHELL]);
        terminal.expect("# ");
        assert!(terminal.is_raw());
        let pid = terminal.kiln.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(terminal.end(), None, "it died of the signal");
        assert!(!terminal.is_raw());
    }
    // What is typed before the detach keys is still the process's.
    first.type_in("echo typed > /typed\r\x10\x11");
    assert_eq!(first.end(), Some(0));
    assert!(!first.is_raw());
    let look = "until test -s /typed; do sleep 0.05; done; cat /typed";
    assert_eq!(kiln.text(&["exec", "term", "sh", "-c", look]), "typed");
    kiln.text(&["rm", "-f", "term"]);
}
