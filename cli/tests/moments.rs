//! A database that is written to is captured at random moments, again and again, each time to go on in a new machine.

mod common;

use std::time::{Duration, SystemTime};

use common::{Kiln, product, soak};

/// What the guest's clock may be apart from the host's.
const APART: Duration = Duration::from_millis(50);

/// Writes to redis, and reads back what it remembers itself, until a signal comes; then redis ends, starts again from its
/// append-only file, and has all of it.
const WRITER: &str = r#"
    use strict;
    use IO::Socket::INET;
    $| = 1;
    my $redis;
    sub start {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            exec qw(redis-server --save), "", qw(--appendonly yes --loglevel warning) or die;
        }
        my $nap = sub { select undef, undef, undef, 0.05 };
        $nap->() until $redis = IO::Socket::INET->new("127.0.0.1:6379");
        # It may be reading its file.
        $nap->() until ask("PING") eq "+PONG";
        return $pid;
    }
    sub ask {
        my $question = shift;
        print $redis "$question\r\n";
        my $answer = <$redis> // die "$question: redis is gone\n";
        # A string comes after its length.
        $answer = <$redis> if $answer =~ /^\$\d/;
        $answer =~ s/\r\n//;
        return $answer;
    }
    sub expect {
        my ($question, $expected) = @_;
        my $answer = ask($question);
        die "$question: $answer, not $expected\n" if $answer ne $expected;
    }
    my ($over, $count, %kept) = (0, 0);
    $SIG{USR1} = sub { $over = 1 };
    my $pid = start();
    print "writing\n";
    until ($over) {
        $count++;
        expect("INCR count", ":$count");
        my $key = "key" . int rand 500;
        $kept{$key} = "$count-" . "x" x rand 2000;
        expect("SET $key $kept{$key}", "+OK");
        my $other = (keys %kept)[0];
        expect("GET $other", $kept{$other});
    }
    print $redis "SHUTDOWN\r\n";
    waitpid $pid, 0;
    start();
    expect("GET count", $count);
    expect("GET $_", $kept{$_}) for keys %kept;
    print "whole ", scalar keys %kept, "\n";
"#;

/// The guest's clock, which programs see, is the host's.
fn check_clock(kiln: &Kiln, machine: &str) {
    let host = || SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let earliest = host() - APART;
    let told: u64 = kiln.text(&["exec", machine, "date", "+%s%N"]).parse().unwrap();
    let latest = host() + APART;
    let guest = Duration::from_nanos(told);
    assert!((earliest..=latest).contains(&guest), "{earliest:?} <= {guest:?} <= {latest:?}");
}

fn written_to(vcpus: &str, captures: usize) {
    let kiln = Kiln::new();
    let image = format!("oci-layout:{}:redis", product("test-images").join("layout").display());
    let shape = ["run", "-d", "--name", "life0", "--cpus", vcpus, "-m", "256m", &image];
    kiln.text(&[&shape[..], &["perl", "-e", WRITER]].concat());
    while !kiln.text(&["logs", "life0"]).contains("writing") {
        assert_eq!(
            kiln.text(&["ps", "-q"]).lines().count(),
            1,
            "{:?}",
            kiln.output(&["logs", "life0"])
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for life in 0..captures {
        let [name, next] = [life, life + 1].map(|life| format!("life{life}"));
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        std::thread::sleep(Duration::from_millis(u64::from(u16::from_le_bytes(random) % 400)));
        kiln.text(&["snapshot", "create", &name, &next]);
        // It stood still meanwhile.
        check_clock(&kiln, &name);
        kiln.text(&["rm", "--force", &name]);
        kiln.text(&["restore", "-d", "--name", &next, &next]);
        check_clock(&kiln, &next);
        kiln.text(&["snapshot", "rm", &next]);
    }
    let last = format!("life{captures}");
    kiln.text(&["kill", "--signal", "USR1", &last]);
    let status = kiln.text(&["wait", &last]);
    let logs = kiln.output(&["logs", &last]);
    let said = String::from_utf8_lossy(&logs.stdout);
    assert!(status == "0" && said.contains("whole "), "{status} {logs:?}");
}

/// How often each is captured.
fn captures() -> usize {
    if soak() { 50 } else { 3 }
}

#[test]
fn redis_on_one_vcpu_is_written_to() {
    written_to("1", captures());
}

#[test]
fn redis_on_two_vcpus_is_written_to() {
    written_to("2", captures());
}

#[test]
fn redis_on_four_vcpus_is_written_to() {
    written_to("4", captures());
}

#[test]
fn redis_on_eight_vcpus_is_written_to() {
    written_to("8", captures());
}
