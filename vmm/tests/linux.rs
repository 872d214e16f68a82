//! Linux on whole machines: it boots, it sees what it should, and every end is the documented one.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{config, in_its_own_process, machine, soak, threads_left};
use vmm::{Error, OnReset, Outcome};

/// Boots with `vcpus` and checks what init reports.
fn boots(vcpus: u32) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (machine, console) = machine(&config("report", vcpus));
    let earliest = now();
    machine.run().unwrap();
    console.wait_for("kiln: time", 1);
    let latest = now();
    assert_eq!(machine.wait(), Outcome::PoweredOff, "{}", console.text());
    drop(machine);
    assert_eq!(threads_left(), Vec::<String>::new());
    let text = console.text();
    assert_eq!(console.values("nproc"), [vcpus.to_string()], "{text}");
    for device in ["pl011", "rtc", "gpio", "hwrng", "power-button"] {
        assert_eq!(console.values(device), ["present"], "{device}\n{text}");
    }
    // The entropy device (virtio 1.2, section 5).
    assert!(console.values("virtio").contains(&"4".to_owned()), "{text}");
    let guest: u64 = console.values("time")[0].parse().unwrap();
    // The clock tells seconds.
    assert!((earliest - 1..=latest + 1).contains(&guest), "{earliest} <= {guest} <= {latest}");
}

macro_rules! boots_on {
    ($($name:ident: $vcpus:literal;)*) => {$(
        #[test]
        fn $name() {
            in_its_own_process(stringify!($name), || boots($vcpus));
        }
    )*};
}

boots_on! {
    boots_on_1_vcpu: 1;
    boots_on_2_vcpus: 2;
    boots_on_4_vcpus: 4;
    boots_on_8_vcpus: 8;
    boots_on_32_vcpus: 32;
}

#[test]
fn every_vcpu_works() {
    in_its_own_process("every_vcpu_works", || {
        let (machine, console) = machine(&config("roam", 4));
        machine.run().unwrap();
        assert_eq!(machine.wait(), Outcome::PoweredOff);
        drop(machine);
        assert_eq!(console.values("visited"), ["4"], "{}", console.text());
    });
}

#[test]
fn a_vcpu_goes_off_and_on_again() {
    in_its_own_process("a_vcpu_goes_off_and_on_again", || {
        let (machine, console) = machine(&config("hotplug", 2));
        machine.run().unwrap();
        assert_eq!(machine.wait(), Outcome::PoweredOff);
        drop(machine);
        let text = console.text();
        assert_eq!(console.values("cpu1"), ["offline ok", "online ok"].repeat(3), "{text}");
        assert_eq!(console.values("nproc"), ["1", "2"].repeat(3), "{text}");
    });
}

#[test]
fn a_reboot_starts_the_guest_again() {
    in_its_own_process("a_reboot_starts_the_guest_again", || {
        let (machine, console) = machine(&config("reboot", 2));
        std::thread::scope(|scope| {
            let end = scope.spawn(|| machine.wait());
            machine.run().unwrap();
            console.wait_for("kiln: init reboot", 3);
            machine.stop();
            assert_eq!(end.join().unwrap(), Outcome::Stopped);
        });
    });
}

#[test]
fn a_reboot_can_end_the_machine() {
    in_its_own_process("a_reboot_can_end_the_machine", || {
        let mut config = config("reboot", 1);
        config.on_reset = OnReset::End;
        let (machine, _console) = machine(&config);
        machine.run().unwrap();
        assert_eq!(machine.wait(), Outcome::Reset);
        assert!(matches!(machine.run(), Err(Error::Ended(Outcome::Reset))));
    });
}

#[test]
fn a_panic_resets_when_the_command_line_says_so() {
    in_its_own_process("a_panic_resets_when_the_command_line_says_so", || {
        let mut config = config("panic", 1);
        config.command_line.push_str(" panic=-1");
        config.on_reset = OnReset::End;
        let (machine, console) = machine(&config);
        machine.run().unwrap();
        assert_eq!(machine.wait(), Outcome::Reset);
        drop(machine);
        assert!(console.text().contains("Kernel panic - not syncing"), "{}", console.text());
    });
}

#[test]
fn a_panicked_guest_stays_until_it_is_stopped() {
    in_its_own_process("a_panicked_guest_stays_until_it_is_stopped", || {
        let (machine, console) = machine(&config("panic", 1));
        machine.run().unwrap();
        console.wait_for("end Kernel panic", 1);
        assert_eq!(machine.outcome(), None);
        assert_eq!(machine.shut_down(Duration::from_millis(200)), Outcome::Stopped);
    });
}

#[test]
fn the_power_button_is_heard() {
    in_its_own_process("the_power_button_is_heard", || {
        let (machine, console) = machine(&config("button", 1));
        machine.run().unwrap();
        console.wait_for("waiting for the power button", 1);
        assert_eq!(machine.shut_down(Duration::from_secs(60)), Outcome::PoweredOff);
        drop(machine);
        assert!(console.text().contains("kiln: power button"), "{}", console.text());
    });
}

#[test]
fn a_forced_stop_needs_nobodys_help() {
    in_its_own_process("a_forced_stop_needs_nobodys_help", || {
        let (machine, console) = machine(&config("idle", 4));
        machine.run().unwrap();
        console.wait_for("kiln: init idle", 1);
        machine.stop();
        assert_eq!(machine.wait(), Outcome::Stopped);
        drop(machine);
        assert_eq!(threads_left(), Vec::<String>::new());
    });
}

#[test]
fn a_pause_takes_no_time_of_the_guests() {
    in_its_own_process("a_pause_takes_no_time_of_the_guests", || {
        let (machine, console) = machine(&config("tick", 2));
        machine.run().unwrap();
        console.wait_for("kiln: tick", 3);
        let paused = machine.pause().unwrap();
        let before = console.values("tick").len();
        let pause = Duration::from_secs(3);
        std::thread::sleep(pause);
        paused.resume().unwrap();
        console.wait_for("kiln: tick", before + 3);
        machine.stop();
        machine.wait();
        drop(machine);
        let ticks: Vec<u128> =
            console.values("tick").iter().map(|tick| tick.parse().unwrap()).collect();
        // The ticks around the pause are nearer than the pause was long.
        for pair in ticks.windows(2) {
            assert!(pair[1] - pair[0] < pause.as_millis(), "{ticks:?}");
        }
    });
}

#[test]
fn what_is_typed_arrives() {
    in_its_own_process("what_is_typed_arrives", || {
        let (machine, console) = machine(&config("echo", 1));
        machine.run().unwrap();
        console.wait_for("kiln: type", 1);
        // Longer than the receive FIFO.
        let line = "x".repeat(200);
        assert_eq!(machine.serial_input(format!("{line}\rquit\r").as_bytes()), 206);
        assert_eq!(machine.wait(), Outcome::PoweredOff);
        drop(machine);
        assert_eq!(console.values("typed"), [line.as_str(), "quit"], "{}", console.text());
    });
}

#[test]
fn many_boots_in_a_row_do_not_hang() {
    in_its_own_process("many_boots_in_a_row_do_not_hang", || {
        for _ in 0..if soak() { 100 } else { 10 } {
            let (machine, console) = machine(&config("roam", 2));
            machine.run().unwrap();
            assert_eq!(machine.wait(), Outcome::PoweredOff);
            drop(machine);
            assert_eq!(console.values("visited"), ["2"], "{}", console.text());
        }
    });
}

/// User and system time of this process (proc(5), fields 14 and 15 of `stat`; 100 a second).
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The command in field 2 is in parentheses.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_guest_leaves_the_host_alone() {
    in_its_own_process("an_idle_guest_leaves_the_host_alone", || {
        let (machine, console) = machine(&config("idle", 4));
        machine.run().unwrap();
        console.wait_for("kiln: init idle", 1);
        // The kernel has a little left to do after init starts.
        std::thread::sleep(Duration::from_secs(3));
        let before = cpu_time();
        let watched = Duration::from_secs(if soak() { 30 } else { 10 });
        std::thread::sleep(watched);
        let used = cpu_time() - before;
        machine.stop();
        machine.wait();
        assert!(used < watched * 3 / 100, "{used:?} of CPU time in {watched:?}");
    });
}
