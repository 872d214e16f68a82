//! The inner shareable domain: the guest-physical memory and the PEs that share it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::cpu::code_marks::CodeMarks;
use crate::cpu::lines::{Lines, Maintenance};
use crate::mem::{MapError, Perms, Regions};

/// What the vCPUs of one machine share.
#[derive(Debug, Default)]
pub struct Domain {
    regions: RwLock<Arc<Regions>>,
    lines: RwLock<Vec<Arc<Lines>>>,
    pub(crate) code_marks: CodeMarks,
}

impl Domain {
    /// A machine without memory or vCPUs.
    pub fn new() -> Arc<Domain> {
        Arc::default()
    }

    /// The present memory map.
    pub fn regions(&self) -> Arc<Regions> {
        self.regions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Maps host memory at a guest-physical address.
    ///
    /// # Errors
    /// If the range is malformed or overlaps a mapping.
    ///
    /// # Safety
    /// `host` is page-aligned and stays valid for reads and writes of `len` bytes (as far as `perms`
    /// allows them) until it is unmapped or the domain and all its vCPUs are gone, and nobody holds
    /// Rust references into it.
    pub unsafe fn map(
        &self,
        ipa: u64,
        len: u64,
        host: *mut u8,
        perms: Perms,
    ) -> Result<(), MapError> {
        self.install(ipa, len, |regions| regions.with(ipa, len, host as usize, perms))
    }

    /// Removes mappings. When it returns, no vCPU touches the host memory any more.
    ///
    /// # Errors
    /// If the range is malformed or not fully mapped.
    pub fn unmap(&self, ipa: u64, len: u64) -> Result<(), MapError> {
        self.install(ipa, len, |regions| regions.changed(ipa, len, None))
    }

    /// Changes the rights of mappings. When it returns, no vCPU uses the old ones.
    ///
    /// # Errors
    /// If the range is malformed or not fully mapped.
    pub fn protect(&self, ipa: u64, len: u64, perms: Perms) -> Result<(), MapError> {
        self.install(ipa, len, |regions| regions.changed(ipa, len, Some(perms)))
    }

    /// Makes the map another one, in this range.
    fn install(
        &self,
        ipa: u64,
        len: u64,
        change: impl FnOnce(&Regions) -> Result<Regions, MapError>,
    ) -> Result<(), MapError> {
        {
            let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
            *regions = Arc::new(change(&regions)?);
        }
        let tickets = self.post(None, Maintenance::Remapped { ipa, len });
        for (lines, ticket) in tickets {
            while !lines.acknowledged(ticket) {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    /// Makes a vCPU part of the domain.
    pub(crate) fn join(&self, lines: &Arc<Lines>) {
        self.lines.write().unwrap_or_else(PoisonError::into_inner).push(lines.clone());
    }

    /// Removes a vCPU from the domain.
    pub(crate) fn leave(&self, lines: &Arc<Lines>) {
        let mut all = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| !Arc::ptr_eq(other, lines));
    }

    /// Posts maintenance to every vCPU but `except`; returns what to wait for.
    pub(crate) fn post(
        &self,
        except: Option<&Arc<Lines>>,
        op: Maintenance,
    ) -> Vec<(Arc<Lines>, u64)> {
        let all = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|lines| except.is_none_or(|own| !Arc::ptr_eq(own, lines)))
            .map(|lines| (lines.clone(), lines.post(op)))
            .collect()
    }

    /// SEV: sets every event register.
    pub(crate) fn send_event(&self) {
        let all = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().for_each(|lines| lines.send_event());
    }
}
