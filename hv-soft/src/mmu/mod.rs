//! Memory accesses of the guest: stage 1, the software TLB, alignment, watchpoints, and what happens
//! when any of them objects.

pub(crate) mod at;
pub(crate) mod maintain;
pub(crate) mod tlb;
pub(crate) mod walk;

use crate::cpu::block::CodePage;
use crate::cpu::exception::{ec, esr};
use crate::cpu::sysreg::SCTLR_A;
use crate::cpu::{CoreExit, Cpu};
use crate::insn::{Flow, R_SP};
use crate::mem::{GuestInt, PAGE, Page};
use tlb::{ALIGNED_ONLY, Regime};
use walk::{ALIGNMENT, Fault, Mapping, PERMISSION, Want, walk};

/// How a load or store behaves apart from its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An ordinary access.
    Normal,
    /// LDTR and STTR: with the rights of EL0.
    Unprivileged,
    /// Exclusive, atomic, acquire or release: must be naturally aligned.
    Aligned,
}

impl Cpu {
    /// The address in a base register.
    ///
    /// # Errors
    /// A recorded stack-pointer alignment fault, if the base is SP and the check is on.
    #[inline(always)]
    pub fn base(&mut self, slot: u8) -> Result<u64, Flow> {
        let va = self.x(slot);
        if slot == R_SP && va & 15 != 0 && self.sp_check() {
            return Err(self.raise(esr(ec::SP_ALIGNMENT, 0), None));
        }
        Ok(va)
    }

    /// Tag bits of the context in which a data access is made.
    #[inline(always)]
    fn context(&self, va: u64, access: Access) -> u64 {
        let contexts = match access {
            Access::Unprivileged => &self.user_contexts,
            _ => &self.contexts,
        };
        contexts[(va >> 55 & 1) as usize]
    }

    /// Loads from a virtual address.
    ///
    /// # Errors
    /// The [`Flow`] to return from the handler: the fault or exit has been recorded.
    #[inline(always)]
    pub fn load<T: GuestInt>(&mut self, va: u64, access: Access) -> Result<T, Flow> {
        if (access != Access::Aligned || va.is_multiple_of(T::SIZE))
            && let Some(host) = self.tlb.read.lookup(va, T::SIZE, self.context(va, access))
        {
            // SAFETY: a TLB hit leads into a live mapping that allows reads, for the whole access.
            return Ok(unsafe { T::read(host) });
        }
        self.load_slow(va, access)
    }

    /// Stores to a virtual address.
    ///
    /// # Errors
    /// The [`Flow`] to return from the handler: the fault or exit has been recorded, and nothing has
    /// been written.
    #[inline(always)]
    pub fn store<T: GuestInt>(&mut self, va: u64, value: T, access: Access) -> Result<(), Flow> {
        if (access != Access::Aligned || va.is_multiple_of(T::SIZE))
            && let Some(host) = self.tlb.write.lookup(va, T::SIZE, self.context(va, access))
        {
            // SAFETY: a TLB hit leads into a live mapping that allows writes, for the whole access.
            unsafe { T::write(host, value) };
            return Ok(());
        }
        self.store_slow(va, value, access)
    }

    /// Loads if a hit in the TLB alone settles the access: for accesses that may be made in larger
    /// pieces than the architecture's, as long as nobody can tell.
    #[inline(always)]
    pub(crate) fn load_hit<T: GuestInt>(&self, va: u64) -> Option<T> {
        let host = self.tlb.read.lookup(va, T::SIZE, self.context(va, Access::Normal))?;
        // SAFETY: a TLB hit leads into a live mapping that allows reads, for the whole access.
        Some(unsafe { T::read(host) })
    }

    /// Stores if a hit in the TLB alone settles the access; says whether it did.
    #[inline(always)]
    pub(crate) fn store_hit<T: GuestInt>(&mut self, va: u64, value: T) -> bool {
        let context = self.context(va, Access::Normal);
        let Some(host) = self.tlb.write.lookup(va, T::SIZE, context) else { return false };
        // SAFETY: a TLB hit leads into a live mapping that allows writes, for the whole access.
        unsafe { T::write(host, value) };
        true
    }

    /// Loads two neighbours if one hit in the TLB settles both.
    #[inline(always)]
    pub(crate) fn load_pair_hit<T: GuestInt>(&self, va: u64) -> Option<[T; 2]> {
        let host = self.tlb.read.lookup(va, 2 * T::SIZE, self.context(va, Access::Normal))?;
        // SAFETY: a TLB hit leads into a live mapping that allows reads, for both.
        Some(unsafe { [T::read(host), T::read(host.add(T::SIZE as usize))] })
    }

    /// Stores two neighbours if one hit in the TLB settles both; says whether it did.
    #[inline(always)]
    pub(crate) fn store_pair_hit<T: GuestInt>(&mut self, va: u64, [low, high]: [T; 2]) -> bool {
        let context = self.context(va, Access::Normal);
        let Some(host) = self.tlb.write.lookup(va, 2 * T::SIZE, context) else { return false };
        // SAFETY: a TLB hit leads into a live mapping that allows writes, for both.
        unsafe {
            T::write(host, low);
            T::write(host.add(T::SIZE as usize), high);
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn load_slow<T: GuestInt>(&mut self, va: u64, access: Access) -> Result<T, Flow> {
        self.check_alignment(va, T::SIZE, Want::Read, access)?;
        let Some((first, second)) = straddle(va, T::SIZE) else {
            let host = self.resolve(Piece::whole(va, T::SIZE), Want::Read, access)?;
            // SAFETY: `resolve` returned memory of a live mapping that allows reads of `SIZE` bytes.
            return Ok(unsafe { T::read(host) });
        };
        let low = self.resolve(first, Want::Read, access)?;
        let high = self.resolve(second, Want::Read, access)?;
        let first_len = first.len as usize;
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate().take(T::SIZE as usize) {
            let host =
                if i < first_len { low.wrapping_add(i) } else { high.wrapping_add(i - first_len) };
            // SAFETY: `resolve` returned readable memory up to the end of the first page and from
            // the start of the second.
            *byte = unsafe { u8::read(host) };
        }
        Ok(T::from_bytes(&bytes))
    }

    #[cold]
    #[inline(never)]
    fn store_slow<T: GuestInt>(&mut self, va: u64, value: T, access: Access) -> Result<(), Flow> {
        self.check_alignment(va, T::SIZE, Want::Write, access)?;
        let Some((first, second)) = straddle(va, T::SIZE) else {
            let host = self.resolve(Piece::whole(va, T::SIZE), Want::Write, access)?;
            // SAFETY: `resolve` returned memory of a live mapping that allows writes of `SIZE` bytes.
            unsafe { T::write(host, value) };
            return Ok(());
        };
        let low = self.resolve(first, Want::Write, access)?;
        let high = self.resolve(second, Want::Write, access)?;
        let first_len = first.len as usize;
        let bytes = value.to_bytes();
        for (i, &byte) in bytes.iter().enumerate().take(T::SIZE as usize) {
            let host =
                if i < first_len { low.wrapping_add(i) } else { high.wrapping_add(i - first_len) };
            // SAFETY: `resolve` returned writable memory up to the end of the first page and from
            // the start of the second.
            unsafe { u8::write(host, byte) };
        }
        Ok(())
    }

    /// Host memory for an atomic read-modify-write of `size` bytes (a power of two).
    ///
    /// # Errors
    /// The [`Flow`] to return from the handler.
    #[inline(always)]
    pub(crate) fn atomic_ptr(&mut self, va: u64, size: u64) -> Result<*mut u8, Flow> {
        if va.is_multiple_of(size) {
            let context = self.context(va, Access::Aligned);
            if let (Some(host), Some(_)) =
                (self.tlb.write.lookup(va, size, context), self.tlb.read.lookup(va, size, context))
            {
                return Ok(host);
            }
        }
        self.atomic_ptr_slow(va, size)
    }

    #[cold]
    #[inline(never)]
    fn atomic_ptr_slow(&mut self, va: u64, size: u64) -> Result<*mut u8, Flow> {
        self.check_alignment(va, size, Want::Read, Access::Aligned)?;
        let piece = Piece::whole(va, size);
        self.resolve(piece, Want::Read, Access::Aligned)?;
        self.resolve(piece, Want::Write, Access::Aligned)
    }

    /// Host memory for an atomic load.
    ///
    /// # Errors
    /// The [`Flow`] to return from the handler.
    pub(crate) fn read_ptr(&mut self, va: u64, size: u64) -> Result<*mut u8, Flow> {
        self.aligned_ptr(va, size, Want::Read)
    }

    /// Host memory for a store-exclusive.
    ///
    /// # Errors
    /// The [`Flow`] to return from the handler.
    pub(crate) fn write_ptr(&mut self, va: u64, size: u64) -> Result<*mut u8, Flow> {
        self.aligned_ptr(va, size, Want::Write)
    }

    fn aligned_ptr(&mut self, va: u64, size: u64, want: Want) -> Result<*mut u8, Flow> {
        let tlb = if want == Want::Write { &self.tlb.write } else { &self.tlb.read };
        if va.is_multiple_of(size)
            && let Some(host) = tlb.lookup(va, size, self.context(va, Access::Aligned))
        {
            return Ok(host);
        }
        self.check_alignment(va, size, want, Access::Aligned)?;
        self.resolve(Piece::whole(va, size), want, Access::Aligned)
    }

    /// Host memory for DC ZVA: the line that holds the address.
    ///
    /// # Errors
    /// The [`Flow`] to return from the handler. Device memory is an alignment fault.
    pub(crate) fn zero_ptr(&mut self, va: u64, line: u64) -> Result<*mut u8, Flow> {
        let start = va & !(line - 1);
        if let Some(host) = self.tlb.write.lookup(start, line, self.context(va, Access::Normal)) {
            return Ok(host);
        }
        let mapping = self.translate(va, Want::Write, self.regime)?;
        if mapping.is_device() {
            return Err(self.data_abort(va, ALIGNMENT, Want::Write));
        }
        self.resolve(Piece::whole(start, line), Want::Write, Access::Normal)
    }

    /// Translates the address of a cache maintenance instruction. Faults say so (`CM`), and are
    /// reported as writes (Arm ARM, ISS of a data abort).
    ///
    /// # Errors
    /// The [`Flow`] to return from the handler.
    pub(crate) fn maintenance_address(&mut self, va: u64, want: Want) -> Result<u64, Flow> {
        // PAN does not apply.
        let regime = if self.pstate.el == 0 { Regime::User } else { Regime::Kernel };
        let pa = self.translate(va, want, regime).map(|mapping| mapping.pa).inspect_err(|_| {
            if let Some(pending) = &mut self.pending {
                pending.esr |= MAINTENANCE_ISS;
            }
        })?;
        if self.regions.page(pa).is_some() {
            return Ok(pa);
        }
        let flow = self.stage2_abort(va, pa, Want::Write, false);
        if let Some(CoreExit::DataAbort { esr, .. }) = &mut self.exit {
            *esr |= MAINTENANCE_ISS;
        }
        Err(flow)
    }

    /// The alignment checks that precede translation.
    fn check_alignment(
        &mut self,
        va: u64,
        size: u64,
        want: Want,
        access: Access,
    ) -> Result<(), Flow> {
        let must = access == Access::Aligned || self.sys.sctlr & SCTLR_A != 0;
        if must && !va.is_multiple_of(size) {
            return Err(self.data_abort(va, ALIGNMENT, want));
        }
        Ok(())
    }

    /// Translates the piece of a data access and enters its page in the TLB.
    fn resolve(&mut self, piece: Piece, want: Want, access: Access) -> Result<*mut u8, Flow> {
        let Piece { va, len, aligned } = piece;
        let regime = match access {
            Access::Unprivileged => Regime::User,
            _ => self.regime,
        };
        let tlb = match want {
            Want::Write => &self.tlb.write,
            _ => &self.tlb.read,
        };
        // The entries that the first, quick look passes over: of Device memory, for an aligned access;
        // of the page that it did not look at, for one that straddles.
        let context = self.context(va, access) | if aligned { ALIGNED_ONLY } else { 0 };
        if let Some(host) = tlb.lookup(va, len, context) {
            return Ok(host);
        }
        let mapping = self.translate(va, want, regime)?;
        if mapping.is_device() && !aligned {
            return Err(self.data_abort(va, ALIGNMENT, want));
        }
        if self.debug.watches() && self.watchpoint_hit(va, len, want, regime) {
            return Err(self.watchpoint(va, want));
        }
        let Some(page) = self.regions.page(mapping.pa).filter(|page| allowed(page, want)) else {
            return Err(self.stage2_abort(va, mapping.pa, want, false));
        };
        if !self.debug.watches_page(va) {
            self.enter(va, want, access, &mapping, page.host);
        }
        Ok(page.host)
    }

    /// Stage 1 for a data access, with the fault recorded.
    pub(crate) fn translate(
        &mut self,
        va: u64,
        want: Want,
        regime: Regime,
    ) -> Result<Mapping, Flow> {
        match walk(self, va, regime, want) {
            Ok(mapping) if mapping.allows(want, regime) => Ok(mapping),
            Ok(mapping) => Err(self.data_abort(va, PERMISSION | mapping.level, want)),
            Err(Fault::Stage1(status)) => Err(self.data_abort(va, status, want)),
            Err(Fault::Table { ipa }) => Err(self.stage2_abort(va, ipa, want, true)),
        }
    }

    fn enter(&mut self, va: u64, want: Want, access: Access, mapping: &Mapping, host: *mut u8) {
        if mapping.level < 3 {
            self.tlb.note_block(va, mapping.level);
        }
        let aligned_only = mapping.is_device() || self.sys.sctlr & SCTLR_A != 0;
        let mut bits = self.context(va, access);
        if aligned_only {
            bits |= ALIGNED_ONLY;
        }
        if va >> 55 & 1 != 0 && mapping.ng {
            self.upper_nonglobal = true;
        }
        let tlb = match want {
            Want::Write => &mut self.tlb.write,
            _ => &mut self.tlb.read,
        };
        tlb.insert(va, bits, (host as u64).wrapping_sub(va));
    }

    /// Enters the translation of an instruction page.
    pub(crate) fn enter_code(&mut self, pc: u64, mapping: &Mapping, code: *mut CodePage) {
        if mapping.level < 3 {
            self.tlb.note_block(pc, mapping.level);
        }
        if pc >> 55 & 1 != 0 && mapping.ng {
            self.upper_nonglobal = true;
        }
        self.tlb.exec.insert(pc, self.contexts[(pc >> 55 & 1) as usize], code as u64);
    }

    /// Records a data abort taken to EL1.
    pub(crate) fn data_abort(&mut self, va: u64, status: u8, want: Want) -> Flow {
        let class = if self.pstate.el == 0 { ec::DATA_ABORT_LOWER } else { ec::DATA_ABORT };
        let wnr = u64::from(want == Want::Write) << 6;
        self.raise(esr(class, wnr | u64::from(status)), Some(va))
    }

    /// Records an exit for an access that the memory map does not satisfy.
    pub(crate) fn stage2_abort(&mut self, va: u64, ipa: u64, want: Want, table: bool) -> Flow {
        let mapped = self.regions.page(ipa).is_some();
        let status = if mapped { PERMISSION | 3 } else { TRANSLATION_L3 };
        let mut iss = u64::from(status) | u64::from(table) << 7;
        if want == Want::Exec {
            self.exit =
                Some(CoreExit::InstructionAbort { esr: esr(ec::INSN_ABORT_LOWER, iss), va, ipa });
        } else {
            // The dispatcher completes the syndrome with the instruction's ISV fields.
            iss |= u64::from(want == Want::Write) << 6;
            self.exit = Some(CoreExit::DataAbort { esr: esr(ec::DATA_ABORT_LOWER, iss), va, ipa });
        }
        Flow::Exit
    }
}

/// `CM` and `WnR`: what the syndrome of a cache maintenance instruction says.
const MAINTENANCE_ISS: u64 = 1 << 8 | 1 << 6;
const TRANSLATION_L3: u8 = walk::TRANSLATION | 3;

fn allowed(page: &Page, want: Want) -> bool {
    match want {
        Want::Read => page.perms.read,
        Want::Write => page.perms.write,
        Want::Exec => page.perms.exec,
    }
}

/// The part of a data access that lies within one page.
#[derive(Clone, Copy)]
struct Piece {
    va: u64,
    len: u64,
    /// The access that it is a part of is naturally aligned.
    aligned: bool,
}

impl Piece {
    /// An access that lies within one page as a whole.
    fn whole(va: u64, size: u64) -> Piece {
        Piece { va, len: size, aligned: va.is_multiple_of(size) }
    }
}

/// The two pieces of an access that straddles pages.
fn straddle(va: u64, size: u64) -> Option<(Piece, Piece)> {
    let second = (va | (PAGE - 1)).wrapping_add(1);
    let len = second.wrapping_sub(va);
    (len < size).then_some((
        Piece { va, len, aligned: false },
        Piece { va: second, len: size - len, aligned: false },
    ))
}
