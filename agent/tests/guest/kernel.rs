//! What the agent asks the kernel for: layers, limits, ports, the freezer, clock and randomness.

use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::{Clock, ExitStatus, FailureKind, MAX_LAYERS, ProtocolError, Reply, Request};

use crate::common::in_its_own_process;
use crate::host::{Guest, IDLE, MAIN, command, shell};

#[test]
fn as_many_layers_as_an_image_may_have() {
    in_its_own_process("kernel::as_many_layers_as_an_image_may_have", || {
        let guest = Guest::boot(MAX_LAYERS, |_| {});
        guest.start(&shell(IDLE));
        assert_eq!(guest.sh("cat /file1 /file126 /shared"), "1126126");
        assert_eq!(guest.sh("ls / | grep -c file"), "126\n");
        // Changes go above all of them.
        assert_eq!(
            guest.sh("echo new > /shared; rm /file1; cat /shared; ls / | grep -c file"),
            "new\n125\n"
        );
    });
}

#[test]
fn a_limit_of_memory_kills_and_is_told() {
    in_its_own_process("kernel::a_limit_of_memory_kills_and_is_told", || {
        let guest = Guest::boot(1, |config| config.memory_limit = Some(32 << 20));
        // The kernel is to choose the one that takes the memory.
        guest.start(&shell(&format!("echo -1000 > /proc/self/oom_score_adj; {IDLE}")));
        let ended = guest.exec(&command(&["tail", "-c", "100000000", "/dev/zero"]), b"").unwrap();
        assert_eq!(ended.exit.status, ExitStatus::Signaled(9));
        assert!(ended.exit.oom_killed);
        let ended = guest.exec(&shell("kill -9 $$"), b"").unwrap();
        assert!(!ended.exit.oom_killed, "this one was killed by itself");
        // A child's end is not that of another one that is killed later, and not its parent's.
        let child = "echo -1000 > /proc/self/oom_score_adj; \
                     (echo 0 > /proc/self/oom_score_adj; exec tail -c 100000000 /dev/zero); exit 3";
        let ended = guest.exec(&shell(child), b"").unwrap();
        assert_eq!((ended.exit.status.code(), ended.exit.oom_killed), (3, false));
        let ended = guest.exec(&shell("kill -9 $$"), b"").unwrap();
        assert!(!ended.exit.oom_killed, "this one was killed by itself, too");
        let Reply::Stats(stats) = guest.call(&Request::Stats).unwrap() else { panic!("no stats") };
        assert_eq!((stats.memory_limit, stats.oom_kills), (32 << 20, 2));
        assert!(stats.cpu_usec > 0 && stats.memory > 0 && stats.block_read > 0, "{stats:?}");
        // The workload as a whole did not get by.
        guest.call(&Request::Signal { id: MAIN, signal: 15 }).unwrap().done().unwrap();
        let Reply::Exited(exit) = guest.call(&Request::Wait { id: MAIN }).unwrap() else {
            panic!("no end");
        };
        assert_eq!((exit.status, exit.oom_killed), (ExitStatus::Exited(0), true));
    });
}

#[test]
fn ports_are_awaited_and_joined() {
    in_its_own_process("kernel::ports_are_awaited_and_joined", || {
        let guest = Guest::with(IDLE);
        let kind = |request: Request| match guest.call(&request) {
            Err(ProtocolError::Failed(failure)) => failure.kind,
            other => panic!("{other:?}"),
        };
        let wait = |timeout_ms| Request::AwaitListener { port: 8080, timeout_ms };
        assert_eq!(kind(wait(20)), FailureKind::TimedOut);
        assert_eq!(kind(Request::Connect { port: 8080 }), FailureKind::Refused);
        let id = guest.fresh_id();
        let spec = command(&["nc", "-l", "-p", "8080", "-e", "/bin/cat"]);
        guest.call(&Request::Exec { id, spec }).unwrap();
        guest.call(&wait(30_000)).unwrap().done().unwrap();
        let mut connection = guest.connect();
        connection.call(&Request::Connect { port: 8080 }).unwrap().done().unwrap();
        let mut stream = connection.into_stream();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
        let sent = bytes.clone();
        let mut writer = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        writer.join().unwrap();
        assert!(back == bytes, "{} of {} bytes", back.len(), bytes.len());
    });
}

#[test]
fn frozen_processes_stand_still() {
    in_its_own_process("kernel::frozen_processes_stand_still", || {
        let guest = Guest::with("i=0; while :; do i=$((i+1)); echo $i > /count; done");
        let count = || {
            let mut connection = guest.connect();
            let path = "/count".to_owned();
            connection.call(&Request::CopyOut { path, follow: false }).ok()?;
            let mut archive = Vec::new();
            while let agent::Frame::Data { bytes, .. } = connection.receive().unwrap() {
                archive.extend(bytes);
            }
            archive.get(512..540).map(<[u8]>::to_vec)
        };
        let begin = Instant::now();
        while count().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(30));
        }
        guest.call(&Request::Freeze).unwrap().done().unwrap();
        let frozen = count();
        assert_eq!(count(), frozen);
        guest.call(&Request::Thaw { clock: None, entropy: None }).unwrap().done().unwrap();
        let begin = Instant::now();
        while count() == frozen {
            assert!(begin.elapsed() < Duration::from_secs(30), "it does not go on");
        }
    });
}

#[test]
fn a_guest_has_the_time_before_it_goes_on() {
    in_its_own_process("kernel::a_guest_has_the_time_before_it_goes_on", || {
        let guest = Guest::with(IDLE);
        let seconds = || guest.sh("date +%s").trim().parse::<u64>().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(seconds().abs_diff(now) <= 30, "{} is not now", seconds());
        let later = 2_000_000_000_u64;
        let clock = |seconds: u64| Clock {
            unix_nanos: seconds * 1_000_000_000,
            counter: guest.machine.counter(),
        };
        let thaw = |length| {
            let entropy = Some(vec![1; length]);
            guest.call(&Request::Thaw { clock: Some(clock(later)), entropy })
        };
        for length in [0, 31, 513] {
            let refused = thaw(length);
            assert!(matches!(refused, Err(ProtocolError::Failed(_))), "{length}");
            assert!(seconds() < later, "what is refused changes nothing");
        }
        guest.call(&Request::Freeze).unwrap().done().unwrap();
        thaw(64).unwrap().done().unwrap();
        // Nothing would start in a frozen group.
        assert!((later..later + 60).contains(&seconds()));
        // A message that is late does not make the clock late.
        let begin = Instant::now();
        let early = clock(later + 1000);
        std::thread::sleep(Duration::from_secs(3));
        guest.call(&Request::SetClock(early)).unwrap().done().unwrap();
        let told = seconds();
        let latest = later + 1000 + begin.elapsed().as_secs() + 1;
        assert!((later + 1003..=latest).contains(&told), "{told}, at most {latest}");
    });
}
