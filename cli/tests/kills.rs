//! SIGKILL at random moments: to the command, the machine's process, or a client. After each, machines can be listed and
//! removed, a new one runs, and nothing is left of the old one: no process, socket or file.

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{Kiln, image, soak};

/// How long anything may take that needs a moment.
const LIMIT: Duration = Duration::from_secs(60);

/// What is restored.
const SNAPSHOT: &str = "sleeper";

/// A linear congruential generator (Knuth, MMIX); its seed is told when something fails.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn pause(&mut self, milliseconds: u64) {
        std::thread::sleep(Duration::from_micros(self.below(milliseconds * 1000)));
    }
}

struct Test {
    kiln: Kiln,
    image: String,
    /// Where kiln puts what is to be temporary.
    temporary: tempfile::TempDir,
    random: Random,
}

impl Test {
    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.kiln.command(args);
        command.env("TMPDIR", self.temporary.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn start(&self) {
        let flags = ["run", "-d", "--cpus", "1", "-m", "128m", "--name", "box"];
        self.kiln.text(&[&flags[..], &[&self.image, "sleep", "100000"]].concat());
    }

    /// Kills a command after a random time of at most so many milliseconds.
    fn kill(&mut self, mut child: Child, milliseconds: u64) {
        self.random.pause(milliseconds);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The processes that belong to this home, by environ(5) of proc(5).
    fn processes(&self) -> Vec<u32> {
        let mark = format!("KILN_HOME={}", self.kiln.home().display());
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok())
        });
        let ours = |pid: &u32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        };
        pids.filter(ours).collect()
    }

    /// One of these processes is a machine's.
    fn machine_process(&self) -> Option<u32> {
        let is_machine = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|&byte| byte == 0).nth(1) == Some(b"machine-process")
        };
        self.processes().into_iter().find(is_machine)
    }

    /// All paths below the home and the temporary directory.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut all = BTreeSet::new();
        for root in [&*self.kiln.home(), self.temporary.path()] {
            collect(root, &mut all);
        }
        all
    }

    /// Waits for a machine's process, then a random time, and kills it; `child` started it.
    fn kill_machine(&mut self, child: &mut Child, milliseconds: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.machine_process().is_none() && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "no machine begins");
        }
        self.random.pause(milliseconds);
        self.machine_process().into_iter().for_each(signal);
    }

    /// What one round does: starts something and kills something.
    fn disturb(&mut self, round: u32) -> &'static str {
        let choice = self.random.below(3) as usize;
        let flags: &[&str] = [&["--rm"][..], &["-i"], &["-d"]][choice];
        let flood = "while :; do echo flood; done";
        let run = |flags: &[&str]| {
            let small = ["--cpus", "1", "-m", "128m", &self.image, "sh", "-c", flood];
            self.spawn(&[&["run"], flags, &small].concat())
        };
        match round % 9 {
            0 => {
                let child = run(&["-d"]);
                self.kill(child, 600);
                "the command that starts a machine in the background"
            }
            1 => {
                let child = run(flags);
                self.kill(child, 1000);
                "the command that starts a machine"
            }
            2 => {
                let mut child = run(flags);
                self.kill_machine(&mut child, 800);
                ends(&mut child);
                "a machine's process"
            }
            3 => {
                let child = run(flags);
                self.random.pause(1000);
                let machine = self.machine_process();
                self.kill(child, 1);
                machine.into_iter().for_each(signal);
                "the command and the machine's process at once"
            }
            4 => {
                self.start();
                let clients: [&[&str]; 6] = [
                    &["exec", "box", "sh", "-c", flood],
                    &["exec", "-i", "box", "sleep", "100000"],
                    &["logs", "-f", "box"],
                    &["wait", "box"],
                    &["cp", "box:/bin", "-"],
                    &["stats", "box"],
                ];
                for client in clients {
                    let child = self.spawn(client);
                    self.kill(child, 200);
                }
                let echoed = self.kiln.text(&["exec", "box", "echo", "alive"]);
                assert_eq!(echoed, "alive", "a machine does not depend on its clients");
                "the clients of a machine"
            }
            5 => {
                self.start();
                let enders: [&[&str]; 3] =
                    [&["rm", "-f", "box"], &["stop", "-t", "1", "box"], &["kill", "box"]];
                let child = self.spawn(enders[choice]);
                self.kill(child, 100);
                "the command that ends a machine"
            }
            6 => {
                let child = self.spawn(&["restore", "-d", SNAPSHOT]);
                self.kill(child, 100);
                "the command that restores a machine in the background"
            }
            7 => {
                let flags: &[&str] = [&["--rm"][..], &[], &["-d"]][choice];
                let mut child = self.spawn(&[&["restore"], flags, &[SNAPSHOT]].concat());
                self.kill_machine(&mut child, 100);
                ends(&mut child);
                "a restored machine's process"
            }
            _ => {
                self.start();
                let clients: [&[&str]; 3] =
                    [&["exec", "box", "sh", "-c", flood], &["wait", "box"], &["logs", "-f", "box"]];
                let mut child = self.spawn(clients[choice]);
                self.kill_machine(&mut child, 200);
                ends(&mut child);
                "the machine's process below its client"
            }
        }
    }

    /// Everything works, and nothing is left.
    fn recover(&self, before: &BTreeSet<PathBuf>, what: &str) {
        self.kiln.text(&["ps"]);
        let deadline = Instant::now() + LIMIT;
        loop {
            let ids = self.kiln.text(&["ps", "-aq"]);
            if ids.is_empty() {
                break;
            }
            for id in ids.lines() {
                let removed = self.kiln.output(&["rm", "-f", id]);
                // One that removes itself may be gone meanwhile.
                let gone = !self.kiln.text(&["ps", "-aq"]).contains(id);
                assert!(removed.status.success() || gone, "{what}: {removed:?}");
            }
            assert!(Instant::now() < deadline, "{what}: {ids} cannot be removed");
        }
        let flags = ["run", "--rm", "--cpus", "1", "-m", "128m", "--name", "box"];
        let said = self.kiln.text(&[&flags[..], &[&self.image, "echo", "well"]].concat());
        assert_eq!(said, "well", "{what}");
        loop {
            let (processes, files) = (self.processes(), self.files());
            let left: Vec<_> = files.symmetric_difference(before).collect();
            if processes.is_empty() && left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {processes:?} {left:?} are left");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn signal(pid: u32) {
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Waits for the end of a command whose machine is gone.
fn ends(child: &mut Child) {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("a command does not see that its machine is gone");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn collect(directory: &Path, all: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), all);
        }
        all.insert(entry.path());
    }
}

#[test]
fn whatever_is_killed_leaves_nothing() {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let mut test = Test {
        kiln: Kiln::new(),
        image: image(),
        temporary: tempfile::tempdir().unwrap(),
        random: Random(seed),
    };
    let bake = ["bake", "--ready", "after:100ms", "-m", "128m", "-o", SNAPSHOT];
    test.kiln.text(&[&bake[..], &[&test.image, "sleep", "100000"]].concat());
    let before = test.files();
    for round in 0..if soak() { 108 } else { 18 } {
        let what = test.disturb(round);
        println!("round {round}: {what}");
        test.recover(&before, &format!("round {round}, seed {seed}, {what}"));
    }
}
