//! The wire format: what was sent arrives, and nothing that arrives does harm.

use agent::{
    Attached, Channel, Clock, Config, Connection, Exit, ExitStatus, Failure, FailureKind, Frame,
    Hello, Input, Layer, MAX_DATA, MAX_MESSAGE, Output, ProcessSpec, ProtocolError, Reply, Request,
    Rlimit, RootAttributes, WindowSize, Writable, decode_message, encode_message, read_frame,
    write_data,
};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,40}", Just(String::new())]
}

fn spec() -> impl Strategy<Value = ProcessSpec> {
    (
        prop::collection::vec(text(), 0..6),
        prop::collection::vec(text(), 0..6),
        text(),
        prop::option::of((any::<u16>(), any::<u16>())),
        any::<bool>(),
        prop::collection::vec((text(), any::<u64>(), any::<u64>()), 0..3),
    )
        .prop_map(|(args, env, user, tty, stdin, rlimits)| ProcessSpec {
            detached: !stdin,
            detaches: stdin,
            args,
            env: env.clone(),
            cwd: user.clone(),
            user,
            groups: env,
            tty: tty.map(|(rows, columns)| WindowSize { rows, columns }),
            stdin,
            rlimits: rlimits
                .into_iter()
                .map(|(resource, soft, hard)| Rlimit { resource, soft, hard })
                .collect(),
        })
}

fn clock() -> impl Strategy<Value = Clock> {
    any::<(u64, u64)>().prop_map(|(unix_nanos, counter)| Clock { unix_nanos, counter })
}

fn config() -> impl Strategy<Value = Config> {
    (
        prop::collection::vec((text(), text()), 0..4),
        prop_oneof![
            prop::option::of(any::<u64>()).prop_map(|size| Writable::Memory { size }),
            (text(), text()).prop_map(|(device, fstype)| Writable::Disk(Layer { device, fstype })),
        ],
        text(),
        prop::option::of(clock()),
        prop::option::of(text()),
        prop::option::of((any::<i64>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40))),
    )
        .prop_map(|(layers, writable, hostname, clock, hosts, root)| Config {
            root: root.map(|(mtime, number, bytes)| RootAttributes {
                mode: number as u16,
                uid: number,
                gid: !number,
                mtime,
                mtime_ns: number,
                xattrs: vec![(bytes.clone(), bytes)],
            }),
            layers: layers.into_iter().map(|(device, fstype)| Layer { device, fstype }).collect(),
            writable,
            hostname,
            clock,
            hosts,
            ..Config::default()
        })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Ping),
        config().prop_map(Request::Configure),
        (any::<u64>(), spec()).prop_map(|(id, spec)| Request::Run { id, spec }),
        (any::<u64>(), spec()).prop_map(|(id, spec)| Request::Exec { id, spec }),
        (any::<u64>(), any::<Option<u64>>(), any::<Option<u64>>())
            .prop_map(|(id, stdout, stderr)| Request::Attach { id, stdout, stderr }),
        (any::<u64>(), any::<i32>()).prop_map(|(id, signal)| Request::Signal { id, signal }),
        (prop::option::of(clock()), prop::option::of(prop::collection::vec(any::<u8>(), 0..512)))
            .prop_map(|(clock, entropy)| Request::Thaw { clock, entropy }),
        clock().prop_map(Request::SetClock),
        (any::<i32>(), any::<u64>())
            .prop_map(|(signal, grace_ms)| Request::Shutdown { signal, grace_ms }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        text().prop_map(|message| Reply::Failed(Failure { kind: FailureKind::System, message })),
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(stdin, stdout, tty)| {
            Reply::Attached(Attached { stdin, stdin_taken: stdin, stdout, stderr: 0, tty })
        }),
        (any::<u8>(), any::<bool>()).prop_map(|(status, oom_killed)| Reply::Exited(Exit {
            status: ExitStatus::Exited(status),
            oom_killed,
            stdout: 1,
            stderr: 2,
        })),
    ]
}

fn round_trip<T>(message: &T) -> Result<T, ProtocolError>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let wire = encode_message(message)?;
    match read_frame(&mut wire.as_slice())? {
        Frame::Message(body) => decode_message(&body),
        other => panic!("a message became {other:?}"),
    }
}

#[test]
fn a_clock_goes_on_with_the_counter() {
    let clock = Clock { unix_nanos: 5_000_000_000, counter: u64::MAX };
    assert_eq!(clock.at(u64::MAX, 24_000_000), 5_000_000_000);
    // The counter wraps; a message may also overtake it.
    assert_eq!(clock.at(24_000_000 - 1, 24_000_000), 6_000_000_000);
    assert_eq!(clock.at(u64::MAX - 12_000_000, 24_000_000), 4_500_000_000);
    assert_eq!(clock.at(1 << 62, 1), u64::MAX);
    assert_eq!(clock.at(1 << 63, 0), 0);
}

proptest! {
    #[test]
    fn requests_round_trip(request in request()) {
        prop_assert_eq!(round_trip(&request)?, request);
    }

    #[test]
    fn replies_round_trip(reply in reply()) {
        prop_assert_eq!(round_trip(&reply)?, reply);
    }

    #[test]
    fn data_round_trips(offset: u64, bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        let mut wire = Vec::new();
        write_data(&mut wire, Channel::Stderr, offset, &bytes)?;
        let frame = read_frame(&mut wire.as_slice())?;
        prop_assert_eq!(frame, Frame::Data { channel: Channel::Stderr, offset, bytes });
    }

    #[test]
    fn any_bytes_end_in_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut rest = bytes.as_slice();
        while let Ok(frame) = read_frame(&mut rest) {
            if let Frame::Message(body) = frame {
                let _ = decode_message::<Request>(&body);
                let _ = decode_message::<Reply>(&body);
                let _ = decode_message::<Input>(&body);
                let _ = decode_message::<Output>(&body);
            }
        }
    }

    #[test]
    fn a_damaged_request_is_an_error_or_another_request(
        request in request(), position: prop::sample::Index, value: u8,
    ) {
        let mut wire = encode_message(&request)?;
        let at = position.index(wire.len());
        wire[at] = value;
        if let Ok(Frame::Message(body)) = read_frame(&mut wire.as_slice()) {
            let _ = decode_message::<Request>(&body);
        }
    }

    #[test]
    fn a_cut_frame_is_an_error(request in request(), position: prop::sample::Index) {
        let wire = encode_message(&request)?;
        let cut = position.index(wire.len());
        let result = read_frame(&mut &wire[..cut]);
        if cut == 0 {
            prop_assert!(matches!(result, Err(ProtocolError::Closed)));
        } else {
            prop_assert!(matches!(result, Err(ProtocolError::Io(_))));
        }
    }
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_the_bytes_are_read() {
    let mut message = u32::try_from(MAX_MESSAGE + 1).unwrap().to_le_bytes().to_vec();
    message.push(0);
    assert!(matches!(read_frame(&mut message.as_slice()), Err(ProtocolError::TooLong { .. })));

    let mut data = u32::MAX.to_le_bytes().to_vec();
    data.push(1);
    assert!(matches!(read_frame(&mut data.as_slice()), Err(ProtocolError::TooLong { .. })));

    let too_much = vec![0; MAX_DATA + 1];
    let mut wire = Vec::new();
    let result = write_data(&mut wire, Channel::Stdout, 0, &too_much);
    assert!(matches!(result, Err(ProtocolError::TooLong { .. })));
    assert!(wire.is_empty());
}

#[test]
fn unknown_kinds_channels_and_short_data_are_refused() {
    assert!(matches!(
        read_frame(&mut [0, 0, 0, 0, 7].as_slice()),
        Err(ProtocolError::UnknownKind(7))
    ));
    let channel_nine = [9, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(
        read_frame(&mut channel_nine.as_slice()),
        Err(ProtocolError::Malformed { .. })
    ));
    let short = [8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(read_frame(&mut short.as_slice()), Err(ProtocolError::Malformed { .. })));
}

#[test]
fn bytes_after_a_message_are_refused() {
    let mut body = encode_message(&Request::Ping).unwrap().split_off(5);
    body.push(0);
    assert!(matches!(decode_message::<Request>(&body), Err(ProtocolError::Malformed { .. })));
}

#[test]
fn fields_that_a_newer_peer_adds_are_skipped_and_missing_ones_have_their_default() {
    #[derive(serde::Serialize)]
    struct FutureSpec {
        args: Vec<String>,
        colour: &'static str,
    }
    let future = FutureSpec { args: vec!["true".to_owned()], colour: "blue" };
    let Frame::Message(body) =
        read_frame(&mut encode_message(&future).unwrap().as_slice()).unwrap()
    else {
        panic!("not a message");
    };
    let spec: ProcessSpec = decode_message(&body).unwrap();
    assert_eq!(spec, ProcessSpec { args: future.args, ..ProcessSpec::default() });
    assert_eq!(future.colour, "blue");
}

#[test]
fn a_stranger_is_not_taken_for_an_agent() {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let stranger = Hello { magic: "ssh".to_owned(), ..Hello::new("stranger") };
    let _stranger = Connection::open(other, &stranger).unwrap();
    let error =
        Connection::open(one, &Hello::new("host")).unwrap().call(&Request::Ping).unwrap_err();
    assert!(matches!(error, ProtocolError::Unexpected { .. }), "{error}");
}
