//! What a hostile guest can send to the host: greeting, replies, output.
#![no_main]

use agent::{Frame, Hello, Output, Reply, decode_message, encode_message, read_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(frame) = read_frame(&mut rest) {
        let Frame::Message(body) = frame else { continue };
        let _ = decode_message::<Hello>(&body);
        if let Ok(reply) = decode_message::<Reply>(&body) {
            let again = encode_message(&reply).expect("a received reply can be sent");
            assert_eq!(decode_message::<Reply>(&again[5..]).expect("and received"), reply);
        }
        let _ = decode_message::<Output>(&body);
    }
});
