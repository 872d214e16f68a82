//! Stdio: nothing lost, nothing reordered, nothing held without bound.

use agent::{ExitStatus, Input, OUTPUT_WINDOW, Output, ProcessSpec, Request};

use crate::common::{in_its_own_process, soak};
use crate::host::{Guest, IDLE, command, shell};

/// Bytes that do not repeat soon (a linear congruential generator of Knuth's).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

#[test]
fn many_bytes_pass_both_ways() {
    in_its_own_process("streams::many_bytes_pass_both_ways", || {
        let guest = Guest::with(IDLE);
        let bytes = noise(if soak() { 100_000_000 } else { 10_000_000 });
        let ended = guest.exec(&command(&["cat"]), &bytes).unwrap();
        assert!(ended.stdout == bytes, "{} of {} bytes", ended.stdout.len(), bytes.len());
        assert_eq!(ended.exit.status, ExitStatus::Exited(0));

        // Both streams, each in order.
        let script = "i=0; while [ $i -lt 500 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
        let ended = guest.exec(&shell(script), b"").unwrap();
        let expected = |letter| (0..500).map(|i| format!("{letter}{i}\n")).collect::<String>();
        assert_eq!((ended.output(), ended.error()), (expected('o'), expected('e')));

        // A process that does not read its input is not waited for.
        let ended = guest.exec(&command(&["head", "-c", "1"]), &noise(1_000_000)).unwrap();
        assert_eq!(ended.stdout.len(), 1);
        // Input that ends at once.
        let id = guest.fresh_id();
        let spec = ProcessSpec { stdin: true, ..command(&["cat"]) };
        guest.call(&Request::Exec { id, spec }).unwrap();
        let ended = guest.attach(id, None).finish(Some(Vec::new()));
        assert_eq!((ended.exit.status, ended.stdout.len()), (ExitStatus::Exited(0), 0));
    });
}

#[test]
fn a_lost_connection_loses_no_output() {
    in_its_own_process("streams::a_lost_connection_loses_no_output", || {
        let guest = Guest::with(IDLE);
        let id = guest.fresh_id();
        guest.call(&Request::Exec { id, spec: command(&["seq", "1", "200000"]) }).unwrap();
        let mut whole: Vec<u8> = Vec::new();
        let mut connections = 0;
        let exit = 'read: loop {
            // Without an offset the guest goes on after what was acknowledged.
            let at = (connections % 2 == 0).then_some(whole.len() as u64);
            connections += 1;
            let mut attachment = guest.attach(id, at);
            whole.truncate(usize::try_from(attachment.begin.stdout).unwrap());
            let before = whole.len();
            loop {
                if let Some(Output::Exited(exit)) = attachment.receive().unwrap() {
                    whole.extend(&attachment.stdout);
                    break 'read exit;
                }
                let stdout = (before + attachment.stdout.len() / 2) as u64;
                let ack = Input::Ack { stdout, stderr: 0 };
                attachment.connection.send_message(&ack).unwrap();
                if attachment.stdout.len() > 150_000 {
                    whole.extend(&attachment.stdout);
                    break;
                }
            }
        };
        let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
        assert!(connections > 3, "{connections}");
        assert!(whole == expected.as_bytes());
        assert_eq!(exit.status, ExitStatus::Exited(0));
        assert_eq!(exit.stdout, expected.len() as u64);
    });
}

#[test]
fn a_process_that_nobody_reads_waits() {
    in_its_own_process("streams::a_process_that_nobody_reads_waits", || {
        let guest = Guest::with(IDLE);
        let id = guest.fresh_id();
        let spec = command(&["head", "-c", "2000000", "/dev/zero"]);
        guest.call(&Request::Exec { id, spec }).unwrap();
        // Unread, it gets no further than the window: it still runs, however long one waits.
        let mut attachment = guest.attach(id, None);
        while attachment.stdout.len() < OUTPUT_WINDOW {
            assert_eq!(attachment.receive().unwrap(), None);
        }
        assert_eq!(attachment.stdout.len(), OUTPUT_WINDOW);
        assert_eq!(guest.sh("ps | grep -c '[h]ead'"), "1\n");
        // A second host takes over; the first is told by the end of its connection.
        let ended = guest.attach(id, Some(0)).finish(None);
        assert_eq!(ended.stdout.len(), 2_000_000);
        assert!(attachment.receive().is_err());
        // What was acknowledged is gone.
        let gone = guest.call(&Request::Attach { id, stdout: Some(0), stderr: None });
        assert!(gone.unwrap_err().to_string().contains("not among them"));
    });
}
