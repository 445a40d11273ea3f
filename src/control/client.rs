//! The asking side, for the commands of `votenode`: blocking, with a deadline on every read.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{MAX_CHUNK_BYTES, MAX_REPLY_BYTES, Reply, Request, short};

/// How long the node may be silent. It answers commands within half a minute.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a node could not be asked, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no node runs on the data directory {}: start one with `votenode`, or name its directory with --data-dir",
        directory.display()
    )]
    NoNode {
        /// The data directory.
        directory: PathBuf,
    },
    /// The socket belongs to somebody else.
    #[error("{} belongs to another user: ask as the user that the node runs as", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The connection failed.
    #[error("the connection to the node failed: {0}")]
    Io(#[from] io::Error),
    /// Not the answer of a node.
    #[error("the node's answer makes no sense: {0}")]
    Malformed(String),
    /// The node refused.
    #[error("{message}")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
}

/// A connection to a running node.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the node whose control socket this is.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let connected = short(socket).and_then(|(path, _folder)| UnixStream::connect(path));
        let stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoNode {
                directory: socket.parent().unwrap_or(socket).to_owned(),
            },
            io::ErrorKind::PermissionDenied => ClientError::Forbidden {
                path: socket.to_owned(),
            },
            _ => error.into(),
        })?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> Result<serde_json::Value, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        self.reply()
    }

    /// Asks for the chain; the stream ends where the file does, and with an error if it is not whole.
    pub fn export(&mut self) -> Result<ExportStream<'_>, ClientError> {
        self.ask(&Request::Export)?;
        Ok(ExportStream {
            client: self,
            chunk: 0,
            ended: false,
        })
    }

    fn reply(&mut self) -> Result<serde_json::Value, ClientError> {
        let mut line = Vec::new();
        (&mut self.stream)
            .take(MAX_REPLY_BYTES as u64)
            .read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Ok(value)) => Ok(value),
            Ok(Reply::Error { code, message }) => Err(ClientError::Refused { code, message }),
            Err(error) => Err(ClientError::Malformed(error.to_string())),
        }
    }
}

/// The exported file as it comes.
#[derive(Debug)]
pub struct ExportStream<'a> {
    client: &'a mut Client,
    chunk: usize,
    ended: bool,
}

impl Read for ExportStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.chunk == 0 {
            let mut length = [0; 4];
            self.client.stream.read_exact(&mut length)?;
            self.chunk = u32::from_be_bytes(length) as usize;
            if self.chunk > MAX_CHUNK_BYTES {
                return Err(io::Error::other("the node sent an over-long chunk"));
            }
            if self.chunk == 0 {
                self.ended = true;
                self.client.reply().map_err(io::Error::other)?;
                return Ok(0);
            }
        }
        let wanted = buffer.len().min(self.chunk);
        let got = self.client.stream.read(&mut buffer[..wanted])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.chunk -= got;
        Ok(got)
    }
}
