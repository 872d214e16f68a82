//! A connection: either end of the protocol over a blocking byte stream.

use std::io::{Read, Write};

use serde::{Serialize, de::DeserializeOwned};

use crate::ProtocolError;
use crate::frame::{self, Channel, Frame};
use crate::message::{Hello, Reply, Request};

/// One connection, on which this side has said [`Hello`].
///
/// Reads and writes block as the stream does. For full duplex, clone the stream
/// ([`Connection::stream`]) once something was received, and use [`read_frame`](crate::read_frame) on one clone,
/// [`write_message`](crate::write_message) and [`write_data`](crate::write_data) on the other:
/// a connection keeps no state between frames after the peer's greeting.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    /// The peer has greeted, too.
    greeted: bool,
}

impl<S: Read + Write> Connection<S> {
    /// Greets the peer. Its own greeting is read and checked before what else it sends, so that nobody waits for that alone.
    ///
    /// # Errors
    /// The stream's.
    pub fn open(mut stream: S, hello: &Hello) -> Result<Connection<S>, ProtocolError> {
        frame::write_message(&mut stream, hello)?;
        Ok(Connection { stream, greeted: false })
    }

    fn check_greeting(&mut self) -> Result<(), ProtocolError> {
        let peer: Hello = message(frame::read_frame(&mut self.stream)?)?;
        if peer.magic != Hello::MAGIC {
            return Err(ProtocolError::Unexpected {
                expected: "the greeting of a kiln agent",
                got: format!("{:?}", peer.magic),
            });
        }
        if peer.version == 0 {
            return Err(ProtocolError::Version { peer: peer.version });
        }
        self.greeted = true;
        Ok(())
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
    /// The stream's, what is wrong with the frame, or [`ProtocolError::Version`] for a peer that this side cannot talk to.
    pub fn receive(&mut self) -> Result<Frame, ProtocolError> {
        if !self.greeted {
            self.check_greeting()?;
        }
        frame::read_frame(&mut self.stream)
    }

    /// Receives the next frame, which must be a message of this type.
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    pub fn receive_message<T: DeserializeOwned>(&mut self) -> Result<T, ProtocolError> {
        message(self.receive()?)
    }
}

fn message<T: DeserializeOwned>(frame: Frame) -> Result<T, ProtocolError> {
    match frame {
        Frame::Message(body) => frame::decode_message(&body),
        Frame::Data { channel, .. } => Err(ProtocolError::Unexpected {
            expected: "a message",
            got: format!("data of {channel:?}"),
        }),
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
