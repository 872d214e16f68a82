//! The firmware a guest calls with HVC or SMC: PSCI 1.1 and the two calls that SMCCC 1.1 demands.

use arch_aarch64::psci::{self, Function, MIGRATE_NOT_REQUIRED, Return};
use arch_aarch64::smccc::{self, FunctionId};

use crate::power::PowerTable;

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The value for X0; the guest goes on.
    Value(u64),
    /// CPU_ON succeeded: the value for X0, and a thread has to be woken.
    Woke(u64),
    /// The calling vCPU is off now; `last` if no other is on.
    Off {
        /// No vCPU is left that could ever turn another one on.
        last: bool,
    },
    /// The machine is to be switched off.
    SystemOff,
    /// The machine is to be reset.
    SystemReset,
}

/// Answers a call of vCPU `caller`: function identifier and arguments from X0 to X3.
pub(crate) fn call(table: &mut PowerTable, caller: usize, registers: [u64; 4]) -> Answer {
    let id = FunctionId(registers[0] as u32);
    // In the 32-bit convention arguments are W registers (SMCCC 3.1).
    let [_, a, b, c] =
        if id.is_64bit() { registers } else { registers.map(|value| value & 0xffff_ffff) };
    let value = |answer: Return| Answer::Value(answer.register());
    match id.0 {
        smccc::VERSION => return Answer::Value(smccc::VERSION_1_1 as u64),
        smccc::ARCH_FEATURES => return Answer::Value(arch_features(a as u32) as u64),
        _ => {}
    }
    let Some(function) = Function::from_id(id) else {
        return Answer::Value(smccc::NOT_SUPPORTED as u64);
    };
    match function {
        Function::Version => Answer::Value(psci::VERSION_1_1.into()),
        Function::Features => value(features(a as u32)),
        Function::CpuSuspend => value(suspend(a)),
        Function::CpuOff => Answer::Off { last: !table.cpu_off(caller) },
        Function::CpuOn => match table.cpu_on(a, b, c) {
            Return::Success => Answer::Woke(Return::Success.register()),
            refused => value(refused),
        },
        Function::AffinityInfo => Answer::Value(table.affinity_info(a, b)),
        Function::MigrateInfoType => Answer::Value(MIGRATE_NOT_REQUIRED),
        Function::SystemOff => Answer::SystemOff,
        Function::SystemReset => Answer::SystemReset,
    }
}

/// `PSCI_FEATURES` (5.1.15). For CPU_SUSPEND the zero also says: original power-state format.
fn features(id: u32) -> Return {
    let id = FunctionId(id);
    if id.0 == smccc::VERSION || Function::from_id(id).is_some() {
        Return::Success
    } else {
        Return::NotSupported
    }
}

/// `SMCCC_ARCH_FEATURES` (7.3): there is nothing beyond the two calls themselves.
fn arch_features(id: u32) -> i64 {
    match id {
        smccc::VERSION | smccc::ARCH_FEATURES => 0,
        _ => smccc::NOT_SUPPORTED,
    }
}

/// `CPU_SUSPEND` (5.1.2). No power-down state is offered. A standby state may end at any moment
/// (5.4.2), and ends at once here: waiting is what WFI is for.
fn suspend(power_state: u64) -> Return {
    const POWER_DOWN: u64 = 1 << 16;
    const ZERO: u64 = 0xfcfe_0000;
    if power_state & (POWER_DOWN | ZERO) != 0 { Return::InvalidParameters } else { Return::Success }
}

#[cfg(test)]
mod tests {
    use arch_aarch64::mpidr::Mpidr;
    use proptest::prelude::*;

    use super::*;
    use crate::power::{Entry, Power};

    fn table() -> PowerTable {
        let affinities: Vec<_> = (0..4).map(Mpidr::of_index).collect();
        let states = PowerTable::cold(4, Entry { pc: 0x4000_0000, x0: 0 });
        let mut table = PowerTable::new(affinities, states, 0x4000_0000..0x5000_0000);
        table.set_on(0);
        table
    }

    fn value(registers: [u64; 4]) -> i64 {
        match call(&mut table(), 0, registers) {
            Answer::Value(value) | Answer::Woke(value) => value as i64,
            other => panic!("{other:?}"),
        }
    }

    // Identifiers and codes from DEN 0022F table 6-1 and 5.2.2, DEN 0028G 7.

    #[test]
    fn versions_and_features() {
        assert_eq!(value([0x8400_0000, 0, 0, 0]), 0x1_0001);
        assert_eq!(value([0x8000_0000, 0, 0, 0]), 0x1_0001);
        assert_eq!(value([0x8400_000a, 0xc400_0003, 0, 0]), 0);
        assert_eq!(value([0x8400_000a, 0x8000_0000, 0, 0]), 0);
        assert_eq!(value([0x8400_000a, 0xc400_0012, 0, 0]), -1);
        assert_eq!(value([0x8000_0001, 0x8000_8000, 0, 0]), -1);
        assert_eq!(value([0x8400_0006, 0, 0, 0]), 2);
        assert_eq!(value([0x1234_5678, 0, 0, 0]), -1);
    }

    #[test]
    fn the_32_bit_convention_ignores_upper_halves() {
        let mut table = table();
        let high = 0xdead_beef_0000_0000;
        let answer = call(&mut table, 0, [0x8400_0003, high | 1, high | 0x4000_0004, high | 9]);
        assert_eq!(answer, Answer::Woke(0));
        assert_eq!(table.get(1), Power::OnPending(Entry { pc: 0x4000_0004, x0: 9 }));
    }

    #[test]
    fn system_calls_and_suspend() {
        assert_eq!(call(&mut table(), 0, [0x8400_0008, 0, 0, 0]), Answer::SystemOff);
        assert_eq!(call(&mut table(), 0, [0x8400_0009, 0, 0, 0]), Answer::SystemReset);
        assert_eq!(call(&mut table(), 0, [0x8400_0002, 0, 0, 0]), Answer::Off { last: true });
        assert_eq!(value([0xc400_0001, 0, 0, 0]), 0);
        assert_eq!(value([0xc400_0001, 1 << 16, 0, 0]), -2);
    }

    proptest! {
        #[test]
        fn any_call_is_answered(registers: [u64; 4], psci in any::<bool>(), caller in 0usize..4) {
            let mut registers = registers;
            if psci {
                registers[0] = registers[0] & 0x4000_001f | 0x8400_0000;
            }
            call(&mut table(), caller, registers);
        }
    }
}
