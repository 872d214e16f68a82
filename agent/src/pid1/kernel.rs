//! Calls that no safe wrapper has: `clone3`, `waitid` without reaping, vsock addresses, and a few
//! ioctls. All of this program's `unsafe` is here.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Any CID: `VMADDR_CID_ANY` of vsock(7).
pub(crate) const ANY_CID: u32 = libc::VMADDR_CID_ANY;
/// The host: `VMADDR_CID_HOST` of vsock(7).
pub(crate) const HOST_CID: u32 = libc::VMADDR_CID_HOST;

/// `CLONE_INTO_CGROUP` of linux/sched.h, which does not fit libc's type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child of [`clone_and_exec`] becomes.
pub(crate) struct Child<'a> {
    /// The new program.
    pub program: &'a CStr,
    /// Its only argument, `argv[0]`.
    pub name: &'a CStr,
    /// Its descriptors 0, 1, 2, …
    pub descriptors: &'a [BorrowedFd<'a>],
    /// Its control group.
    pub cgroup: BorrowedFd<'a>,
    /// `CLONE_NEW…` flags.
    pub namespaces: u64,
}

/// Makes a child in new namespaces that executes another program at once; returns its process id
/// as this namespace counts, and a descriptor for it.
pub(crate) fn clone_and_exec(child: &Child<'_>) -> io::Result<(u32, OwnedFd)> {
    let argv = [child.name.as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null()];
    let moved = out_of_the_way(child.descriptors)?;
    let descriptors: Vec<RawFd> = moved.iter().map(|fd| fd.as_raw_fd()).collect();
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, for which zero is "not used" (clone(2)).
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = child.namespaces | libc::CLONE_PIDFD as u64 | CLONE_INTO_CGROUP;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = child.cgroup.as_raw_fd() as u64;
    // SAFETY: without CLONE_VM the child has a copy of this memory and this thread alone. Up to
    // execve or _exit it makes nothing but async-signal-safe system calls on values prepared above.
    unsafe {
        let pid =
            libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>());
        if pid == 0 {
            for (number, &fd) in descriptors.iter().enumerate() {
                if libc::dup2(fd, number as RawFd) < 0 {
                    libc::_exit(127);
                }
            }
            libc::execve(child.program.as_ptr(), argv.as_ptr(), envp.as_ptr());
            libc::_exit(127);
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((pid as u32, OwnedFd::from_raw_fd(pidfd)))
    }
}

/// Becomes another program, with its environment in the order given. Returns only the reason why not.
pub(crate) fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: every pointer is to a string that outlives the call, and both lists end with null.
    // This program's runtime ignores SIGPIPE; what comes must not inherit that.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
    }
    io::Error::last_os_error()
}

/// Blocks until a child has ended and returns its process id without reaping it; `None` if there is
/// no child.
pub(crate) fn wait_for_any_child() -> Option<u32> {
    loop {
        // SAFETY: siginfo_t is plain data that the kernel fills, and this is valid memory for it.
        let (result, pid) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOWAIT;
            (libc::waitid(libc::P_ALL, 0, &raw mut info, flags), info.si_pid())
        };
        if result == 0 {
            return Some(pid as u32);
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// A vsock stream socket bound to a port and listening.
pub(crate) fn vsock_listen(port: u32) -> io::Result<OwnedFd> {
    let socket = vsock()?;
    let address = vsock_address(ANY_CID, port);
    // SAFETY: the address is a sockaddr_vm that outlives both calls, given with its own size.
    check(unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
    })?;
    // SAFETY: listen takes no memory.
    check(unsafe { libc::listen(socket.as_raw_fd(), 128) })?;
    Ok(socket)
}

/// The next connection to a listening socket.
pub(crate) fn vsock_accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: a null address asks for none; the result is a new descriptor that nobody else owns.
    unsafe {
        let fd = libc::accept4(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_CLOEXEC,
        );
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A stream connected to a port of another machine.
pub(crate) fn vsock_connect(cid: u32, port: u32) -> io::Result<OwnedFd> {
    let socket = vsock()?;
    let address = vsock_address(cid, port);
    // SAFETY: the address is a sockaddr_vm that outlives the call, given with its own size.
    check(unsafe {
        libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
    })?;
    Ok(socket)
}

/// The virtual counter, and how often it ticks a second (`CNTVCT_EL0` and `CNTFRQ_EL0`, Arm ARM D12.1).
#[cfg(target_arch = "aarch64")]
pub(crate) fn counter() -> (u64, u64) {
    let (counter, frequency);
    // SAFETY: the two registers are only read; Linux lets programs do so.
    unsafe {
        std::arch::asm!(
            "isb",
            "mrs {counter}, CNTVCT_EL0",
            "mrs {frequency}, CNTFRQ_EL0",
            counter = out(reg) counter,
            frequency = out(reg) frequency,
            options(nomem, nostack)
        );
    }
    (counter, frequency)
}

/// On other processors, where only the tests run, the monotonic clock counts instead.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) fn counter() -> (u64, u64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    ((now.tv_sec * 1_000_000_000 + now.tv_nsec) as u64, 1_000_000_000)
}

/// Mixes bytes into the kernel's random pool with full credit and reseeds its generator
/// (RNDADDENTROPY and RNDRESEEDCRNG of random(4)).
pub(crate) fn reseed(entropy: &[u8]) -> io::Result<()> {
    const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
    const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
    let device = std::fs::File::options().write(true).open("/dev/urandom")?;
    let length = i32::try_from(entropy.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let bits = length.checked_mul(8).ok_or(io::ErrorKind::InvalidInput)?;
    // struct rand_pool_info: bits of entropy, bytes that follow, the bytes.
    let mut info: Vec<u32> = vec![bits as u32, length as u32];
    info.extend(entropy.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_ne_bytes(word)
    }));
    // SAFETY: RNDADDENTROPY reads two integers and as many bytes as the second says, all in `info`.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY as _, info.as_ptr()) })?;
    // SAFETY: RNDRESEEDCRNG takes no argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG as _) })
}

/// Brings the loopback interface up (netdevice(7)).
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: ifreq is plain data for which zero is valid; both ioctls read and write one ifreq,
    // and SIOCGIFFLAGS fills the union's flags, which are read back after it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        let fd = socket.as_raw_fd();
        check(libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &raw mut request))?;
        request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw mut request))
    }
}

/// Moves this thread's future children into the process namespace of another process.
pub(crate) fn join_pid_namespace(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes no memory; CLONE_NEWPID changes nothing but the namespace of children.
    check(unsafe { libc::setns(pidfd.as_raw_fd(), libc::CLONE_NEWPID) })
}

/// Makes the control group of this process the root of what it sees.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: the flag concerns the cgroup namespace alone; no descriptor or memory is unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWCGROUP) }?)
}

/// Sends a signal by its number, real-time ones included.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null siginfo_t asks the kernel for what kill(2) would give.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result as libc::c_int)
}

/// Takes over descriptor `number`, which the program that started us left open for us.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only borrowed to duplicate it, and fcntl fails if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let owned = rustix::io::fcntl_dupfd_cloexec(borrowed, 10)?;
    // SAFETY: nothing in this program owns the inherited number; the duplicate stays open.
    unsafe { libc::close(number) };
    Ok(owned)
}

/// The same descriptors under numbers that putting them at 0, 1, 2, … does not overwrite.
fn out_of_the_way(descriptors: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    let first = descriptors.len() as RawFd;
    descriptors.iter().map(|fd| Ok(rustix::io::fcntl_dupfd_cloexec(fd, first)?)).collect()
}

fn vsock() -> io::Result<OwnedFd> {
    // SAFETY: socket takes no memory; the result is a new descriptor that nobody else owns.
    unsafe {
        let fd = libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn vsock_address(cid: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: sockaddr_vm is plain integers whose reserved parts must be zero.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = cid;
    address.svm_port = port;
    address
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A pause before asking the kernel again for what it cannot announce.
pub(crate) fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn descriptors_with_low_numbers_move_out_of_the_way() {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let low = [stderr.as_fd(), stdin.as_fd(), stdout.as_fd()];
        let moved = out_of_the_way(&low).unwrap();
        assert_eq!(moved.len(), low.len());
        for (moved, low) in moved.iter().zip(low) {
            assert!(moved.as_raw_fd() >= 3);
            let (one, other) = (rustix::fs::fstat(moved).unwrap(), rustix::fs::fstat(low).unwrap());
            assert_eq!((one.st_dev, one.st_ino), (other.st_dev, other.st_ino));
        }
    }
}
