//! Learns of the end of every child, ours or inherited.

use std::sync::Arc;

use agent::ExitStatus;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use super::control::Control;
use super::{cgroup, kernel};

/// Starts the thread.
pub(crate) fn start(control: Arc<Control>) -> std::io::Result<()> {
    std::thread::Builder::new().name("reaper".to_owned()).stack_size(64 * 1024).spawn(
        move || {
            loop {
                match kernel::wait_for_any_child() {
                    Some(pid) => reap(&control, pid),
                    None => control.processes.wait_for_announcement(),
                }
            }
        },
    )?;
    Ok(())
}

/// Looks the child up before its number is free for another.
fn reap(control: &Control, pid: u32) {
    let process = control.processes.by_pid(pid);
    let oom_kills = cgroup::oom_kills();
    let number = Pid::from_raw(pid.cast_signed());
    let Ok(Some((_, status))) = waitpid(number, WaitOptions::NOHANG) else { return };
    if let (Some(process), Some(status)) = (process, exit_status(status)) {
        let killed = oom_kills > control.note_oom_kills(oom_kills);
        let forgotten = process.update(|state| {
            state.status = Some(status);
            state.oom_killed = killed && status == ExitStatus::Signaled(libc::SIGKILL);
            state.finish_if_complete();
            state.detached
        });
        if forgotten {
            // It fails for one that never came to run, which its starter removes.
            let _ = control.processes.remove(process.id);
        }
    }
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(ExitStatus::Exited(code as u8)),
        (None, Some(signal)) => Some(ExitStatus::Signaled(signal)),
        (None, None) => None,
    }
}
