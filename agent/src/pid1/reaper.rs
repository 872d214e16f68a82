//! Learns of the end of every child, ours or inherited.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
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
    let number = Pid::from_raw(pid.cast_signed());
    let Ok(Some((_, status))) = waitpid(number, WaitOptions::NOHANG) else { return };
    if let (Some(process), Some(status)) = (process, exit_status(status)) {
        let forgotten = process.update(|state| {
            state.status = Some(status);
            state.oom_killed = match state.main {
                true => cgroup::oom_kills() > 0,
                false => status == ExitStatus::Signaled(libc::SIGKILL) && died_for_memory(pid),
            };
            state.finish_if_complete();
            state.detached
        });
        if forgotten {
            // It fails for one that never came to run, which its starter removes.
            let _ = control.processes.remove(process.id);
        }
    }
}

/// Whether the kernel says in its log that it killed this process for want of memory (`__oom_kill_process` of
/// mm/oom_kill.c): a status tells only that somebody killed it.
fn died_for_memory(pid: u32) -> bool {
    let nonblocking = libc::O_NONBLOCK;
    let Ok(mut log) = File::options().read(true).custom_flags(nonblocking).open("/dev/kmsg") else {
        return false;
    };
    let words = format!("Killed process {pid} (");
    // Each read is one record; see dev-kmsg of the kernel's ABI documentation.
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(len) if String::from_utf8_lossy(&record[..len]).contains(&words) => return true,
            Ok(1..) => {}
            // Older records were overwritten; the next read goes on after them.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Ok(_) | Err(_) => return false,
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
