//! TLB and instruction-cache maintenance, here and on the other PEs of the domain.

use std::sync::Arc;

use crate::cpu::Cpu;
use crate::cpu::lines::Maintenance;
use crate::mem::PAGE;

impl Cpu {
    /// Does maintenance on this PE.
    pub(crate) fn maintain(&mut self, op: Maintenance) {
        match op {
            Maintenance::TlbAll => self.tlb.drop_all(),
            Maintenance::TlbVa(va) => self.tlb.drop_page(va),
            Maintenance::TlbAsid(asid) => {
                self.tlb.drop_asid(asid);
                if self.upper_nonglobal {
                    self.upper_nonglobal = false;
                    self.tlb.drop_all();
                }
            }
            Maintenance::CodePage(ipa) => {
                if let Some(page) = self.code.drop_page(ipa) {
                    self.tlb.exec.drop_payload(page);
                }
            }
            Maintenance::CodeAll => {
                self.code.drop_all();
                self.tlb.exec.clear();
            }
            Maintenance::Remapped { ipa, len } => {
                self.regions = self.domain.regions();
                self.monitor = None;
                // Blocks elsewhere depend on nothing that has changed.
                self.code.drop_range(ipa, len);
                self.tlb.exec.clear();
                self.tlb.drop_all();
            }
            Maintenance::RemappedAll => {
                self.regions = self.domain.regions();
                self.monitor = None;
                self.code.drop_all();
                self.tlb.exec.clear();
                self.tlb.drop_all();
            }
        }
        self.refresh();
    }

    /// Does maintenance on this PE and asks the others of the domain for it. DSB waits for them.
    pub(crate) fn maintain_all(&mut self, op: Maintenance) {
        self.maintain(op);
        for (lines, ticket) in self.domain.post(Some(&self.lines), op) {
            // A later ticket includes the earlier ones, so a guest without DSB costs no memory.
            match self.awaited.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &lines)) {
                Some(known) => known.1 = ticket,
                None => self.awaited.push((lines, ticket)),
            }
        }
    }

    /// IC IVAU for the page of a physical address.
    pub(crate) fn invalidate_code(&mut self, pa: u64) {
        let ipa = pa & !(PAGE - 1);
        let domain = self.domain.clone();
        domain.code_marks.take(ipa, || self.maintain_all(Maintenance::CodePage(ipa)));
    }

    /// Does what other PEs asked for.
    pub(crate) fn serve_maintenance(&mut self) {
        let lines = self.lines.clone();
        let (ops, ticket) = lines.collect();
        for op in ops {
            self.maintain(op);
        }
        lines.finish(ticket);
    }

    /// Waits until maintenance asked of other PEs is complete there (DSB). Serves their requests
    /// meanwhile, so that two PEs may wait for each other; returns whether there were any.
    pub(crate) fn await_maintenance(&mut self) -> bool {
        let mut served = false;
        while let Some((lines, ticket)) = self.awaited.pop() {
            while !lines.acknowledged(ticket) {
                if self.lines.attention() & crate::cpu::lines::MAINTENANCE != 0 {
                    self.serve_maintenance();
                    served = true;
                }
                std::thread::yield_now();
            }
        }
        served
    }
}
