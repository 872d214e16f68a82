//! Processes: users, surroundings, signals, terminals, ends.

use agent::{ExitStatus, FailureKind, ProcessSpec, Reply, Request, Rlimit, WindowSize};
use vmm::Outcome;

use crate::common::in_its_own_process;
use crate::host::{Guest, IDLE, MAIN, command, shell};

#[test]
fn a_process_is_what_it_was_asked_to_be() {
    in_its_own_process("processes::a_process_is_what_it_was_asked_to_be", || {
        let guest = Guest::with(IDLE);

        // Arguments and environment, nothing added but HOME.
        let ended = guest.exec(&command(&["printf", "%s|", "a b", "", "c"]), b"").unwrap();
        assert_eq!(ended.output(), "a b||c|");
        let ended = guest.exec(&command(&["env"]), b"").unwrap();
        assert_eq!(ended.output(), "PATH=/bin\nHOME=/root\n");

        // Users as the image knows them.
        let as_user = |user: &str| {
            let spec = ProcessSpec { user: user.to_owned(), ..shell("id; echo $HOME") };
            guest.exec(&spec, b"").unwrap().output()
        };
        assert_eq!(as_user(""), "uid=0(root) gid=0(root) groups=0(root)\n/root\n");
        assert_eq!(as_user("web"), "uid=33(web) gid=34(web) groups=4(adm),34(web)\n/srv\n");
        assert_eq!(as_user("33:4"), "uid=33(web) gid=4(adm) groups=4(adm)\n/srv\n");
        assert_eq!(as_user("1000"), "uid=1000 gid=0(root) groups=0(root)\n/\n");
        let spec = ProcessSpec { user: "nemo".to_owned(), ..command(&["true"]) };
        assert_eq!(guest.refusal(&spec).0, FailureKind::NoSuchUser);

        // A user's own stdio can be opened by name.
        let spec = ProcessSpec { user: "web".to_owned(), ..shell("echo x > /dev/stdout") };
        assert_eq!(guest.exec(&spec, b"").unwrap().output(), "x\n");

        // Working directory, made if missing.
        let spec = ProcessSpec { cwd: "/a/b".to_owned(), ..command(&["pwd"]) };
        assert_eq!(guest.exec(&spec, b"").unwrap().output(), "/a/b\n");
        let spec = ProcessSpec { cwd: "a".to_owned(), ..command(&["pwd"]) };
        assert_eq!(guest.refusal(&spec).0, FailureKind::Invalid);

        // Limits: Docker's default, and what was asked for.
        assert_eq!(guest.sh("ulimit -n"), "1048576\n");
        let limit = Rlimit { resource: "nofile".to_owned(), soft: 100, hard: 200 };
        let spec = ProcessSpec { rlimits: vec![limit.clone()], ..shell("ulimit -Sn; ulimit -Hn") };
        assert_eq!(guest.exec(&spec, b"").unwrap().output(), "100\n200\n");
        let limit = Rlimit { resource: "colour".to_owned(), ..limit };
        let spec = ProcessSpec { rlimits: vec![limit], ..command(&["true"]) };
        assert_eq!(guest.refusal(&spec).0, FailureKind::Invalid);

        // The surroundings of every container.
        assert_eq!(guest.sh("hostname; cat /etc/hostname"), "box\nbox\n");
        assert_eq!(guest.sh("grep -c box /etc/hosts"), "1\n");
        assert_eq!(guest.sh("cat /proc/self/cgroup"), "0::/\n");
        assert_eq!(guest.sh("stat -c %a /dev/null /dev/shm /tmp"), "666\n1777\n1777\n");
        assert_eq!(guest.sh("readlink /dev/fd"), "/proc/self/fd\n");
        assert_eq!(guest.sh("head -c 4 /dev/zero | od -An -tx1"), " 00 00 00 00\n");
        assert_eq!(guest.sh("ls -d /init /run/root 2>&1 | grep -c 'No such'"), "2\n");
        // Only the workload's processes are in sight, and the first is PID 1.
        assert_eq!(guest.sh("cat /proc/1/comm; ls -d /proc/2 2>&1 | wc -l"), "sh\n1\n");
    });
}

#[test]
fn ends_are_told_as_they_were() {
    in_its_own_process("processes::ends_are_told_as_they_were", || {
        let guest = Guest::with(IDLE);
        let end = |script: &str| guest.exec(&shell(script), b"").unwrap().exit.status;
        assert_eq!(end("exit 0"), ExitStatus::Exited(0));
        assert_eq!(end("exit 255"), ExitStatus::Exited(255));
        assert_eq!(end("kill -9 $$"), ExitStatus::Signaled(9));
        assert_eq!(end("kill -6 $$"), ExitStatus::Signaled(6));
        assert_eq!(end("kill -9 $$").code(), 137);

        let (kind, message) = guest.refusal(&command(&["nonsense"]));
        assert_eq!(kind, FailureKind::CommandNotFound);
        assert!(message.contains("executable file not found in $PATH"), "{message}");
        assert_eq!(guest.refusal(&command(&["/bin/nonsense"])).0, FailureKind::CommandNotFound);
        assert_eq!(guest.refusal(&command(&["/etc/script"])).0, FailureKind::CommandNotFound);
        for not_executable in ["/etc/passwd", "/etc"] {
            let (kind, _) = guest.refusal(&command(&[not_executable]));
            assert_eq!(kind, FailureKind::CommandNotExecutable, "{not_executable}");
        }
        assert_eq!(guest.refusal(&command(&[])).0, FailureKind::Invalid);

        // Orphans go to the workload's first process, as everywhere.
        let ended = guest.exec(&shell("(sleep 0.2; echo late) & echo soon"), b"").unwrap();
        assert!(ended.output().starts_with("soon\n"), "{}", ended.output());

        // A second workload, a known id, an unknown id.
        let again = guest.call(&Request::Run { id: 7, spec: command(&["true"]) });
        assert!(again.unwrap_err().to_string().contains("already"));
        let again = guest.call(&Request::Exec { id: MAIN, spec: command(&["true"]) });
        assert!(again.unwrap_err().to_string().contains("already"));
        assert!(guest.call(&Request::Wait { id: 4711 }).is_err());
        assert!(guest.call(&Request::Remove { id: MAIN }).is_err());

        // When the workload ends, everything in it ends, and nothing can be started any more.
        let id = guest.fresh_id();
        guest.call(&Request::Exec { id, spec: command(&["sleep", "1000"]) }).unwrap();
        guest.call(&Request::Signal { id: MAIN, signal: 15 }).unwrap().done().unwrap();
        let Reply::Exited(exit) = guest.call(&Request::Wait { id: MAIN }).unwrap() else {
            panic!("no end");
        };
        assert_eq!(exit.status, ExitStatus::Exited(0));
        let Reply::Exited(exit) = guest.call(&Request::Wait { id }).unwrap() else {
            panic!("no end");
        };
        assert_eq!(exit.status, ExitStatus::Signaled(9));
        assert_eq!(guest.refusal(&command(&["true"])).0, FailureKind::NotRunning);
    });
}

#[test]
fn a_terminal_is_one() {
    in_its_own_process("processes::a_terminal_is_one", || {
        let guest = Guest::with(IDLE);
        let size = WindowSize { rows: 33, columns: 99 };
        let on_terminal = |script: &str| ProcessSpec { tty: Some(size), ..shell(script) };
        let ended = guest.exec(&on_terminal("tty; stty size; echo ok > /dev/tty"), b"").unwrap();
        assert_eq!(ended.output(), "/dev/pts/0\r\n33 99\r\nok\r\n");

        // A new size reaches the process as SIGWINCH; what is typed is echoed; ^C is a signal.
        let id = guest.fresh_id();
        let script = "trap 'stty size' WINCH; trap 'echo bye; exit 3' INT; echo up; \
                      while :; do sleep 0.05; done";
        let spec = ProcessSpec { stdin: true, ..on_terminal(script) };
        guest.call(&Request::Exec { id, spec }).unwrap();
        let mut attachment = guest.attach(id, None);
        assert!(attachment.begin.tty);
        let wait_for = |attachment: &mut crate::host::Attachment, text: &str| {
            while !String::from_utf8_lossy(&attachment.stdout).contains(text) {
                attachment.receive().unwrap();
            }
        };
        wait_for(&mut attachment, "up");
        let size = WindowSize { rows: 10, columns: 20 };
        attachment.connection.send_message(&agent::Input::Resize(size)).unwrap();
        wait_for(&mut attachment, "10 20");
        attachment.connection.send_data(agent::Channel::Stdin, 0, b"\x03").unwrap();
        wait_for(&mut attachment, "^C");
        let ended = attachment.finish(None);
        assert!(ended.output().ends_with("bye\r\n"));
        assert_eq!(ended.exit.status, ExitStatus::Exited(3));
    });
}

#[test]
fn fifty_at_once_and_many_in_a_row() {
    in_its_own_process("processes::fifty_at_once_and_many_in_a_row", || {
        let guest = Guest::with(IDLE);
        std::thread::scope(|scope| {
            for number in 0..50 {
                let guest = &guest;
                scope.spawn(move || {
                    assert_eq!(guest.sh(&format!("echo {number}")), format!("{number}\n"));
                });
            }
        });
        for number in 0..if crate::common::soak() { 1000 } else { 50 } {
            let ended = guest.exec(&command(&["false"]), b"").unwrap();
            assert_eq!(ended.exit.status, ExitStatus::Exited(1), "{number}");
        }
        // Nothing is left of them: no process, no zombie, no thread of the agent's.
        let Reply::Processes(left) = guest.call(&Request::List).unwrap() else { panic!("no list") };
        assert_eq!(left.len(), 1);
        let Reply::Stats(stats) = guest.call(&Request::Stats).unwrap() else { panic!("no stats") };
        assert!(stats.pids <= 2, "{stats:?}");
    });
}

/// Whoever listens to a command may go at any time: it runs on, talks to nobody, reads no more, and leaves nothing.
#[test]
fn a_command_goes_on_when_nobody_listens_any_more() {
    in_its_own_process("processes::a_command_goes_on_when_nobody_listens_any_more", || {
        let guest = Guest::with(IDLE);
        let gone = |id| {
            let Reply::Processes(left) = guest.call(&Request::List).unwrap() else { panic!() };
            !left.iter().any(|process| process.id == id)
        };
        // More than the window, before and after.
        let talks = "echo up; cat; seq 1 90000; echo over > /tmp/over";
        let (id, other) = (guest.fresh_id(), guest.fresh_id());
        let spec = ProcessSpec { stdin: true, detaches: true, ..shell(talks) };
        let mut starter = guest.connect();
        starter.call(&Request::Exec { id, spec }).unwrap();
        let mut attachment = guest.attach(id, None);
        drop(starter);
        attachment.receive().unwrap();
        // Taken over is not left.
        let second = guest.attach(id, None);
        while attachment.receive().is_ok() {}
        assert!(!gone(id));
        drop(second);
        guest.sh("until test -e /tmp/over; do sleep 0.05; done");
        while !gone(id) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // One that has ended, and whose output nobody took.
        let spec = ProcessSpec { detaches: true, ..shell("echo up") };
        let mut starter = guest.connect();
        starter.call(&Request::Exec { id: other, spec }).unwrap();
        let Reply::Exited(_) = guest.call(&Request::Wait { id: other }).unwrap() else { panic!() };
        assert!(!gone(other));
        drop(guest.attach(other, None));
        while !gone(other) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // One whose starter goes before anybody has attached.
        let id = guest.fresh_id();
        let spec = ProcessSpec { detaches: true, ..shell("seq 1 90000; rm /tmp/over") };
        guest.call(&Request::Exec { id, spec }).unwrap();
        while !gone(id) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        guest.sh("test ! -e /tmp/over");
    });
}

#[test]
fn a_stop_is_polite_first() {
    in_its_own_process("processes::a_stop_is_polite_first", || {
        let guest =
            Guest::with("trap 'echo stopping; exit 7' TERM; echo up; while :; do sleep 0.05; done");
        let mut attachment = guest.attach(MAIN, None);
        while attachment.stdout.is_empty() {
            attachment.receive().unwrap();
        }
        let main = std::thread::spawn(move || attachment.finish(None));
        let shutdown = Request::Shutdown { signal: 15, grace_ms: 30_000 };
        guest.call(&shutdown).unwrap().done().unwrap();
        assert_eq!(guest.machine.wait(), Outcome::PoweredOff, "{}", guest.console.text());
        let ended = main.join().unwrap();
        assert_eq!((ended.output().as_str(), ended.exit.status.code()), ("up\nstopping\n", 7));
    });
}

#[test]
fn a_workload_that_does_not_stop_is_killed() {
    in_its_own_process("processes::a_workload_that_does_not_stop_is_killed", || {
        // PID 1 of a namespace ignores what it does not handle (pid_namespaces(7)).
        let guest = Guest::with("while :; do sleep 0.05; done");
        let shutdown = Request::Shutdown { signal: 15, grace_ms: 200 };
        guest.call(&shutdown).unwrap().done().unwrap();
        assert_eq!(guest.machine.wait(), Outcome::PoweredOff, "{}", guest.console.text());
    });
}

#[test]
fn the_power_button_stops_the_workload_with_its_signal() {
    in_its_own_process("processes::the_power_button_stops_the_workload_with_its_signal", || {
        let guest = Guest::boot(1, |config| config.stop_signal = Some(10));
        guest.start(&shell("trap 'echo usr1; exit 0' USR1; echo up; while :; do sleep 0.05; done"));
        let mut attachment = guest.attach(MAIN, None);
        while attachment.stdout.is_empty() {
            attachment.receive().unwrap();
        }
        let main = std::thread::spawn(move || attachment.finish(None));
        guest.machine.press_power_button();
        assert_eq!(guest.machine.wait(), Outcome::PoweredOff, "{}", guest.console.text());
        assert_eq!(main.join().unwrap().output(), "up\nusr1\n");
    });
}
