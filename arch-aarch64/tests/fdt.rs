//! The device tree, read back with an independent parser.

use arch_aarch64::fdt::{Device, DeviceKind, FdtError, Machine, Trigger, write};
use arch_aarch64::mpidr::Mpidr;
use device_tree::DeviceTree;
use proptest::prelude::*;

fn machine<'a>(cpus: &'a [Mpidr], devices: &'a [Device], command_line: &'a str) -> Machine<'a> {
    Machine {
        ram: 0x4000_0000..0x5000_0000,
        cpus,
        distributor: 0x800_0000..0x801_0000,
        redistributors: 0x801_0000..0xa01_0000,
        virtual_timer: 27,
        physical_timer: 30,
        devices,
        command_line,
        initramfs: Some(0x4200_0000..0x4200_1234),
        rng_seed: [7; 64],
    }
}

fn device(kind: DeviceKind, base: u64, intid: u32, trigger: Trigger) -> Device {
    Device { kind, registers: base..base + 0x1000, intid, trigger }
}

fn parsed(machine: &Machine<'_>) -> DeviceTree {
    DeviceTree::load(&write(machine).unwrap()).expect("a valid tree")
}

fn property<'a>(tree: &'a DeviceTree, path: &str, name: &str) -> &'a [u8] {
    let node = tree.find(path).unwrap_or_else(|| panic!("{path}"));
    node.prop_raw(name).unwrap_or_else(|| panic!("{path} {name}"))
}

fn cells(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|cell| u32::from_be_bytes(cell.try_into().unwrap())).collect()
}

#[test]
fn the_bindings_of_linux_are_kept() {
    let cpus = [Mpidr::of_index(0), Mpidr::of_index(17)];
    let devices = [
        device(DeviceKind::Serial, 0xb00_0000, 32, Trigger::Level),
        device(DeviceKind::Gpio { power_button: 3 }, 0xb00_1000, 33, Trigger::Level),
        device(DeviceKind::Virtio, 0xb00_2000, 47, Trigger::Edge),
    ];
    let tree = parsed(&machine(&cpus, &devices, "console=ttyAMA0"));
    let get = |path: &str, name: &str| property(&tree, path, name).to_vec();
    assert_eq!(get("/chosen", "bootargs"), b"console=ttyAMA0\0");
    assert_eq!(get("/chosen", "stdout-path"), b"/pl011@b000000\0");
    assert_eq!(get("/chosen", "rng-seed"), [7; 64]);
    assert_eq!(cells(&get("/chosen", "linux,initrd-end")), [0, 0x4200_1234]);
    assert_eq!(cells(&get("/memory@40000000", "reg")), [0, 0x4000_0000, 0, 0x1000_0000]);
    assert_eq!(cells(&get("/cpus/cpu@101", "reg")), [0, 0x101]);
    assert_eq!(get("/cpus/cpu@101", "enable-method"), b"psci\0");
    // arm,gic-v3.yaml: <0 = SPI, number - 32, 4 = level high or 1 = rising edge>.
    assert_eq!(cells(&get("/pl011@b000000", "interrupts")), [0, 0, 4]);
    assert_eq!(cells(&get("/virtio_mmio@b002000", "interrupts")), [0, 15, 1]);
    // arm,arch_timer.yaml: PPIs 13, 14, 11, 10.
    assert_eq!(cells(&get("/timer", "interrupts")), [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]);
    let gpio = cells(&get("/pl061@b001000", "phandle"))[0];
    assert_eq!(cells(&get("/gpio-keys-b001000/power", "gpios")), [gpio, 3, 0]);
    assert_eq!(cells(&get("/gpio-keys-b001000/power", "linux,code")), [116]);
    assert_eq!(get("/psci", "method"), b"hvc\0");
}

#[test]
fn a_command_line_has_a_limit() {
    let cpus = [Mpidr::of_index(0)];
    assert!(write(&machine(&cpus, &[], &"x".repeat(2047))).is_ok());
    assert!(matches!(
        write(&machine(&cpus, &[], &"x".repeat(2048))),
        Err(FdtError::CommandLineTooLong { len: 2048 })
    ));
    assert!(matches!(write(&machine(&cpus, &[], "a\0b")), Err(FdtError::CommandLineNul)));
    assert!(matches!(write(&machine(&[], &[], "")), Err(FdtError::NoCpus)));
}

proptest! {
    #[test]
    fn any_input_gives_a_tree_or_an_error(
        command_line in ".{0,200}",
        cpus in 1u32..40,
        places in proptest::collection::btree_map(0u64..1000, (0u8..5, any::<u16>(), any::<bool>()), 0..20),
    ) {
        let cpus: Vec<_> = (0..cpus).map(Mpidr::of_index).collect();
        let devices: Vec<_> = places
            .iter()
            .map(|(&slot, &(kind, intid, edge))| {
                let kind = match kind {
                    0 => DeviceKind::Serial,
                    1 => DeviceKind::Rtc,
                    2 => DeviceKind::Gpio { power_button: 3 },
                    3 => DeviceKind::GenerationId,
                    _ => DeviceKind::Virtio,
                };
                let trigger = if edge { Trigger::Edge } else { Trigger::Level };
                device(kind, 0xb00_0000 + slot * 0x1000, u32::from(intid), trigger)
            })
            .collect();
        let valid = devices.iter().all(|d| (32..1020).contains(&d.intid)) && !command_line.contains('\0');
        let machine = machine(&cpus, &devices, &command_line);
        match write(&machine) {
            Err(_) => prop_assert!(!valid),
            Ok(_) => {
                prop_assert!(valid);
                let tree = parsed(&machine);
                let mut expected = command_line.clone().into_bytes();
                expected.push(0);
                prop_assert_eq!(property(&tree, "/chosen", "bootargs"), &expected[..]);
            }
        }
    }
}
