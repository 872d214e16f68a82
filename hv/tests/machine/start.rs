//! Many vCPUs.

use crate::machine::Machine;

pub(crate) const TESTS: &[(&str, fn())] = &[("vcpus_32_start_and_stop", thirty_two)];

fn thirty_two() {
    let machine = Machine::new("all", 0);
    assert_eq!(machine.run(32), 32 * 33 / 2);
}
