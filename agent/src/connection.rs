//! A greeted connection: either end of the protocol over a blocking byte stream.

use std::io::{Read, Write};

use serde::{Serialize, de::DeserializeOwned};

use crate::ProtocolError;
use crate::frame::{self, Channel, Frame};
use crate::message::{Hello, Reply, Request};

/// One connection after both sides have said [`Hello`].
///
/// Reads and writes block as the stream does. For full duplex, clone the stream
/// ([`Connection::stream`]) and use [`read_frame`](crate::read_frame) on one clone,
/// [`write_message`](crate::write_message) and [`write_data`](crate::write_data) on the other:
/// a connection keeps no state between frames.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
}

impl<S: Read + Write> Connection<S> {
    /// Greets the peer and reads its greeting.
    ///
    /// # Errors
    /// The stream's, or [`ProtocolError::Version`] for a peer that this side cannot talk to.
    pub fn open(mut stream: S, hello: &Hello) -> Result<(Connection<S>, Hello), ProtocolError> {
        frame::write_message(&mut stream, hello)?;
        let mut connection = Connection { stream };
        let peer: Hello = connection.receive_message()?;
        if peer.magic != Hello::MAGIC {
            return Err(ProtocolError::Unexpected {
                expected: "the greeting of a kiln agent",
                got: format!("{:?}", peer.magic),
            });
        }
        if peer.version == 0 {
            return Err(ProtocolError::Version { peer: peer.version });
        }
        Ok((connection, peer))
    }

    /// Sends a request and waits for its reply; [`Reply::Failed`] becomes an error.
    ///
    /// # Errors
    /// The stream's, or [`ProtocolError::Failed`].
    pub fn call(&mut self, request: &Request) -> Result<Reply, ProtocolError> {
        self.send_message(request)?;
        match self.receive_message()? {
            Reply::Failed(failure) => Err(ProtocolError::Failed(failure)),
            reply => Ok(reply),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The stream's, or [`ProtocolError::TooLong`].
    pub fn send_message(&mut self, message: &impl Serialize) -> Result<(), ProtocolError> {
        frame::write_message(&mut self.stream, message)
    }

    /// Sends bytes of a stream, at most [`MAX_DATA`](crate::MAX_DATA).
    ///
    /// # Errors
    /// The stream's, or [`ProtocolError::TooLong`].
    pub fn send_data(
        &mut self,
        channel: Channel,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), ProtocolError> {
        frame::write_data(&mut self.stream, channel, offset, bytes)
    }

    /// Receives the next frame.
    ///
    /// # Errors
    /// The stream's, or what is wrong with the frame.
    pub fn receive(&mut self) -> Result<Frame, ProtocolError> {
        frame::read_frame(&mut self.stream)
    }

    /// Receives the next frame, which must be a message of this type.
    ///
    /// # Errors
    /// The stream's, or what is wrong with the frame.
    pub fn receive_message<T: DeserializeOwned>(&mut self) -> Result<T, ProtocolError> {
        match self.receive()? {
            Frame::Message(body) => frame::decode_message(&body),
            Frame::Data { channel, .. } => Err(ProtocolError::Unexpected {
                expected: "a message",
                got: format!("data of {channel:?}"),
            }),
        }
    }
}

impl<S> Connection<S> {
    /// The stream below, e.g. to clone it or to set a time-out.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Gives the stream back, e.g. once it carries the bytes of [`Request::Connect`].
    pub fn into_stream(self) -> S {
        self.stream
    }
}
