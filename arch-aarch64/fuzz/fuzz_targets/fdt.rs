//! Descriptions of machines: each becomes a tree that an independent reader understands, or an error.
#![no_main]

use arbitrary::Arbitrary;
use arch_aarch64::fdt::{Device, DeviceKind, Machine, Trigger, write};
use arch_aarch64::linux::MAX_FDT_SIZE;
use arch_aarch64::mpidr::Mpidr;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    ram: (u64, u64),
    cpus: u8,
    distributor: (u64, u64),
    redistributors: (u64, u64),
    timers: (u32, u32),
    devices: Vec<(u8, u64, u64, u32, bool)>,
    command_line: &'a str,
    initramfs: Option<(u64, u64)>,
}

libfuzzer_sys::fuzz_target!(|input: Input<'_>| {
    let range = |(start, len): (u64, u64)| start..start.saturating_add(len);
    let cpus: Vec<_> = (0..input.cpus.into()).map(Mpidr::of_index).collect();
    let devices: Vec<_> = input
        .devices
        .iter()
        .map(|&(kind, start, len, intid, edge)| Device {
            kind: match kind % 5 {
                0 => DeviceKind::Serial,
                1 => DeviceKind::Rtc,
                2 => DeviceKind::Gpio { power_button: kind },
                3 => DeviceKind::GenerationId,
                _ => DeviceKind::Virtio,
            },
            registers: range((start, len)),
            intid,
            trigger: if edge { Trigger::Edge } else { Trigger::Level },
        })
        .collect();
    let machine = Machine {
        ram: range(input.ram),
        cpus: &cpus,
        distributor: range(input.distributor),
        redistributors: range(input.redistributors),
        virtual_timer: input.timers.0,
        physical_timer: input.timers.1,
        devices: &devices,
        command_line: input.command_line,
        initramfs: input.initramfs.map(range),
        rng_seed: [7; 64],
    };
    let Ok(blob) = write(&machine) else { return };
    assert!(blob.len() as u64 <= MAX_FDT_SIZE);
    let tree = device_tree::DeviceTree::load(&blob).expect("a valid tree");
    let bootargs = tree.find("/chosen").and_then(|chosen| chosen.prop_raw("bootargs"));
    let expected: Vec<u8> = input.command_line.bytes().chain([0]).collect();
    assert_eq!(bootargs, Some(&expected));
});
