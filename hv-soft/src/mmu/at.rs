//! AT S1E0R, S1E0W, S1E1R, S1E1W (Arm ARM C5.3).

use crate::cpu::Cpu;
use crate::insn::Flow;
use crate::mmu::tlb::Regime;
use crate::mmu::walk::{Fault, PERMISSION, Want, walk};

impl Cpu {
    /// Translates an address and reports in PAR_EL1.
    pub(crate) fn address_translate(&mut self, va: u64, want: Want, user: bool) -> Flow {
        // PAN does not apply to these forms.
        let regime = if user { Regime::User } else { Regime::Kernel };
        let fault = match walk(self, va, regime, want) {
            Ok(mapping) if mapping.allows(want, regime) => {
                // Device memory is reported as outer shareable (PAR_EL1.SH).
                let sh = if mapping.is_device() { 2 } else { u64::from(mapping.sh) };
                self.sys.par = u64::from(mapping.attr) << 56
                    | mapping.pa & 0x0000_ffff_ffff_f000
                    | 1 << 11
                    | sh << 7;
                return Flow::Next;
            }
            Ok(mapping) => PERMISSION | mapping.level,
            Err(Fault::Stage1(status)) => status,
            Err(Fault::Table { ipa }) => return self.stage2_abort(va, ipa, want, true),
        };
        self.sys.par = 1 << 11 | u64::from(fault) << 1 | 1;
        Flow::Next
    }
}
