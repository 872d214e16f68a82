//! Behaviour that IHI 0069H specifies, seen through the frames and the system registers.

use std::sync::Arc;

use arch_aarch64::sysreg::SysReg;

use super::{Access, BlobError, Config, Gic, InterruptPort, Msi};
use crate::cpu::lines::{FIQ, IRQ, Lines};

const GICD: u64 = 0x0800_0000;
const GICR: u64 = 0x0a00_0000;
const GICM: u64 = 0x0802_0000;
const SPI: u32 = 40;

struct Machine {
    gic: Gic,
    lines: Vec<Arc<Lines>>,
}

impl Machine {
    /// A controller with `pes` PEs of affinity 0.0.0.n that nobody has initialised.
    fn cold(pes: usize) -> Machine {
        let msi = Msi { base: GICM, first: 64, count: 32 };
        let gic = Gic::new(Config { distributor: GICD, redistributor: GICR, msi: Some(msi) });
        let lines: Vec<_> = (0..pes).map(|_| Arc::new(Lines::default())).collect();
        for (pe, lines) in lines.iter().enumerate() {
            let port = InterruptPort::new(lines.clone(), std::thread::current());
            gic.attach(pe, pe as u64, port);
        }
        Machine { gic, lines }
    }

    /// The same, initialised as an operating system does: both groups on, everything in group 1 at
    /// priority 0xa0 and enabled, PEs awake and unmasked.
    fn new(pes: usize) -> Machine {
        let machine = Machine::cold(pes);
        machine.write(GICD, 4, 0x13);
        for pe in 0..pes {
            let rd = redistributor(pe);
            machine.write(rd + 0x14, 4, 0);
            machine.write(rd + 0x1_0080, 4, 0xffff_ffff);
            machine.write(rd + 0x1_0100, 4, 0xffff_ffff);
            for word in 0..8 {
                machine.write(rd + 0x1_0400 + 4 * word, 4, 0xa0a0_a0a0);
            }
            machine.msr(pe, SysReg::ICC_PMR_EL1, 0xf0);
            machine.msr(pe, SysReg::ICC_IGRPEN0_EL1, 1);
            machine.msr(pe, SysReg::ICC_IGRPEN1_EL1, 1);
        }
        for bank in 1..32 {
            machine.write(GICD + 0x80 + 4 * bank, 4, 0xffff_ffff);
            machine.write(GICD + 0x100 + 4 * bank, 4, 0xffff_ffff);
        }
        for intid in 32..1020 {
            machine.write(GICD + 0x400 + intid, 1, 0xa0);
        }
        machine
    }

    fn read(&self, ipa: u64, bytes: u8) -> u64 {
        self.gic.access(ipa, bytes, Access::Read).expect("an address of the controller")
    }

    fn write(&self, ipa: u64, bytes: u8, value: u64) {
        self.gic.access(ipa, bytes, Access::Write(value)).expect("an address of the controller");
    }

    fn mrs(&self, pe: usize, register: SysReg) -> u64 {
        self.gic.read_icc(pe, register).expect("a readable register")
    }

    fn msr(&self, pe: usize, register: SysReg, value: u64) {
        self.gic.write_icc(pe, register, value).expect("a writable register");
    }

    fn priority(&self, intid: u64) -> u64 {
        self.read(GICD + 0x400 + intid, 1)
    }

    fn set_priority(&self, intid: u32, priority: u64) {
        self.write(GICD + 0x400 + u64::from(intid), 1, priority);
    }

    fn set_edge(&self, intid: u32) {
        let register = GICD + 0xc00 + 4 * u64::from(intid / 16);
        let value = self.read(register, 4) | 0b10 << (2 * (intid % 16));
        self.write(register, 4, value);
    }

    fn bit(&self, array: u64, intid: u32) -> bool {
        self.read(GICD + array + 4 * u64::from(intid / 32), 4) & 1 << (intid % 32) != 0
    }

    fn signalled(&self, pe: usize) -> u32 {
        self.lines[pe].attention() & (IRQ | FIQ)
    }

    fn acknowledge(&self, pe: usize) -> u64 {
        self.mrs(pe, SysReg::ICC_IAR1_EL1)
    }

    fn end(&self, pe: usize, intid: u64) {
        self.msr(pe, SysReg::ICC_EOIR1_EL1, intid);
    }
}

fn redistributor(pe: usize) -> u64 {
    GICR + 0x2_0000 * pe as u64
}

#[test]
fn identification() {
    let machine = Machine::cold(2);
    // GICD_PIDR2.ArchRev = 3 (12.9.24), as Linux probes it.
    assert_eq!(machine.read(GICD + 0xffe8, 4) & 0xf0, 0x30);
    assert_eq!(machine.read(redistributor(1) + 0xffe8, 4) & 0xf0, 0x30);
    // GICD_TYPER.ITLinesNumber: 32 * (31 + 1) interrupts.
    assert_eq!(machine.read(GICD + 4, 4) & 0x1f, 31);
    // GICD_CTLR: affinity routing and a single security state, groups off.
    assert_eq!(machine.read(GICD, 4), 1 << 4 | 1 << 6);
    // GICR_TYPER: affinity, number, and Last on the last one only.
    assert_eq!(machine.read(redistributor(0) + 8, 8), 0);
    assert_eq!(machine.read(redistributor(1) + 8, 8), 1 << 32 | 1 << 8 | 1 << 4);
    assert_eq!(machine.read(redistributor(1) + 12, 4), 1);
    // Frames of PEs that do not exist read as zero.
    assert_eq!(machine.read(redistributor(2) + 8, 8), 0);
    // MSI_TYPER: first SPI and their number (DEN 0029 E.8).
    assert_eq!(machine.read(GICM + 8, 4), 64 << 16 | 32);
    assert_eq!(machine.gic.access(GICD - 4, 4, Access::Read), None);
}

#[test]
fn affinity_of_all_levels() {
    let machine = Machine::cold(1);
    // MPIDR_EL1 Aff3.Aff2.Aff1.Aff0 = 4.3.2.1, with its RES1 bit.
    machine.gic.set_affinity(0, 0x04_8003_0201);
    assert_eq!(machine.read(redistributor(0) + 8, 8) >> 32, 0x0403_0201);
}

#[test]
fn nothing_is_forwarded_before_initialisation() {
    let machine = Machine::cold(1);
    machine.gic.set_spi(SPI, true);
    assert!(machine.bit(0x200, SPI), "pending nevertheless");
    assert_eq!(machine.signalled(0), 0);
    assert_eq!(machine.acknowledge(0), 1023);
}

#[test]
fn waker_gates_the_pe() {
    let machine = Machine::new(1);
    let waker = redistributor(0) + 0x14;
    machine.gic.set_spi(SPI, true);
    assert_eq!(machine.signalled(0), IRQ);
    machine.write(waker, 4, 0b10);
    assert_eq!(machine.read(waker, 4), 0b110, "ChildrenAsleep follows ProcessorSleep");
    assert_eq!(machine.signalled(0), 0);
    machine.write(waker, 4, 0);
    assert_eq!(machine.read(waker, 4), 0);
    assert_eq!(machine.signalled(0), IRQ);
}

#[test]
fn every_enable_matters() {
    let machine = Machine::new(1);
    machine.gic.set_spi(SPI, true);
    let bit = 1 << (SPI % 32);
    let check = |off: &dyn Fn(), on: &dyn Fn()| {
        off();
        assert_eq!(machine.signalled(0), 0);
        on();
        assert_eq!(machine.signalled(0), IRQ);
    };
    check(&|| machine.write(GICD, 4, 1), &|| machine.write(GICD, 4, 3));
    check(&|| machine.write(GICD + 0x184, 4, bit), &|| machine.write(GICD + 0x104, 4, bit));
    check(&|| machine.msr(0, SysReg::ICC_IGRPEN1_EL1, 0), &|| {
        machine.msr(0, SysReg::ICC_IGRPEN1_EL1, 1)
    });
    // PMR: only priorities strictly higher (lower in value) pass (4.8.4).
    check(&|| machine.msr(0, SysReg::ICC_PMR_EL1, 0xa0), &|| {
        machine.msr(0, SysReg::ICC_PMR_EL1, 0xa8)
    });
}

#[test]
fn level_interrupt_life_cycle() {
    let machine = Machine::new(1);
    machine.gic.set_spi(SPI, true);
    assert_eq!(machine.signalled(0), IRQ);
    assert_eq!(machine.acknowledge(0), u64::from(SPI));
    // Active and pending: the wire is still high, but it is not signalled again.
    assert!(machine.bit(0x200, SPI) && machine.bit(0x300, SPI));
    assert_eq!(machine.signalled(0), 0);
    assert_eq!(machine.acknowledge(0), 1023);
    machine.end(0, u64::from(SPI));
    assert_eq!(machine.signalled(0), IRQ, "still asserted after deactivation");
    machine.gic.set_spi(SPI, false);
    assert_eq!(machine.signalled(0), 0);
    assert!(!machine.bit(0x200, SPI));
}

#[test]
fn edge_interrupt_life_cycle() {
    let machine = Machine::new(1);
    machine.set_edge(SPI);
    machine.gic.set_spi(SPI, true);
    machine.gic.set_spi(SPI, false);
    assert_eq!(machine.signalled(0), IRQ, "the edge is remembered");
    assert_eq!(machine.acknowledge(0), u64::from(SPI));
    assert!(!machine.bit(0x200, SPI), "acknowledging clears pending");
    machine.gic.set_spi(SPI, true);
    assert!(machine.bit(0x200, SPI) && machine.bit(0x300, SPI), "an edge while active");
    assert_eq!(machine.signalled(0), 0);
    machine.end(0, u64::from(SPI));
    assert_eq!(machine.signalled(0), IRQ);
}

#[test]
fn software_pending_of_a_level_interrupt_lasts_until_acknowledged() {
    let machine = Machine::new(1);
    machine.write(GICD + 0x204, 4, 1 << (SPI % 32));
    assert_eq!(machine.acknowledge(0), u64::from(SPI));
    machine.end(0, u64::from(SPI));
    assert_eq!(machine.signalled(0), 0);
    // ICPENDR takes back what ISPENDR made pending, not the wire.
    machine.write(GICD + 0x204, 4, 1 << (SPI % 32));
    machine.gic.set_spi(SPI, true);
    machine.write(GICD + 0x284, 4, 1 << (SPI % 32));
    assert!(machine.bit(0x200, SPI));
    machine.gic.set_spi(SPI, false);
    assert!(!machine.bit(0x200, SPI));
}

#[test]
fn highest_priority_then_lowest_number() {
    let machine = Machine::new(1);
    machine.set_priority(50, 0x40);
    machine.set_priority(60, 0x20);
    for intid in [61, 60, 50, 45, 44] {
        machine.gic.set_spi(intid, true);
    }
    for expected in [60, 50, 44, 45, 61] {
        assert_eq!(machine.mrs(0, SysReg::ICC_HPPIR1_EL1), expected);
        assert_eq!(machine.acknowledge(0), expected);
        machine.gic.set_spi(expected as u32, false);
        machine.end(0, expected);
    }
    assert_eq!(machine.acknowledge(0), 1023);
}

#[test]
fn preemption_and_running_priority() {
    let machine = Machine::new(1);
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0xff, "idle");
    machine.set_priority(50, 0x80);
    machine.set_priority(51, 0x40);
    machine.gic.set_spi(50, true);
    assert_eq!(machine.acknowledge(0), 50);
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0x80);
    machine.gic.set_spi(52, true);
    assert_eq!(machine.signalled(0), 0, "0xa0 does not preempt 0x80");
    machine.gic.set_spi(51, true);
    assert_eq!(machine.signalled(0), IRQ);
    assert_eq!(machine.acknowledge(0), 51);
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0x40);
    // ICC_AP1R0_EL1: one bit for each active group priority; priority 0x40 is bit 8, 0x80 bit 16.
    assert_eq!(machine.mrs(0, SysReg::ICC_AP1R0_EL1), 1 << 8 | 1 << 16);
    machine.gic.set_spi(51, false);
    machine.end(0, 51);
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0x80);
    machine.gic.set_spi(50, false);
    machine.end(0, 50);
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0xff);
    assert_eq!(machine.acknowledge(0), 52);
}

#[test]
fn binary_point_decides_preemption() {
    // Table 4-8: with ICC_BPR1_EL1 = n the group priority is bits [7:n].
    let machine = Machine::new(1);
    machine.set_priority(50, 0x88);
    machine.set_priority(51, 0x80);
    for (binary_point, preempts) in [(3, true), (4, false), (7, false)] {
        machine.msr(0, SysReg::ICC_BPR1_EL1, binary_point);
        assert_eq!(machine.mrs(0, SysReg::ICC_BPR1_EL1), binary_point);
        machine.gic.set_spi(50, true);
        assert_eq!(machine.acknowledge(0), 50);
        machine.gic.set_spi(51, true);
        assert_eq!(machine.signalled(0) == IRQ, preempts, "ICC_BPR1_EL1 = {binary_point}");
        machine.gic.set_spi(50, false);
        machine.gic.set_spi(51, false);
        machine.end(0, 50);
    }
    // With CBPR, ICC_BPR0_EL1 = n governs both groups: bits [7:n + 1].
    machine.msr(0, SysReg::ICC_CTLR_EL1, 1);
    machine.msr(0, SysReg::ICC_BPR0_EL1, 4);
    assert_eq!(machine.mrs(0, SysReg::ICC_BPR1_EL1), 5);
}

#[test]
fn binary_points_have_a_minimum() {
    let machine = Machine::new(1);
    machine.msr(0, SysReg::ICC_BPR0_EL1, 0);
    machine.msr(0, SysReg::ICC_BPR1_EL1, 0);
    // Five priority bits: 7 - 5, and one more.
    assert_eq!(machine.mrs(0, SysReg::ICC_BPR0_EL1), 2);
    assert_eq!(machine.mrs(0, SysReg::ICC_BPR1_EL1), 3);
    // ICC_CTLR_EL1.PRIbits says one less than the number of bits.
    assert_eq!(machine.mrs(0, SysReg::ICC_CTLR_EL1) >> 8 & 7, 4);
}

#[test]
fn separate_priority_drop_and_deactivation() {
    let machine = Machine::new(1);
    machine.msr(0, SysReg::ICC_CTLR_EL1, 1 << 1);
    machine.gic.set_spi(SPI, true);
    assert_eq!(machine.acknowledge(0), u64::from(SPI));
    machine.end(0, u64::from(SPI));
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0xff, "priority dropped");
    assert!(machine.bit(0x300, SPI), "still active");
    assert_eq!(machine.signalled(0), 0);
    machine.gic.set_spi(SPI + 1, true);
    assert_eq!(machine.acknowledge(0), u64::from(SPI + 1), "others get through");
    machine.msr(0, SysReg::ICC_DIR_EL1, u64::from(SPI));
    assert!(!machine.bit(0x300, SPI));
}

#[test]
fn deactivation_register_is_ignored_in_mode_0() {
    let machine = Machine::new(1);
    machine.gic.set_spi(SPI, true);
    machine.acknowledge(0);
    machine.msr(0, SysReg::ICC_DIR_EL1, u64::from(SPI));
    assert!(machine.bit(0x300, SPI));
}

#[test]
fn special_numbers_end_nothing() {
    let machine = Machine::new(1);
    machine.gic.set_spi(SPI, true);
    machine.acknowledge(0);
    for intid in [1020, 1021, 1022, 1023, 0xff_ffff] {
        machine.end(0, intid);
    }
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0xa0);
    assert!(machine.bit(0x300, SPI));
}

#[test]
fn group_0_is_fiq() {
    let machine = Machine::new(1);
    let group = GICD + 0x84;
    machine.write(group, 4, !u64::from(1u32 << (SPI % 32)));
    machine.gic.set_spi(SPI, true);
    assert_eq!(machine.signalled(0), FIQ);
    assert_eq!(machine.mrs(0, SysReg::ICC_IAR1_EL1), 1023, "not of group 1");
    assert_eq!(machine.mrs(0, SysReg::ICC_HPPIR0_EL1), u64::from(SPI));
    assert_eq!(machine.mrs(0, SysReg::ICC_IAR0_EL1), u64::from(SPI));
    assert_eq!(machine.mrs(0, SysReg::ICC_AP0R0_EL1), 1 << (0xa0 >> 3));
    // EOIR of the wrong group drops nothing.
    machine.msr(0, SysReg::ICC_CTLR_EL1, 1 << 1);
    machine.end(0, u64::from(SPI));
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0xa0);
    machine.msr(0, SysReg::ICC_EOIR0_EL1, u64::from(SPI));
    assert_eq!(machine.mrs(0, SysReg::ICC_RPR_EL1), 0xff);
}

#[test]
fn only_the_highest_priority_is_signalled() {
    let machine = Machine::new(1);
    machine.write(GICD + 0x84, 4, !u64::from(1u32 << (SPI % 32)));
    machine.set_priority(SPI, 0x10);
    machine.gic.set_spi(SPI + 1, true);
    assert_eq!(machine.signalled(0), IRQ);
    machine.gic.set_spi(SPI, true);
    assert_eq!(machine.signalled(0), FIQ);
}

#[test]
fn spi_routing_by_affinity() {
    let machine = Machine::new(3);
    machine.gic.set_affinity(2, 0x01_0000_0203);
    let route = GICD + 0x6000 + 8 * u64::from(SPI);
    machine.gic.set_spi(SPI, true);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [IRQ, 0, 0]);
    machine.write(route, 8, 1);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [0, IRQ, 0]);
    machine.write(route, 8, 0x01_0000_0203);
    assert_eq!(machine.read(route, 8), 0x01_0000_0203);
    assert_eq!(machine.read(route + 4, 4), 1);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [0, 0, IRQ]);
    machine.write(route, 8, 0x55);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [0, 0, 0], "nobody has that affinity");
    assert_eq!(machine.acknowledge(0), 1023);
}

#[test]
fn one_of_n_goes_to_one_pe_that_takes_it() {
    let machine = Machine::new(3);
    machine.write(GICD + 0x6000 + 8 * u64::from(SPI), 8, 1 << 31);
    machine.write(redistributor(0) + 0x14, 4, 0b10);
    machine.gic.set_spi(SPI, true);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [0, IRQ, 0], "PE 0 sleeps");
    machine.msr(1, SysReg::ICC_PMR_EL1, 0);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [0, 0, IRQ], "PE 1 masks it");
    assert_eq!(machine.acknowledge(2), u64::from(SPI));
    machine.msr(1, SysReg::ICC_PMR_EL1, 0xf0);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [0, 0, 0], "active once");
}

#[test]
fn sgi_to_a_target_list() {
    let machine = Machine::new(4);
    // ICC_SGI1R_EL1: INTID 7 to Aff0 1 and 3 of cluster 0.0.0.
    machine.msr(0, SysReg::ICC_SGI1R_EL1, 7 << 24 | 0b1010);
    assert_eq!([0, 1, 2, 3].map(|pe| machine.signalled(pe)), [0, IRQ, 0, IRQ]);
    assert_eq!(machine.acknowledge(3), 7);
    machine.end(3, 7);
    assert_eq!([0, 1, 2, 3].map(|pe| machine.signalled(pe)), [0, IRQ, 0, 0]);
    // Of another cluster: nobody.
    machine.msr(0, SysReg::ICC_SGI1R_EL1, 1 << 16 | 8 << 24 | 0b1111);
    assert_eq!(machine.acknowledge(1), 7);
    assert_eq!(machine.acknowledge(1), 1023);
}

#[test]
fn sgi_to_all_but_self() {
    let machine = Machine::new(3);
    machine.msr(1, SysReg::ICC_SGI1R_EL1, 1 << 40 | 2 << 24);
    assert_eq!([0, 1, 2].map(|pe| machine.signalled(pe)), [IRQ, 0, IRQ]);
}

#[test]
fn sgi_is_not_forwarded_to_the_other_group() {
    let machine = Machine::new(1);
    machine.msr(0, SysReg::ICC_SGI0R_EL1, 3 << 24 | 1);
    assert_eq!(machine.signalled(0), 0);
    machine.write(redistributor(0) + 0x1_0080, 4, 0xffff_fff7);
    machine.msr(0, SysReg::ICC_SGI0R_EL1, 3 << 24 | 1);
    assert_eq!(machine.signalled(0), FIQ);
}

#[test]
fn timer_ppi_is_private_and_level() {
    let machine = Machine::new(2);
    machine.gic.set_ppi(1, 27, true);
    assert_eq!([0, 1].map(|pe| machine.signalled(pe)), [0, IRQ]);
    assert_eq!(machine.acknowledge(1), 27);
    machine.gic.set_ppi(1, 27, false);
    machine.end(1, 27);
    assert_eq!(machine.signalled(1), 0);
}

#[test]
fn sgi_trigger_is_fixed() {
    let machine = Machine::new(1);
    let sgi_base = redistributor(0) + 0x1_0000;
    machine.write(sgi_base + 0xc00, 4, 0);
    assert_eq!(machine.read(sgi_base + 0xc00, 4), 0xaaaa_aaaa);
    machine.write(sgi_base + 0xc04, 4, 0x8000_0002);
    assert_eq!(machine.read(sgi_base + 0xc04, 4), 0x8000_0002);
}

#[test]
fn priorities_are_bytes_of_five_bits() {
    let machine = Machine::new(1);
    machine.write(GICD + 0x400 + 40, 4, 0x1122_33ff);
    assert_eq!(machine.read(GICD + 0x400 + 40, 4), 0x1020_30f8);
    assert_eq!(machine.read(GICD + 0x400 + 42, 1), 0x20);
    assert_eq!(machine.read(GICD + 0x400 + 40, 2), 0, "no halfword accesses");
}

#[test]
fn interrupts_that_do_not_exist_cannot_be_touched() {
    let machine = Machine::new(1);
    // 1020–1023 in the last words, and bank 0, which is the redistributors'.
    for offset in [0x17c, 0xfc, 0x27c, 0x37c] {
        machine.write(GICD + offset, 4, 0xffff_ffff);
        assert_eq!(machine.read(GICD + offset, 4), 0x0fff_ffff, "{offset:#x}");
    }
    for offset in [0x80, 0x100, 0x200, 0x300, 0x400, 0xc00, 0xc04, 0x6000] {
        machine.write(GICD + offset, 4, 0xffff_ffff);
        assert_eq!(machine.read(GICD + offset, 4), 0, "{offset:#x}");
    }
    assert_eq!(machine.signalled(0), 0);
}

#[test]
fn messages_are_edges() {
    let machine = Machine::new(1);
    machine.write(GICM + 0x40, 4, 70);
    assert_eq!(machine.acknowledge(0), 70);
    machine.end(0, 70);
    assert_eq!(machine.acknowledge(0), 1023);
    for outside in [63, 96, 0xffff_ffff] {
        machine.write(GICM + 0x40, 4, outside);
    }
    assert_eq!(machine.acknowledge(0), 1023);
    assert!(!machine.gic.is_wired_spi(70) && machine.gic.is_wired_spi(63));
}

#[test]
fn unknown_registers_are_not_answered() {
    let machine = Machine::new(1);
    // ICC_AP1R1_EL1 exists with six priority bits or more only.
    assert_eq!(machine.gic.read_icc(0, SysReg::new(3, 0, 12, 9, 1)), None);
    assert_eq!(machine.gic.write_icc(0, SysReg::ICC_RPR_EL1, 0), None);
    assert_eq!(machine.gic.read_icc(0, SysReg::ICC_EOIR1_EL1), None);
    assert_eq!(machine.gic.read_icc(1, SysReg::ICC_PMR_EL1), None, "no such PE");
}

#[test]
fn reset_keeps_the_wires() {
    let machine = Machine::new(1);
    machine.gic.set_spi(SPI, true);
    machine.gic.reset();
    assert_eq!(machine.signalled(0), 0);
    assert!(!machine.bit(0x100, SPI));
    assert!(machine.bit(0x200, SPI), "the device still asserts it");
    assert_eq!(machine.mrs(0, SysReg::ICC_PMR_EL1), 0);
}

#[test]
fn saved_state_restores_into_a_fresh_controller() {
    let old = Machine::new(2);
    old.set_edge(41);
    old.write(GICD + 0x6000 + 8 * 41, 8, 1);
    old.gic.set_spi(SPI, true);
    old.gic.set_spi(41, true);
    old.gic.set_ppi(1, 27, true);
    assert_eq!(old.acknowledge(0), u64::from(SPI));
    let bytes = old.gic.save();

    let new = Machine::cold(2);
    new.gic.load(&bytes).expect("the same topology");
    assert_eq!(new.gic.save(), bytes);
    for pe in 0..2 {
        new.msr(pe, SysReg::ICC_PMR_EL1, 0xf0);
        new.msr(pe, SysReg::ICC_AP1R0_EL1, old.mrs(pe, SysReg::ICC_AP1R0_EL1));
        new.msr(pe, SysReg::ICC_IGRPEN1_EL1, 1);
    }
    assert_eq!([0, 1].map(|pe| new.signalled(pe)), [0, IRQ]);
    assert_eq!(new.acknowledge(1), 27);
    new.end(0, u64::from(SPI));
    assert_eq!(new.acknowledge(0), u64::from(SPI), "the level is still high");
}

#[test]
fn damaged_state_is_refused_and_changes_nothing() {
    let machine = Machine::new(2);
    let good = machine.gic.save();
    let mut wrong_magic = good.clone();
    wrong_magic[0] ^= 1;
    let mut wrong_version = good.clone();
    wrong_version[8] = 99;
    let mut reserved_bit = good.clone();
    reserved_bit[16] = 0xff;
    let long = [&good[..], &[0]].concat();
    for bad in [&wrong_magic, &reserved_bit, &long, &Vec::new(), &good[..good.len() - 1].to_vec()] {
        assert_eq!(machine.gic.load(bad), Err(BlobError::Malformed));
    }
    assert_eq!(machine.gic.load(&wrong_version), Err(BlobError::Version(99)));
    assert_eq!(Machine::cold(1).gic.load(&good), Err(BlobError::Topology));
    assert_eq!(machine.gic.save(), good);
}

/// After a write to the distributor every PE's lines are computed in one pass; the interrupt that each
/// then acknowledges is found for it alone.
#[test]
fn one_pass_finds_what_each_pe_acknowledges() {
    let machine = Machine::new(8);
    // A linear congruential generator.
    let mut state = 1u64;
    let mut next = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % limit
    };
    for _ in 0..300 {
        let intid = 32 + next(988);
        machine.write(GICD + 0x6000 + 8 * intid, 8, next(9) | (next(4) / 3) << 31);
        machine.set_priority(intid as u32, next(32) << 3);
        // GICD_ISPENDR<n>, and for some GICD_IGROUPR<n> and GICD_ICENABLER<n>.
        let (word, bit) = (4 * (intid / 32), 1 << (intid % 32));
        machine.write(GICD + 0x80 + word, 4, next(2).wrapping_neg() & 0xffff_ffff);
        machine.write(GICD + 0x180 + word, 4, if next(8) == 0 { bit } else { 0 });
        machine.write(GICD + 0x200 + word, 4, bit);
        for pe in 0..8 {
            let expected = match machine.lines[pe].attention() {
                0 => None,
                FIQ => Some(SysReg::ICC_HPPIR0_EL1),
                IRQ => Some(SysReg::ICC_HPPIR1_EL1),
                both => panic!("{both:#x}"),
            };
            for register in [SysReg::ICC_HPPIR0_EL1, SysReg::ICC_HPPIR1_EL1] {
                // Nothing runs and 0xf0 masks only the lowest priorities.
                let highest = machine.mrs(pe, register);
                let signalled = highest != 1023 && machine.priority(highest) < 0xf0;
                assert_eq!(signalled, expected == Some(register), "PE {pe}: {highest}");
            }
        }
    }
}
