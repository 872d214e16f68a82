//! Where the controller's frames lie in the guest-physical address space.

use super::spec;

/// Base addresses of the frames and the range of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The distributor's frame.
    pub distributor: u64,
    /// First redistributor; the others follow.
    pub redistributor: u64,
    /// The message frame, if there is one.
    pub msi: Option<Msi>,
}

/// A GICv2m frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msi {
    /// Base address.
    pub base: u64,
    /// First SPI.
    pub first: u32,
    /// Number of SPIs.
    pub count: u32,
}

impl Msi {
    /// Whether the frame raises that SPI.
    pub fn contains(&self, intid: u32) -> bool {
        (self.first..self.first + self.count).contains(&intid)
    }

    /// `MSI_TYPER`: first SPI and number of SPIs.
    pub(super) fn typer(&self) -> u64 {
        u64::from(self.first << 16 | self.count)
    }
}

/// An address within one of the frames.
pub(super) enum Frame {
    Distributor(u32),
    Redistributor { pe: usize, offset: u32 },
    Msi(u32),
}

impl Config {
    /// The frames as half-open address ranges.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        let msi = self.msi.as_ref().map(|msi| (msi.base, msi.base + spec::MSI_REGION_SIZE));
        [
            (self.distributor, self.distributor + spec::DISTRIBUTOR_SIZE),
            (self.redistributor, self.redistributor + spec::REDISTRIBUTOR_REGION_SIZE),
        ]
        .into_iter()
        .chain(msi)
    }

    pub(super) fn frame(&self, ipa: u64) -> Option<Frame> {
        let within = |base: u64, size: u64| ipa.checked_sub(base).filter(|offset| *offset < size);
        if let Some(offset) = within(self.distributor, spec::DISTRIBUTOR_SIZE) {
            return Some(Frame::Distributor(offset as u32));
        }
        if let Some(offset) = within(self.redistributor, spec::REDISTRIBUTOR_REGION_SIZE) {
            return Some(Frame::Redistributor {
                pe: (offset / spec::REDISTRIBUTOR_SIZE) as usize,
                offset: (offset % spec::REDISTRIBUTOR_SIZE) as u32,
            });
        }
        let msi = self.msi.as_ref()?;
        within(msi.base, spec::MSI_REGION_SIZE).map(|offset| Frame::Msi(offset as u32))
    }
}
