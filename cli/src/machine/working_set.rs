//! A restored machine's memory comes from the snapshot's file page by page, as it is touched. What a machine had to wait for in
//! its first moments is written down beside the snapshot, so that it is there already when the next one asks for it.

use std::{fs, sync::Arc, thread, time::Duration};

use ::snapshot::{Snapshot, WorkingSet};

use super::supervisor::Supervisor;

/// The host tells what a machine has touched. One that does not has nothing to read ahead, and reads as it likes.
pub(crate) const HOST_TELLS: bool = cfg!(target_os = "linux");

/// How long a machine's first moments are.
pub(crate) const FIRST_MOMENTS: Duration = Duration::from_secs(1);

/// A machine that waited for the disk so often has touched pages that should have been read ahead.
const MANY: u64 = 64;

/// Bytes that are read ahead side by side: all of most sets.
const WINDOW: u64 = 16 << 20;

/// Has the host map what earlier machines touched first, and writes down what this one does.
pub(super) fn follow(supervisor: &Arc<Supervisor>, snapshot: Snapshot) -> anyhow::Result<()> {
    let supervisor = supervisor.clone();
    thread::Builder::new().name("working set".into()).spawn(move || {
        let machine = supervisor.guest().machine();
        let told = snapshot.working_set();
        let known = told.clone().unwrap_or_default();
        snapshot.read_ahead(&known, WINDOW, |piece| {
            known.written_in(piece).iter().for_each(|part| machine.populate_memory(part, true));
            machine.populate_memory(piece, false);
        });
        if supervisor.wait_limited(Some(FIRST_MOMENTS)) {
            return;
        }
        // The first set stays: one that is read ahead of cannot tell what of it was touched. A machine that waited for little
        // has its file in memory, which maps more than what was touched; and a capture touches all.
        let waited = waits_for_disk().is_some_and(|waits| waits >= MANY);
        let touched = if waited && known.bytes() == 0 && !supervisor.was_read() {
            Some(WorkingSet::new(machine.resident_memory(), machine.written_memory()))
        } else if told.is_none() {
            Some(WorkingSet::default())
        } else {
            None
        };
        if let Some(touched) = touched
            && let Err(error) = snapshot.keep_working_set(&touched)
        {
            tracing::debug!("the next restore takes no less time than this one: {error}");
        }
        machine.expect_scattered_accesses(false);
    })?;
    Ok(())
}

/// How often this process had to wait for a page from the disk: its major faults (proc_pid_stat(5), field 12).
fn waits_for_disk() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name before it may have spaces and parentheses in it.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_tells_its_faults() {
        super::waits_for_disk().unwrap();
    }
}
