//! PL011 UART (Arm DDI 0183G), revision r1p5: 32-byte FIFOs.
//!
//! Limits of the emulation: characters take no time, so the baud-rate registers are stored and
//! have no effect; there are no modem lines, no DMA, no IrDA; the line never breaks or garbles.
//! What the guest sends collects in a bounded buffer that the host drains; when it is full the
//! transmit FIFO reads as full and the guest waits, so nothing is dropped and no vCPU does I/O.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use snapshot::{Invalid, Saved};

use crate::{Access, Effect, IrqLine, MmioDevice, primecell};

/// Register offsets (DDI 0183G, table 3-1).
mod reg {
    pub(super) const DR: u64 = 0x000;
    pub(super) const RSR: u64 = 0x004;
    pub(super) const FR: u64 = 0x018;
    pub(super) const ILPR: u64 = 0x020;
    pub(super) const IBRD: u64 = 0x024;
    pub(super) const FBRD: u64 = 0x028;
    pub(super) const LCR_H: u64 = 0x02c;
    pub(super) const CR: u64 = 0x030;
    pub(super) const IFLS: u64 = 0x034;
    pub(super) const IMSC: u64 = 0x038;
    pub(super) const RIS: u64 = 0x03c;
    pub(super) const MIS: u64 = 0x040;
    pub(super) const ICR: u64 = 0x044;
    pub(super) const DMACR: u64 = 0x048;
}

/// UARTPeriphID0–3 of r1p5.
const PERIPH_ID: [u8; 4] = [0x11, 0x10, 0x34, 0x00];
const FIFO_DEPTH: usize = 32;
/// How much unsent output is held for the host before the guest has to wait.
const OUTPUT_LIMIT: usize = 64 * 1024;

const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const FR_RXFF: u32 = 1 << 6;
const FR_TXFE: u32 = 1 << 7;
/// CTS, DSR and DCD: a host is always there.
const FR_MODEM: u32 = 0b111;
const LCR_H_FEN: u32 = 1 << 4;
const CR_LBE: u32 = 1 << 7;
const CR_RESET: u32 = 0x300;
const IFLS_RESET: u32 = 0x12;
const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RT: u32 = 1 << 6;
const INT_OE: u32 = 1 << 10;
const INT_ALL: u32 = 0x7ff;
const RSR_OE: u32 = 1 << 3;

/// Guest-visible state of a [`Pl011`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pl011State {
    rsr: u32,
    ilpr: u32,
    ibrd: u32,
    fbrd: u32,
    lcr_h: u32,
    cr: u32,
    ifls: u32,
    imsc: u32,
    ris: u32,
    dmacr: u32,
    rx: Vec<u8>,
    output: Vec<u8>,
}

impl Default for Pl011State {
    fn default() -> Self {
        Self {
            rsr: 0,
            ilpr: 0,
            ibrd: 0,
            fbrd: 0,
            lcr_h: 0,
            cr: CR_RESET,
            ifls: IFLS_RESET,
            imsc: 0,
            ris: 0,
            dmacr: 0,
            rx: Vec::new(),
            output: Vec::new(),
        }
    }
}

impl Saved for Pl011State {
    const KIND: &'static str = "pl011";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        let invalid = |what| Err(Invalid { kind: Self::KIND, what });
        if self.rx.len() > FIFO_DEPTH {
            return invalid(format!("{} bytes in the receive FIFO", self.rx.len()));
        }
        if self.output.len() > OUTPUT_LIMIT {
            return invalid(format!("{} bytes of unsent output", self.output.len()));
        }
        if (self.imsc | self.ris) & !INT_ALL != 0 {
            return invalid(format!("interrupt bits {:#x}", self.imsc | self.ris));
        }
        Ok(())
    }
}

struct Registers {
    rsr: u32,
    ilpr: u32,
    ibrd: u32,
    fbrd: u32,
    lcr_h: u32,
    cr: u32,
    ifls: u32,
    imsc: u32,
    ris: u32,
    dmacr: u32,
    rx: VecDeque<u8>,
    output: Vec<u8>,
}

/// The serial port.
///
/// Host side: [`Pl011::take_output`] and [`Pl011::receive`]; `wake` is called, on a vCPU thread and
/// with no lock held, when there is output after there was none, and when a full receive FIFO has
/// room again. It must not block.
pub struct Pl011 {
    line: IrqLine,
    wake: Box<dyn Fn() + Send + Sync>,
    registers: Mutex<Registers>,
}

impl Pl011 {
    /// Builds the port from its state; a cold boot passes the default.
    ///
    /// # Errors
    /// If the state cannot be true.
    pub fn new(
        line: IrqLine,
        wake: impl Fn() + Send + Sync + 'static,
        state: &Pl011State,
    ) -> Result<Self, Invalid> {
        state.validate()?;
        let Pl011State { rsr, ilpr, ibrd, fbrd, lcr_h, cr, ifls, imsc, ris, dmacr, rx, output } =
            state.clone();
        line.import(ris & imsc != 0);
        let registers = Registers {
            rsr,
            ilpr,
            ibrd,
            fbrd,
            lcr_h,
            cr,
            ifls,
            imsc,
            ris,
            dmacr,
            rx: rx.into(),
            output,
        };
        Ok(Self { line, wake: Box::new(wake), registers: Mutex::new(registers) })
    }

    /// Guest-visible state. The vCPUs are stopped.
    pub fn save(&self) -> Pl011State {
        let Registers { rsr, ilpr, ibrd, fbrd, lcr_h, cr, ifls, imsc, ris, dmacr, rx, output } =
            &*self.lock();
        Pl011State {
            rsr: *rsr,
            ilpr: *ilpr,
            ibrd: *ibrd,
            fbrd: *fbrd,
            lcr_h: *lcr_h,
            cr: *cr,
            ifls: *ifls,
            imsc: *imsc,
            ris: *ris,
            dmacr: *dmacr,
            rx: rx.iter().copied().collect(),
            output: output.clone(),
        }
    }

    /// Puts the port back to its reset state; unsent output stays for the host.
    pub fn reset(&self) {
        let mut r = self.lock();
        let Pl011State { rsr, ilpr, ibrd, fbrd, lcr_h, cr, ifls, imsc, ris, dmacr, .. } =
            Pl011State::default();
        let output = std::mem::take(&mut r.output);
        let rx = VecDeque::new();
        *r = Registers { rsr, ilpr, ibrd, fbrd, lcr_h, cr, ifls, imsc, ris, dmacr, rx, output };
        self.update_line(&r);
    }

    /// Moves what the guest has sent to the end of `into`.
    pub fn take_output(&self, into: &mut Vec<u8>) {
        let mut r = self.lock();
        if r.output.len() >= OUTPUT_LIMIT {
            r.ris |= INT_TX;
        }
        into.append(&mut r.output);
        self.update_line(&r);
    }

    /// Offers bytes from the host; the number that the receive FIFO took. Offer the rest again
    /// after the next wake-up.
    pub fn receive(&self, bytes: &[u8]) -> usize {
        let mut r = self.lock();
        let room = r.depth().saturating_sub(r.rx.len());
        let taken = room.min(bytes.len());
        r.rx.extend(&bytes[..taken]);
        if taken != 0 {
            // No character time passes, so a time-out follows the last character at once.
            r.ris |= INT_RT;
            r.update_rx_level();
        }
        self.update_line(&r);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_line(&self, r: &Registers) {
        self.line.update(|| r.ris & r.imsc != 0);
    }
}

impl Registers {
    fn depth(&self) -> usize {
        if self.lcr_h & LCR_H_FEN != 0 { FIFO_DEPTH } else { 1 }
    }

    /// Fill level at which the receive interrupt is raised (UARTIFLS.RXIFLSEL).
    fn rx_trigger(&self) -> usize {
        let eighths = match (self.ifls >> 3) & 7 {
            0 => 1,
            1 => 2,
            2 => 4,
            3 => 6,
            _ => 7,
        };
        (self.depth() * eighths / 8).max(1)
    }

    fn update_rx_level(&mut self) {
        if self.rx.len() >= self.rx_trigger() {
            self.ris |= INT_RX;
        } else {
            self.ris &= !INT_RX;
        }
        if self.rx.is_empty() {
            self.ris &= !INT_RT;
        }
    }

    fn flags(&self) -> u32 {
        let mut fr = FR_MODEM;
        if self.rx.is_empty() {
            fr |= FR_RXFE;
        }
        if self.rx.len() >= self.depth() {
            fr |= FR_RXFF;
        }
        if self.output.len() >= OUTPUT_LIMIT {
            fr |= FR_TXFF;
        } else {
            fr |= FR_TXFE;
        }
        fr
    }

    fn transmit(&mut self, byte: u8) {
        if self.cr & CR_LBE != 0 {
            if self.rx.len() < self.depth() {
                self.rx.push_back(byte);
                self.ris |= INT_RT;
            } else {
                self.rsr |= RSR_OE;
                self.ris |= INT_OE;
            }
            self.update_rx_level();
        } else if self.output.len() < OUTPUT_LIMIT {
            self.output.push(byte);
        } else {
            return;
        }
        if self.output.len() < OUTPUT_LIMIT {
            self.ris |= INT_TX;
        } else {
            self.ris &= !INT_TX;
        }
    }

    fn read(&mut self, offset: u64) -> u32 {
        match offset {
            reg::DR => {
                let byte = self.rx.pop_front().unwrap_or(0);
                self.update_rx_level();
                byte.into()
            }
            reg::RSR => self.rsr,
            reg::FR => self.flags(),
            reg::ILPR => self.ilpr,
            reg::IBRD => self.ibrd,
            reg::FBRD => self.fbrd,
            reg::LCR_H => self.lcr_h,
            reg::CR => self.cr,
            reg::IFLS => self.ifls,
            reg::IMSC => self.imsc,
            reg::RIS => self.ris,
            reg::MIS => self.ris & self.imsc,
            reg::DMACR => self.dmacr,
            _ => match primecell::id_register(offset, PERIPH_ID) {
                Some(id) => id,
                None => {
                    tracing::debug!(offset, "PL011: read of no register");
                    0
                }
            },
        }
    }

    fn write(&mut self, offset: u64, value: u32) {
        match offset {
            reg::DR => self.transmit(value as u8),
            reg::RSR => self.rsr = 0,
            reg::ILPR => self.ilpr = value & 0xff,
            reg::IBRD => self.ibrd = value & 0xffff,
            reg::FBRD => self.fbrd = value & 0x3f,
            reg::LCR_H => {
                let flushed = (self.lcr_h ^ value) & LCR_H_FEN != 0;
                self.lcr_h = value & 0xff;
                if flushed {
                    self.rx.clear();
                }
                self.update_rx_level();
            }
            reg::CR => self.cr = value & 0xffff,
            reg::IFLS => {
                self.ifls = value & 0x3f;
                self.update_rx_level();
            }
            reg::IMSC => self.imsc = value & INT_ALL,
            reg::ICR => self.ris &= !value,
            reg::DMACR => self.dmacr = value & 7,
            _ => tracing::debug!(offset, value, "PL011: write to no register"),
        }
    }
}

impl MmioDevice for Pl011 {
    fn read(&self, access: Access) -> u64 {
        let mut r = self.lock();
        let was_full = r.rx.len() >= r.depth();
        let value = primecell::read(access, |offset| r.read(offset));
        let wake = was_full && r.rx.len() < r.depth();
        self.update_line(&r);
        drop(r);
        if wake {
            (self.wake)();
        }
        value
    }

    fn write(&self, access: Access, value: u64) -> Effect {
        let Some((offset, value)) = primecell::write(access, value) else {
            tracing::debug!(?access, "PL011: write between registers");
            return Effect::None;
        };
        let mut r = self.lock();
        let (was_silent, was_full) = (r.output.is_empty(), r.rx.len() >= r.depth());
        r.write(offset, value);
        let wake = was_silent && !r.output.is_empty() || was_full && r.rx.len() < r.depth();
        self.update_line(&r);
        drop(r);
        if wake {
            (self.wake)();
        }
        Effect::None
    }
}

#[cfg(test)]
#[path = "pl011_tests.rs"]
mod tests;
