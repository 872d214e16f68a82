//! Control messages and data of a console driver.
#![no_main]

use std::io::Write;
use std::os::unix::net::UnixStream;

use virtio::{Console, ConsolePort};

libfuzzer_sys::fuzz_target!(|ops: Vec<virtio_fuzz::Op>| {
    let (mut ports, mut ends) = (Vec::new(), Vec::new());
    for i in 0..3 {
        let (socket, mut end) = UnixStream::pair().unwrap();
        end.set_nonblocking(true).unwrap();
        let _ = end.write(&[b'x'; 700]);
        ends.push(end);
        ports.push(ConsolePort { name: format!("port{i}"), is_console: i == 0, socket });
    }
    virtio_fuzz::drive(Box::new(Console::new(ports).unwrap()), 8, ops);
});
