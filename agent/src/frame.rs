//! Frames: the length-delimited units of a connection.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

use crate::ProtocolError;

/// Longest message in bytes: a command line and environment of Linux's largest size fit.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Longest run of stream bytes in one frame.
pub const MAX_DATA: usize = 64 * 1024;

const KIND_MESSAGE: u8 = 0;
const KIND_DATA: u8 = 1;
/// Length (u32) and kind (u8).
const HEADER: usize = 5;
/// Channel (u8) and offset (u64) before the bytes of a data frame.
const DATA_HEADER: usize = 9;

/// One frame. On the wire, in little-endian order: the length of what follows the first five bytes
/// as a `u32`, the kind as a `u8` (0 message, 1 data), then
/// - for a message its CBOR;
/// - for data the channel as a `u8`, the offset of the first byte in its stream as a `u64`, and the
///   bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// CBOR of the message that is due at this point; see [`decode_message`].
    Message(Vec<u8>),
    /// Bytes of a stream.
    Data {
        /// Which stream.
        channel: Channel,
        /// Position of the first byte since the stream began.
        offset: u64,
        /// At most [`MAX_DATA`] bytes.
        bytes: Vec<u8>,
    },
}

/// The streams a connection can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Channel {
    /// Standard input of the attached process, towards the guest.
    Stdin = 0,
    /// Standard output, or everything a terminal shows.
    Stdout = 1,
    /// Standard error; never used with a terminal.
    Stderr = 2,
    /// The tar stream of a copy.
    Archive = 3,
}

impl Channel {
    fn from_wire(byte: u8) -> Option<Channel> {
        [Channel::Stdin, Channel::Stdout, Channel::Stderr, Channel::Archive]
            .into_iter()
            .find(|&channel| channel as u8 == byte)
    }
}

/// Reads one frame. Nothing is allocated before the length was checked.
///
/// # Errors
/// [`ProtocolError::Closed`] when the stream ends before the first byte; otherwise what is wrong.
pub fn read_frame(from: &mut impl Read) -> Result<Frame, ProtocolError> {
    let mut header = [0; HEADER];
    if !read_exact_or_end(from, &mut header)? {
        return Err(ProtocolError::Closed);
    }
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    match header[4] {
        KIND_MESSAGE => Ok(Frame::Message(read_body(from, length, MAX_MESSAGE)?)),
        KIND_DATA => {
            let data_length =
                length.checked_sub(DATA_HEADER).ok_or_else(|| malformed_data(length))?;
            let mut head = [0; DATA_HEADER];
            if data_length > MAX_DATA {
                return Err(ProtocolError::TooLong { length: data_length, limit: MAX_DATA });
            }
            from.read_exact(&mut head)?;
            let [channel, offset @ ..] = head;
            let channel = Channel::from_wire(channel).ok_or_else(|| ProtocolError::Malformed {
                what: "data frame",
                reason: format!("channel {channel} does not exist"),
            })?;
            let bytes = read_body(from, data_length, MAX_DATA)?;
            Ok(Frame::Data { channel, offset: u64::from_le_bytes(offset), bytes })
        }
        kind => Err(ProtocolError::UnknownKind(kind)),
    }
}

/// Writes one message frame.
///
/// # Errors
/// [`ProtocolError::TooLong`] before anything was written, or the stream's error.
pub fn write_message(to: &mut impl Write, message: &impl Serialize) -> Result<(), ProtocolError> {
    let frame = encode_message(message)?;
    to.write_all(&frame)?;
    Ok(())
}

/// Writes bytes of a stream as one frame.
///
/// # Errors
/// [`ProtocolError::TooLong`] before anything was written if there are more than [`MAX_DATA`]
/// bytes, or the stream's error.
pub fn write_data(
    to: &mut impl Write,
    channel: Channel,
    offset: u64,
    bytes: &[u8],
) -> Result<(), ProtocolError> {
    if bytes.len() > MAX_DATA {
        return Err(ProtocolError::TooLong { length: bytes.len(), limit: MAX_DATA });
    }
    let mut frame = Vec::with_capacity(HEADER + DATA_HEADER + bytes.len());
    frame.extend_from_slice(&((DATA_HEADER + bytes.len()) as u32).to_le_bytes());
    frame.push(KIND_DATA);
    frame.push(channel as u8);
    frame.extend_from_slice(&offset.to_le_bytes());
    frame.extend_from_slice(bytes);
    to.write_all(&frame)?;
    Ok(())
}

/// One whole message frame, header included, for those who write it themselves.
///
/// # Errors
/// [`ProtocolError::TooLong`] if the message exceeds [`MAX_MESSAGE`].
pub fn encode_message(message: &impl Serialize) -> Result<Vec<u8>, ProtocolError> {
    let mut frame = vec![0; HEADER];
    ciborium::into_writer(message, &mut frame)
        .map_err(|error| ProtocolError::Malformed { what: "message", reason: error.to_string() })?;
    let length = frame.len() - HEADER;
    if length > MAX_MESSAGE {
        return Err(ProtocolError::TooLong { length, limit: MAX_MESSAGE });
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    frame[4] = KIND_MESSAGE;
    Ok(frame)
}

/// Decodes the body of a [`Frame::Message`]; every byte must belong to the message.
///
/// # Errors
/// [`ProtocolError::Malformed`] with the decoder's reason.
pub fn decode_message<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProtocolError> {
    let what = short_name::<T>();
    let mut rest = body;
    let message = ciborium::from_reader(&mut rest)
        .map_err(|error| ProtocolError::Malformed { what, reason: error.to_string() })?;
    if !rest.is_empty() {
        let reason = format!("{} bytes follow its end", rest.len());
        return Err(ProtocolError::Malformed { what, reason });
    }
    Ok(message)
}

fn short_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or("message")
}

fn malformed_data(length: usize) -> ProtocolError {
    ProtocolError::Malformed { what: "data frame", reason: format!("{length} bytes are too few") }
}

fn read_body(from: &mut impl Read, length: usize, limit: usize) -> Result<Vec<u8>, ProtocolError> {
    if length > limit {
        return Err(ProtocolError::TooLong { length, limit });
    }
    // Grows with what really arrives, so that a claimed length costs the peer its bytes.
    let mut body = Vec::with_capacity(length.min(MAX_DATA));
    let read = from.take(length as u64).read_to_end(&mut body)?;
    if read < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(body)
}

/// False if the stream ended before the first byte.
fn read_exact_or_end(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
