//! The user's terminal.

use std::io::{self, IsTerminal};

use agent::WindowSize;
use rustix::{
    stdio::{stdin, stdout},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};

/// The terminal in raw mode; dropped, it is as it was.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Modes,
}

/// The modes of a terminal before they were changed.
#[derive(Debug, Clone)]
pub(crate) struct Modes(Termios);

impl Modes {
    /// Makes standard input as it was.
    pub(crate) fn restore(&self) {
        // A terminal that has vanished needs no restoring.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

impl RawMode {
    /// Switches standard input to raw mode; `None` if it is no terminal.
    ///
    /// # Errors
    /// The terminal's.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(Self { before: Modes(before) }))
    }

    /// For whoever must end this process without dropping this.
    pub(crate) fn before(&self) -> Modes {
        self.before.clone()
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.before.restore();
    }
}

/// Size of the terminal on standard output, if it is one.
pub(crate) fn window_size() -> Option<WindowSize> {
    let size = tcgetwinsize(stdout()).ok()?;
    Some(WindowSize { rows: size.ws_row, columns: size.ws_col })
}
