//! Packets of a socket driver.
#![no_main]

use std::io::Write;
use std::time::Duration;

use virtio::{VirtioDevice, Vsock};
use virtio_fuzz::Op;

libfuzzer_sys::fuzz_target!(|ops: Vec<Op>| {
    let device = Vsock::new(3, None);
    let host = device.host();
    let listener = host.listen(1).unwrap();
    let caller = std::thread::spawn(move || {
        let _ = host.connect(1, Duration::from_millis(1));
        if let Ok(mut incoming) = listener.accept(Duration::from_millis(1)) {
            let _ = incoming.stream.set_nonblocking(true);
            let _ = incoming.stream.write(&[1; 5000]);
        }
    });
    // Receive buffers first, and packets that get past the addresses.
    let mut all = Vec::new();
    for i in 0..8 {
        let pieces = vec![(0x8000 + i * 0x400, 0x400, true)];
        all.push(Op::Request { queue: 0, pieces, indirect: false });
    }
    for op in ops {
        if let Op::Data { at, bytes } = &op
            && let [op, src, dst, rest @ ..] = &bytes[..]
        {
            let mut packet = Vec::new();
            packet.extend(3u64.to_le_bytes());
            packet.extend(2u64.to_le_bytes());
            packet.extend(u32::from(src & 3).to_le_bytes());
            packet.extend(u32::from(dst & 3).to_le_bytes());
            packet.extend((rest.len() as u32).to_le_bytes());
            packet.extend(1u16.to_le_bytes());
            packet.extend(u16::from(op % 9).to_le_bytes());
            packet.extend(rest.iter().copied().chain([0; 12]).take(12));
            packet.extend(rest);
            let pieces = vec![(at & 0x7fff, packet.len() as u16, false)];
            all.push(Op::Data { at: at & 0x7fff, bytes: packet });
            all.push(Op::Request { queue: 1, pieces, indirect: false });
        }
        all.push(op);
    }
    let mut first = Some(device);
    let make = || -> Box<dyn VirtioDevice> {
        Box::new(first.take().unwrap_or_else(|| Vsock::new(3, None)))
    };
    virtio_fuzz::drive(make, 3, all);
    caller.join().unwrap();
});
