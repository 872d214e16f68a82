//! State saved on one machine and loaded into another, in the middle of a program.

use std::path::{Path, PathBuf};
use std::process::Command;

use hv::{Reg, VcpuState, VcpuTimer};

use crate::machine::{Machine, RAM};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("saved_and_loaded_on_1", || saved_and_loaded(1)),
    ("saved_and_loaded_on_2", || saved_and_loaded(2)),
    ("saved_and_loaded_on_4", || saved_and_loaded(4)),
];

/// Iterations of `guest/compute.c`.
const STEPS: u64 = 400_000;

/// The first half of the program in this process, the rest in another.
fn saved_and_loaded(count: u32) {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return go_on(Path::new(&directory), count);
    }
    let machine = Machine::new("compute", STEPS);
    let vcpus: Vec<_> = (0..count).map(|index| machine.start(index, count)).collect();
    vcpus.iter().for_each(|vcpu| vcpu.go());
    assert_eq!(vcpus[0].event().0, 1);
    vcpus.iter().for_each(|vcpu| vcpu.stop());
    let states: Vec<VcpuState> = vcpus.iter().map(|vcpu| vcpu.saved()).collect();

    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("vcpus"), serde_json::to_vec(&states).expect("plain data")).expect("room");
    std::fs::write(path("gic"), machine.gic.save().expect("the GIC's state")).expect("room");
    std::fs::write(path("ram"), machine.read_all()).expect("room");
    drop(vcpus);
    let status = Command::new(std::env::current_exe().expect("a path"))
        .args(["--child", &format!("saved_and_loaded_on_{count}")])
        .env(DIRECTORY, directory.path())
        .status()
        .expect("this program");
    assert!(status.success(), "the second half failed: {status}");
}

const DIRECTORY: &str = "KILN_MACHINE_STATE";

fn go_on(directory: &Path, count: u32) {
    let read = |name: &str| {
        std::fs::read(PathBuf::from(directory).join(name)).expect("the first half wrote it")
    };
    let states: Vec<VcpuState> = serde_json::from_slice(&read("vcpus")).expect("plain data");
    assert_eq!(states.len(), count as usize);
    let machine = Machine::empty();
    machine.write(RAM, &read("ram"));
    // One offset for all: the guest's clock goes on where it stood.
    let timer = VcpuTimer { offset: hv::host_counter().wrapping_sub(states[0].counter) };
    let vcpus: Vec<_> = states
        .into_iter()
        .enumerate()
        .map(|(index, state)| {
            machine.spawn(index as u32, move |vcpu| {
                vcpu.load(&state, timer).expect("the state of such a vCPU");
                assert_eq!(vcpu.get(Reg::Pc).expect("a register"), state.pc);
            })
        })
        .collect();
    machine.gic.load(&read("gic")).expect("the vCPUs exist and none has run");
    vcpus.iter().for_each(|vcpu| vcpu.go());
    let results: Vec<_> = vcpus.into_iter().map(|vcpu| vcpu.finish()).collect();
    assert_eq!(results[0], expected(count), "the result of a run without interruption");
}

/// What `guest/compute.c` computes, by the host.
fn expected(count: u32) -> u64 {
    (0..count).fold(0, |result: u64, cpu| {
        let mut memory = [0u64; 512];
        let mut state = u64::from(cpu) + 1;
        let mut sum = state;
        for i in 0..STEPS {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let word = &mut memory[(state >> 55) as usize];
            *word = (*word ^ state).wrapping_add(i);
            sum = sum.wrapping_add(*word);
        }
        result.wrapping_mul(31).wrapping_add(sum)
    })
}
