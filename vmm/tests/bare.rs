//! Bare-metal programs: what only hostile or broken guests do.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use arch_aarch64::esr::ec;
use common::{in_its_own_process, threads_left};
use vm_memory::{Bytes, GuestAddress};
use vmm::{Machine, MachineConfig, Outcome, Resources};

/// Where a program leaves its results (`bare.h`).
const RESULTS: u64 = 0x8000;

/// Assembles `tests/guest/NAME.S` into an Image.
fn program(name: &str, directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/guest/{name}.S"));
    let (object, image) = (directory.join("program.o"), directory.join("Image"));
    let run = |command: &mut Command| {
        assert!(command.status().expect("cargo xtask setup installs it").success());
    };
    run(Command::new("aarch64-linux-gnu-gcc").arg("-c").arg(&source).arg("-o").arg(&object));
    run(Command::new("aarch64-linux-gnu-objcopy").args(["-O", "binary"]).args([&object, &image]));
    image
}

fn machine(name: &str, vcpus: u32) -> (Machine, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = MachineConfig::new(program(name, directory.path()));
    config.memory = 16 << 20;
    config.vcpus = vcpus;
    (Machine::new(&config, Resources::serial(std::io::sink())).unwrap(), directory)
}

fn results<const N: usize>(machine: &Machine) -> [u64; N] {
    let base = machine.layout().ram.start + RESULTS;
    std::array::from_fn(|n| machine.memory().read_obj(GuestAddress(base + 8 * n as u64)).unwrap())
}

#[test]
fn nothing_reads_as_zero() {
    in_its_own_process("nothing_reads_as_zero", || {
        let (machine, _directory) = machine("nothing", 1);
        machine.run().unwrap();
        assert_eq!(machine.wait(), Outcome::PoweredOff);
        let [byte, half, word, double, register, unknown, version, pair, esr, far, elr, loaded] =
            results(&machine);
        assert_eq!([byte, half, word, double, register], [0; 5]);
        // SMCCC 5.2 and PSCI 5.1.1.
        assert_eq!((unknown as i64, version), (-1, 0x1_0001));
        // Data abort of the same level, IL, not ISV, synchronous External abort (Arm ARM D24.2.40).
        assert_eq!(esr, 0x25 << 26 | 1 << 25 | 0x10);
        assert_eq!((far, elr), (0x1010, pair));
        assert_eq!(loaded, u64::MAX, "the abort left the register alone");
    });
}

#[test]
fn a_guest_that_runs_off_ends_with_its_cause() {
    in_its_own_process("a_guest_that_runs_off_ends_with_its_cause", || {
        let (machine, _directory) = machine("astray", 1);
        machine.run().unwrap();
        let Outcome::GuestFault { vcpu: 0, fault } = machine.wait() else { panic!() };
        assert_eq!(fault.pc, 0x2000);
        assert_eq!(fault.physical_address, 0x2000);
        assert_eq!(fault.esr.class(), ec::INSTRUCTION_ABORT_LOWER);
        drop(machine);
        assert_eq!(threads_left(), Vec::<String>::new());
    });
}

#[test]
fn a_guest_that_does_not_listen_can_be_paused_and_stopped() {
    in_its_own_process("a_guest_that_does_not_listen_can_be_paused_and_stopped", || {
        let (machine, _directory) = machine("deaf", 4);
        machine.run().unwrap();
        while results(&machine) != [5] {
            std::thread::yield_now();
        }
        for _ in 0..20 {
            let pause = machine.pause().unwrap();
            // On, or told to be and not yet there.
            let states = machine.power_states();
            assert!(!states.contains(&vmm::Power::Off), "{states:?}");
            pause.resume().unwrap();
        }
        machine.stop();
        assert_eq!(machine.wait(), Outcome::Stopped);
    });
}

#[test]
fn one_of_two_racing_calls_turns_a_vcpu_on() {
    in_its_own_process("one_of_two_racing_calls_turns_a_vcpu_on", || {
        for _ in 0..20 {
            let (machine, _directory) = machine("race", 4);
            machine.run().unwrap();
            // The last vCPU to switch itself off switches off the machine.
            assert_eq!(machine.wait(), Outcome::PoweredOff);
            let [_, first, second, _, one, other, context] = results(&machine);
            assert_eq!([first, second], [0, 0]);
            let mut answers = [one as i64, other as i64];
            answers.sort();
            // SUCCESS for one; ON_PENDING or ALREADY_ON for the other (DEN 0022F 5.2.2).
            assert!([-5, -4].contains(&answers[0]) && answers[1] == 0, "{answers:?}");
            assert_eq!(context, 0x77);
        }
    });
}
