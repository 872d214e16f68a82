//! Control messages and data of a console driver.
#![no_main]

use std::io::Write;
use std::os::unix::net::UnixStream;

use virtio::{Console, ConsolePort, VirtioDevice};

libfuzzer_sys::fuzz_target!(|ops: Vec<virtio_fuzz::Op>| {
    let mut ends = Vec::new();
    let make = || -> Box<dyn VirtioDevice> {
        let mut ports = Vec::new();
        for i in 0..3 {
            let (socket, mut end) = UnixStream::pair().unwrap();
            end.set_nonblocking(true).unwrap();
            let _ = end.write(&[b'x'; 700]);
            ends.push(end);
            ports.push(ConsolePort { name: format!("port{i}"), is_console: i == 0, socket });
        }
        Box::new(Console::new(ports).unwrap())
    };
    virtio_fuzz::drive(make, 8, ops);
});
