//! The saved state: everything but the CPU interfaces, as versioned little-endian bytes.
//!
//! Layout: magic, version, number of PEs; then the distributor (enables, 31 banks, 988 routes); then
//! for each PE its affinity, whether it is asleep, and its bank. A bank is its six words and 32
//! priority bytes.

use super::bank::Bank;
use super::distributor::{Distributor, SPI_BANKS, shape};
use super::redistributor::{Redistributor, SHAPE};
use super::spec::{CTLR_GRP0, CTLR_GRP1, IROUTER_MASK, PRIORITY_MASK};
use super::state::State;

const MAGIC: [u8; 8] = *b"HVSGICv3";
const VERSION: u32 = 1;

/// Why saved state was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Not a saved interrupt controller, cut short, or with values that no register can hold.
    #[error("the saved GIC state is damaged; take the snapshot again")]
    Malformed,
    /// Written by an incompatible implementation.
    #[error("the saved GIC state has version {0}, this build reads version {VERSION}")]
    Version(u32),
    /// The vCPUs differ in number or affinity.
    #[error(
        "the saved GIC state belongs to other vCPUs; create them with the same MPIDR_EL1 first"
    )]
    Topology,
}

pub(super) fn save(state: &State) -> Vec<u8> {
    let State { distributor: Distributor { enables, banks, routes }, pes, .. } = state;
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend((pes.iter().flatten().count() as u32).to_le_bytes());
    out.extend(enables.to_le_bytes());
    banks.iter().for_each(|bank| save_bank(&mut out, bank));
    routes.iter().for_each(|route| out.extend(route.to_le_bytes()));
    for pe in pes.iter().flatten() {
        let Redistributor { affinity, asleep, bank } = &pe.redistributor;
        out.extend(affinity.to_le_bytes());
        out.extend(u32::from(*asleep).to_le_bytes());
        save_bank(&mut out, bank);
    }
    out
}

fn save_bank(out: &mut Vec<u8>, bank: &Bank) {
    let Bank { group1, enabled, latched, level, active, edge, priority } = bank;
    for word in [group1, enabled, latched, level, active, edge] {
        out.extend(word.to_le_bytes());
    }
    out.extend(priority);
}

pub(super) fn load(state: &mut State, bytes: &[u8]) -> Result<(), BlobError> {
    let mut input = Input(bytes);
    if input.take::<8>()? != MAGIC {
        return Err(BlobError::Malformed);
    }
    let version = input.word()?;
    if version != VERSION {
        return Err(BlobError::Version(version));
    }
    let count = input.word()?;
    if count as usize != state.pes.iter().flatten().count() {
        return Err(BlobError::Topology);
    }
    let distributor = load_distributor(&mut input)?;
    let mut redistributors = Vec::new();
    for pe in state.pes.iter().flatten() {
        let redistributor = load_redistributor(&mut input)?;
        if redistributor.affinity != pe.redistributor.affinity {
            return Err(BlobError::Topology);
        }
        redistributors.push(redistributor);
    }
    if !input.0.is_empty() {
        return Err(BlobError::Malformed);
    }

    state.distributor = distributor;
    for (pe, redistributor) in state.pes.iter_mut().flatten().zip(redistributors) {
        pe.redistributor = redistributor;
    }
    state.routes_changed();
    Ok(())
}

fn load_distributor(input: &mut Input<'_>) -> Result<Distributor, BlobError> {
    let mut distributor = Distributor::new();
    distributor.enables = valid(input.word()?, CTLR_GRP0 | CTLR_GRP1)?;
    for index in 0..SPI_BANKS {
        distributor.banks[index] = load_bank(input, shape(index).implemented)?;
    }
    for route in &mut distributor.routes {
        *route = u64::from_le_bytes(input.take()?);
        if *route & !IROUTER_MASK != 0 {
            return Err(BlobError::Malformed);
        }
    }
    Ok(distributor)
}

fn load_redistributor(input: &mut Input<'_>) -> Result<Redistributor, BlobError> {
    let affinity = input.word()?;
    let asleep = valid(input.word()?, 1)? == 1;
    let bank = load_bank(input, SHAPE.implemented)?;
    if bank.edge & !SHAPE.configurable != Bank::private().edge {
        return Err(BlobError::Malformed);
    }
    Ok(Redistributor { affinity, asleep, bank })
}

fn load_bank(input: &mut Input<'_>, implemented: u32) -> Result<Bank, BlobError> {
    let mut word = || valid(input.word()?, implemented);
    let (group1, enabled, latched) = (word()?, word()?, word()?);
    let (level, active, edge) = (word()?, word()?, word()?);
    let priority: [u8; 32] = input.take()?;
    if priority.iter().any(|priority| priority & !PRIORITY_MASK != 0) {
        return Err(BlobError::Malformed);
    }
    Ok(Bank { group1, enabled, latched, level, active, edge, priority })
}

fn valid(word: u32, mask: u32) -> Result<u32, BlobError> {
    if word & !mask == 0 { Ok(word) } else { Err(BlobError::Malformed) }
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BlobError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(BlobError::Malformed)?;
        self.0 = tail;
        Ok(*head)
    }

    fn word(&mut self) -> Result<u32, BlobError> {
        Ok(u32::from_le_bytes(self.take()?))
    }
}
