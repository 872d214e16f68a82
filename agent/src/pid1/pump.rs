//! The thread that moves one process's stdio between its descriptors and its buffers.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::buffer::OutputBuffer;
use super::process::{Process, State};

/// Bytes moved at once.
const CHUNK: usize = 64 * 1024;

/// Our ends of a process's stdio. With a terminal, `stdin` and `stdout` are its master side.
pub(crate) struct Stdio {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// Starts the thread.
pub(crate) fn start(process: Arc<Process>, stdio: Stdio) -> std::io::Result<()> {
    for fd in [&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().flatten() {
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    std::thread::Builder::new()
        .name(format!("stdio {}", process.id))
        .stack_size(128 * 1024)
        .spawn(move || Pump { process, stdio, chunk: vec![0; CHUNK] }.run())?;
    Ok(())
}

struct Pump {
    process: Arc<Process>,
    stdio: Stdio,
    chunk: Vec<u8>,
}

/// What the streams of the process are good for at this moment.
struct Wishes {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    /// The process has ended: what is in the pipes now is all that it wrote.
    ended: bool,
    /// The end has been published: what a descendant still writes is thrown away.
    published: bool,
}

impl Pump {
    fn run(mut self) {
        loop {
            let wishes = self.wishes();
            if wishes.published && self.stdio.stdout.is_none() && self.stdio.stderr.is_none() {
                return;
            }
            let ready = self.wait(&wishes);
            if ready.stdin {
                self.feed();
            }
            if ready.stdout || wishes.ended {
                self.drain(|stdio| &mut stdio.stdout, |state| &mut state.stdout, &wishes);
            }
            if ready.stderr || wishes.ended {
                self.drain(|stdio| &mut stdio.stderr, |state| &mut state.stderr, &wishes);
            }
        }
    }

    fn wishes(&mut self) -> Wishes {
        let state = self.process.state();
        let ended = state.status.is_some();
        let published = state.exit.is_some();
        let close_stdin = state.stdin.closed && state.stdin.is_empty() || ended;
        let wishes = Wishes {
            stdin: self.stdio.stdin.is_some() && !state.stdin.is_empty(),
            stdout: self.stdio.stdout.is_some() && (state.stdout.room(ended) > 0 || published),
            stderr: self.stdio.stderr.is_some() && (state.stderr.room(ended) > 0 || published),
            ended: ended && !published,
            published,
        };
        drop(state);
        if close_stdin {
            self.stdio.stdin = None;
            if wishes.stdin {
                self.process.update_from_pump(|state| state.stdin.discard());
            }
        }
        Wishes { stdin: wishes.stdin && self.stdio.stdin.is_some(), ..wishes }
    }

    /// Waits until something can be done, or anybody changed the state.
    fn wait(&self, wishes: &Wishes) -> Wishes {
        let event = self.process.pump_event();
        let mut fds = vec![PollFd::new(event, PollFlags::IN)];
        let wanted = [
            (wishes.stdin, &self.stdio.stdin, PollFlags::OUT),
            (wishes.stdout, &self.stdio.stdout, PollFlags::IN),
            (wishes.stderr, &self.stdio.stderr, PollFlags::IN),
        ];
        let mut places = [None; 3];
        for (place, (wish, fd, flags)) in places.iter_mut().zip(&wanted) {
            if let (true, Some(fd)) = (*wish, fd) {
                *place = Some(fds.len());
                fds.push(PollFd::from_borrowed_fd(fd.as_fd(), *flags));
            }
        }
        // After the end nothing more than what is there will come from the process itself; only a
        // full buffer is worth a wait.
        let full = (self.stdio.stdout.is_some() && !wishes.stdout)
            || (self.stdio.stderr.is_some() && !wishes.stderr);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = (wishes.ended && !full).then_some(&now);
        let _ = poll(&mut fds, timeout);
        let ready = |place: Option<usize>| place.is_some_and(|at| !fds[at].revents().is_empty());
        let result = Wishes {
            stdin: ready(places[0]),
            stdout: ready(places[1]),
            stderr: ready(places[2]),
            ..*wishes
        };
        let _ = rustix::io::read(event, &mut [0; 8]);
        result
    }

    /// Gives the process what the host sent.
    fn feed(&mut self) {
        let Some(fd) = &self.stdio.stdin else { return };
        let bytes = self.process.state().stdin.peek(CHUNK);
        match rustix::io::write(fd, &bytes) {
            Ok(count) => self.process.update_from_pump(|state| state.stdin.take(count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // It closed its end: as with a broken pipe, the rest goes nowhere.
            Err(_) => {
                self.stdio.stdin = None;
                self.process.update_from_pump(|state| {
                    state.stdin.closed = true;
                    state.stdin.discard();
                });
            }
        }
    }

    /// Takes what the process wrote to one stream.
    fn drain(
        &mut self,
        stream: fn(&mut Stdio) -> &mut Option<OwnedFd>,
        buffer: fn(&mut State) -> &mut OutputBuffer,
        wishes: &Wishes,
    ) {
        let (room, discard) = {
            let mut state = self.process.state();
            let discard = buffer(&mut state).ended;
            let ended = state.status.is_some();
            (if discard { CHUNK } else { buffer(&mut state).room(ended) }, discard)
        };
        let result = match stream(&mut self.stdio) {
            Some(_) if room == 0 => return,
            Some(fd) => rustix::io::read(fd, &mut self.chunk[..room.min(CHUNK)]),
            None => Ok(0),
        };
        match result {
            Ok(count @ 1..) => {
                if !discard {
                    let bytes = &self.chunk[..count];
                    self.process.update_from_pump(|state| buffer(state).push(bytes));
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if wishes.ended => self.end(buffer),
            Err(Errno::AGAIN) => {}
            // A terminal whose last slave was closed says EIO.
            Ok(0) | Err(_) => {
                *stream(&mut self.stdio) = None;
                self.end(buffer);
            }
        }
    }

    fn end(&self, buffer: fn(&mut State) -> &mut OutputBuffer) {
        self.process.update_from_pump(|state| {
            buffer(state).ended = true;
            state.finish_if_complete();
        });
    }
}
