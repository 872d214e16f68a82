//! The flattened device tree that describes a machine to Linux.
//!
//! Bindings are those of `Documentation/devicetree/bindings` in Linux, named beside each node; the
//! format is that of the *Devicetree Specification* 0.4.

use core::ops::Range;

use vm_fdt::{FdtWriter, FdtWriterNode};

use crate::linux::{COMMAND_LINE_SIZE, MAX_FDT_SIZE};
use crate::mpidr::Mpidr;

/// What the tree says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine<'a> {
    /// RAM.
    pub ram: Range<u64>,
    /// Affinity of each vCPU; the first boots.
    pub cpus: &'a [Mpidr],
    /// GIC distributor.
    pub distributor: Range<u64>,
    /// GIC redistributors.
    pub redistributors: Range<u64>,
    /// INTID of the virtual timer, a PPI.
    pub virtual_timer: u32,
    /// INTID of the physical timer, a PPI.
    pub physical_timer: u32,
    /// The devices.
    pub devices: &'a [Device],
    /// The kernel's command line.
    pub command_line: &'a str,
    /// The initial RAM file system.
    pub initramfs: Option<Range<u64>>,
    /// Fresh random bytes for the kernel's generator; the kernel erases them from the tree.
    pub rng_seed: [u8; 64],
}

/// A device on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What it is.
    pub kind: DeviceKind,
    /// Its registers, or its page.
    pub registers: Range<u64>,
    /// INTID of its line, an SPI.
    pub intid: u32,
    /// How the line is to be understood.
    pub trigger: Trigger,
}

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// PL011. The first one is the console.
    Serial,
    /// PL031.
    Rtc,
    /// PL061, with a power button at that pin.
    Gpio {
        /// Pin of the power button.
        power_button: u8,
    },
    /// The page with the generation ID.
    GenerationId,
    /// virtio-mmio transport.
    Virtio,
}

/// How an interrupt line is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Rising edge.
    Edge,
    /// Active high.
    Level,
}

/// A tree that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FdtError {
    /// The command line does not fit.
    #[error("the kernel command line has {len} bytes; use at most 2047")]
    CommandLineTooLong {
        /// Its bytes.
        len: usize,
    },
    /// The command line cannot be a C string.
    #[error("the kernel command line contains a NUL byte; remove it")]
    CommandLineNul,
    /// There is nothing to run on.
    #[error("a machine needs at least one vCPU")]
    NoCpus,
    /// An interrupt number of the wrong kind.
    #[error(
        "interrupt {intid} is not {expected}; the host's interrupt controller is not understood"
    )]
    Intid {
        /// The number.
        intid: u32,
        /// What it should be.
        expected: &'static str,
    },
    /// The tree passes the protocol's limit.
    #[error("the device tree has {len} bytes, more than 2 MiB; use fewer devices")]
    TooLarge {
        /// Its bytes.
        len: usize,
    },
    /// The writer refused.
    #[error("the device tree cannot be written: {0}")]
    Writer(#[from] vm_fdt::Error),
}

const GIC_PHANDLE: u32 = 1;
const CLOCK_PHANDLE: u32 = 2;
const FIRST_GPIO_PHANDLE: u32 = 3;
/// Frequency of the PrimeCell clock; nothing depends on it but a baud rate that nobody sees.
const PRIMECELL_CLOCK_HZ: u32 = 24_000_000;

/// `interrupts` cells of the GIC (`interrupt-controller/arm,gic-v3.yaml`).
const SPI: u32 = 0;
const PPI: u32 = 1;
const EDGE_RISING: u32 = 1;
const LEVEL_HIGH: u32 = 4;
/// `KEY_POWER` (`include/uapi/linux/input-event-codes.h`).
const KEY_POWER: u32 = 116;

/// Checks a kernel's command line before anything else is done.
///
/// # Errors
/// If it is too long for Linux or contains a NUL byte.
pub fn check_command_line(command_line: &str) -> Result<(), FdtError> {
    if command_line.len() >= COMMAND_LINE_SIZE {
        return Err(FdtError::CommandLineTooLong { len: command_line.len() });
    }
    if command_line.contains('\0') {
        return Err(FdtError::CommandLineNul);
    }
    Ok(())
}

/// Writes the tree.
pub fn write(machine: &Machine<'_>) -> Result<Vec<u8>, FdtError> {
    check_command_line(machine.command_line)?;
    if machine.cpus.is_empty() {
        return Err(FdtError::NoCpus);
    }
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_string("compatible", "linux,dummy-virt")?;
    fdt.property_string("model", "kiln")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_u32("interrupt-parent", GIC_PHANDLE)?;
    // Devices see memory as the CPUs do, caches included.
    fdt.property_null("dma-coherent")?;
    chosen(&mut fdt, machine)?;
    memory(&mut fdt, &machine.ram)?;
    cpus(&mut fdt, machine.cpus)?;
    gic(&mut fdt, machine)?;
    timer(&mut fdt, machine)?;
    psci(&mut fdt)?;
    clock(&mut fdt)?;
    let mut gpio_phandle = FIRST_GPIO_PHANDLE;
    for device in machine.devices {
        write_device(&mut fdt, device, &mut gpio_phandle)?;
    }
    fdt.end_node(root)?;
    let blob = fdt.finish()?;
    if blob.len() as u64 > MAX_FDT_SIZE {
        return Err(FdtError::TooLarge { len: blob.len() });
    }
    Ok(blob)
}

fn node(fdt: &mut FdtWriter, name: &str, at: u64) -> Result<FdtWriterNode, FdtError> {
    Ok(fdt.begin_node(&format!("{name}@{at:x}"))?)
}

fn reg(fdt: &mut FdtWriter, range: &Range<u64>) -> Result<(), FdtError> {
    Ok(fdt.property_array_u64("reg", &[range.start, range.end - range.start])?)
}

fn chosen(fdt: &mut FdtWriter, machine: &Machine<'_>) -> Result<(), FdtError> {
    let chosen = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", machine.command_line)?;
    if let Some(serial) = machine.devices.iter().find(|d| d.kind == DeviceKind::Serial) {
        fdt.property_string("stdout-path", &format!("/pl011@{:x}", serial.registers.start))?;
    }
    if let Some(initramfs) = &machine.initramfs {
        fdt.property_u64("linux,initrd-start", initramfs.start)?;
        fdt.property_u64("linux,initrd-end", initramfs.end)?;
    }
    fdt.property("rng-seed", &machine.rng_seed)?;
    fdt.end_node(chosen)?;
    Ok(())
}

fn memory(fdt: &mut FdtWriter, ram: &Range<u64>) -> Result<(), FdtError> {
    let memory = node(fdt, "memory", ram.start)?;
    fdt.property_string("device_type", "memory")?;
    reg(fdt, ram)?;
    fdt.end_node(memory)?;
    Ok(())
}

/// `arm/cpus.yaml`, `arm/psci.yaml`.
fn cpus(fdt: &mut FdtWriter, cpus: &[Mpidr]) -> Result<(), FdtError> {
    let parent = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 0)?;
    for cpu in cpus {
        let this = node(fdt, "cpu", cpu.affinity())?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_string("compatible", "arm,armv8")?;
        fdt.property_string("enable-method", "psci")?;
        fdt.property_u64("reg", cpu.affinity())?;
        fdt.end_node(this)?;
    }
    fdt.end_node(parent)?;
    Ok(())
}

/// `interrupt-controller/arm,gic-v3.yaml`.
fn gic(fdt: &mut FdtWriter, machine: &Machine<'_>) -> Result<(), FdtError> {
    let (distributor, redistributors) = (&machine.distributor, &machine.redistributors);
    let this = node(fdt, "interrupt-controller", distributor.start)?;
    fdt.property_string("compatible", "arm,gic-v3")?;
    fdt.property_u32("#interrupt-cells", 3)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_array_u64(
        "reg",
        &[
            distributor.start,
            distributor.end - distributor.start,
            redistributors.start,
            redistributors.end - redistributors.start,
        ],
    )?;
    fdt.property_phandle(GIC_PHANDLE)?;
    fdt.end_node(this)?;
    Ok(())
}

/// `timer/arm,arch_timer.yaml`: secure, non-secure physical, virtual and hypervisor timer. A guest at
/// EL1 uses the third.
fn timer(fdt: &mut FdtWriter, machine: &Machine<'_>) -> Result<(), FdtError> {
    /// The PPIs of a server base system (Arm BSA, table 4) for the two timers nobody has.
    const SECURE_PPI: u32 = 13;
    const HYPERVISOR_PPI: u32 = 10;
    let physical = ppi(machine.physical_timer)?;
    let virtual_ = ppi(machine.virtual_timer)?;
    let timer = fdt.begin_node("timer")?;
    fdt.property_string("compatible", "arm,armv8-timer")?;
    let cells: Vec<u32> = [SECURE_PPI, physical, virtual_, HYPERVISOR_PPI]
        .into_iter()
        .flat_map(|ppi| [PPI, ppi, LEVEL_HIGH])
        .collect();
    fdt.property_array_u32("interrupts", &cells)?;
    fdt.property_null("always-on")?;
    fdt.end_node(timer)?;
    Ok(())
}

fn psci(fdt: &mut FdtWriter) -> Result<(), FdtError> {
    let psci = fdt.begin_node("psci")?;
    fdt.property_string_list("compatible", vec!["arm,psci-1.0".into(), "arm,psci-0.2".into()])?;
    fdt.property_string("method", "hvc")?;
    fdt.end_node(psci)?;
    Ok(())
}

fn clock(fdt: &mut FdtWriter) -> Result<(), FdtError> {
    let clock = fdt.begin_node("apb-pclk")?;
    fdt.property_string("compatible", "fixed-clock")?;
    fdt.property_u32("#clock-cells", 0)?;
    fdt.property_u32("clock-frequency", PRIMECELL_CLOCK_HZ)?;
    fdt.property_phandle(CLOCK_PHANDLE)?;
    fdt.end_node(clock)?;
    Ok(())
}

fn write_device(
    fdt: &mut FdtWriter,
    device: &Device,
    gpio_phandle: &mut u32,
) -> Result<(), FdtError> {
    let at = device.registers.start;
    match device.kind {
        DeviceKind::Serial => {
            let this = primecell(fdt, device, "pl011", "arm,pl011", &["uartclk", "apb_pclk"])?;
            fdt.end_node(this)?;
        }
        DeviceKind::Rtc => {
            let this = primecell(fdt, device, "pl031", "arm,pl031", &["apb_pclk"])?;
            fdt.end_node(this)?;
        }
        DeviceKind::Gpio { power_button } => {
            let phandle = *gpio_phandle;
            *gpio_phandle += 1;
            let this = primecell(fdt, device, "pl061", "arm,pl061", &["apb_pclk"])?;
            fdt.property_null("gpio-controller")?;
            fdt.property_u32("#gpio-cells", 2)?;
            fdt.property_null("interrupt-controller")?;
            fdt.property_u32("#interrupt-cells", 2)?;
            fdt.property_phandle(phandle)?;
            fdt.end_node(this)?;
            power_key(fdt, at, phandle, power_button)?;
        }
        DeviceKind::GenerationId => {
            let this = node(fdt, "vmgenid", at)?;
            fdt.property_string("compatible", "microsoft,vmgenid")?;
            reg(fdt, &device.registers)?;
            interrupts(fdt, device)?;
            fdt.end_node(this)?;
        }
        DeviceKind::Virtio => {
            let this = node(fdt, "virtio_mmio", at)?;
            fdt.property_string("compatible", "virtio,mmio")?;
            reg(fdt, &device.registers)?;
            interrupts(fdt, device)?;
            fdt.property_null("dma-coherent")?;
            fdt.end_node(this)?;
        }
    }
    Ok(())
}

/// `arm/primecell.yaml`.
fn primecell(
    fdt: &mut FdtWriter,
    device: &Device,
    name: &str,
    compatible: &str,
    clocks: &[&str],
) -> Result<FdtWriterNode, FdtError> {
    let this = node(fdt, name, device.registers.start)?;
    fdt.property_string_list("compatible", vec![compatible.into(), "arm,primecell".into()])?;
    reg(fdt, &device.registers)?;
    interrupts(fdt, device)?;
    fdt.property_array_u32("clocks", &vec![CLOCK_PHANDLE; clocks.len()])?;
    let names = clocks.iter().map(|name| (*name).to_owned()).collect();
    fdt.property_string_list("clock-names", names)?;
    Ok(this)
}

/// `input/gpio-keys.yaml`.
fn power_key(fdt: &mut FdtWriter, at: u64, gpio: u32, pin: u8) -> Result<(), FdtError> {
    let keys = fdt.begin_node(&format!("gpio-keys-{at:x}"))?;
    fdt.property_string("compatible", "gpio-keys")?;
    let key = fdt.begin_node("power")?;
    fdt.property_string("label", "power")?;
    fdt.property_u32("linux,code", KEY_POWER)?;
    fdt.property_array_u32("gpios", &[gpio, u32::from(pin), 0])?;
    fdt.end_node(key)?;
    fdt.end_node(keys)?;
    Ok(())
}

fn interrupts(fdt: &mut FdtWriter, device: &Device) -> Result<(), FdtError> {
    let intid = device.intid;
    let spi = intid
        .checked_sub(32)
        .filter(|_| intid < 1020)
        .ok_or(FdtError::Intid { intid, expected: "an SPI" })?;
    let trigger = match device.trigger {
        Trigger::Edge => EDGE_RISING,
        Trigger::Level => LEVEL_HIGH,
    };
    Ok(fdt.property_array_u32("interrupts", &[SPI, spi, trigger])?)
}

fn ppi(intid: u32) -> Result<u32, FdtError> {
    if (16..32).contains(&intid) {
        Ok(intid - 16)
    } else {
        Err(FdtError::Intid { intid, expected: "a PPI" })
    }
}
