//! The progress of a pull, on standard error.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use image::{Event, LayerInfo};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Bars on a terminal, nothing elsewhere
    Auto,
    /// One JSON object a line
    Json,
    /// Nothing
    None,
}

/// Shows events as they come.
pub(crate) struct Show(Kind);

enum Kind {
    Bars(Bars),
    Json,
    None,
}

struct Bars {
    all: MultiProgress,
    /// One for each layer; empty until the layers are known.
    layers: Mutex<Vec<ProgressBar>>,
}

impl Show {
    pub(crate) fn new(mode: Mode) -> Self {
        Self(match mode {
            Mode::Auto if std::io::stderr().is_terminal() => {
                Kind::Bars(Bars { all: MultiProgress::new(), layers: Mutex::default() })
            }
            Mode::Json => Kind::Json,
            Mode::Auto | Mode::None => Kind::None,
        })
    }

    pub(crate) fn event(&self, event: &Event) {
        match &self.0 {
            Kind::Bars(bars) => bars.event(event),
            Kind::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    // A reader that has gone does not stop the pull.
                    let _ = writeln!(std::io::stderr().lock(), "{line}");
                }
            }
            Kind::None => {}
        }
    }

    pub(crate) fn finish(self) {
        if let Kind::Bars(bars) = self.0 {
            let layers = bars.layers.into_inner().unwrap_or_default();
            layers.iter().filter(|bar| !bar.is_finished()).for_each(ProgressBar::abandon);
        }
    }
}

impl Bars {
    fn event(&self, event: &Event) {
        let Ok(mut layers) = self.layers.lock() else { return };
        let bar = |layer: &usize| layers.get(*layer).cloned().unwrap_or_else(ProgressBar::hidden);
        match event {
            Event::Resolved { layers: infos, .. } => {
                *layers = infos.iter().map(|info| self.bar(info)).collect();
            }
            Event::Present { layer } => bar(layer).finish_with_message("Already exists"),
            Event::Fetched { layer, bytes, .. } => advance(&bar(layer), "Downloading", *bytes),
            Event::Converted { layer, bytes, .. } => advance(&bar(layer), "Converting", *bytes),
            Event::Retrying { layer, reason, .. } => {
                bar(layer).set_message(format!("Retrying: {reason}"));
            }
            Event::Done { layer, .. } => bar(layer).finish_with_message("Pull complete"),
            _ => {}
        }
    }

    fn bar(&self, info: &LayerInfo) -> ProgressBar {
        let template = "{prefix}: {msg:<12} {bar:30} {bytes:>10}/{total_bytes:<10} {bytes_per_sec}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(info.size).with_style(style);
        bar.set_prefix(info.digest.short().to_owned());
        bar.set_message("Waiting");
        self.all.add(bar)
    }
}

/// The bar counts each state from the start, so its speed is that of the state.
fn advance(bar: &ProgressBar, state: &'static str, bytes: u64) {
    if bar.message() != state {
        bar.reset();
        bar.set_message(state);
    }
    bar.set_position(bytes);
}
