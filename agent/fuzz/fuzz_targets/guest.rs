//! What anything that reaches the agent's port can send to it: greeting, requests, input.
#![no_main]

use agent::{Frame, Hello, Input, Request, decode_message, encode_message, read_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(frame) = read_frame(&mut rest) {
        let Frame::Message(body) = frame else { continue };
        let _ = decode_message::<Hello>(&body);
        if let Ok(request) = decode_message::<Request>(&body) {
            let again = encode_message(&request).expect("a received request can be sent");
            assert_eq!(decode_message::<Request>(&again[5..]).expect("and received"), request);
        }
        let _ = decode_message::<Input>(&body);
    }
});
