//! The control socket: what only the operator of a node may ask of it, over a Unix socket of mode 0600 in the data
//! directory.
//!
//! A request is one line of JSON, such as `{"command":"ban","peer":"12D3…"}`. So is a reply: `{"ok":…}` or
//! `{"error":{"code":…,"message":…}}`. A connection may carry several requests, one after another. After the reply to
//! `export` follow the exported file in chunks, each behind its length as four bytes big-endian, an empty chunk, and a
//! second reply, which says whether the file is whole. The export exists because the database is locked by the node
//! that runs on it.
//!
//! Knows [`NodeHandle`](crate::node::handle::NodeHandle) and JSON; decides nothing.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

mod client;
mod server;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientError, ExportStream};
pub use server::{ControlSocket, Exporter, ServeError, serve};

/// Longest request, in bytes: room for the largest submission of invitations that is handed over in one piece.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Longest reply, in bytes.
pub const MAX_REPLY_BYTES: usize = 16 << 20;
/// Largest chunk of an export, in bytes.
pub const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The node's picture.
    Status,
    /// Connected peers.
    Peers,
    /// Disconnect a peer and keep it away.
    Ban {
        /// Its peer id.
        peer: String,
    },
    /// Lift a ban.
    Unban {
        /// Its peer id.
        peer: String,
    },
    /// Follow the chain with the most work, whatever this node saw first.
    ReleasePin,
    /// Take signed transactions.
    Submit {
        /// Their canonical encodings in hexadecimal.
        transactions: Vec<String>,
    },
    /// Stream the chain.
    Export,
    /// End the node.
    Stop,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It was done; what there is to say about it.
    Ok(serde_json::Value),
    /// It was not done.
    Error {
        /// For programs: `bad_request`, `busy`, `stopped`, `failed`.
        code: String,
        /// For people.
        message: String,
    },
}

impl Reply {
    fn error(code: &str, message: impl std::fmt::Display) -> Self {
        Self::Error {
            code: code.to_owned(),
            message: message.to_string(),
        }
    }
}

/// The longest path that every system takes for a socket, in bytes.
const MAX_SOCKET_PATH: usize = 100;

/// A path to a socket that the system takes however long the real one is: by way of the open folder, which has to stay
/// open meanwhile.
fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((path.to_owned(), None));
    };
    if !cfg!(target_os = "linux") || path.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok((path.to_owned(), None));
    }
    let folder = File::open(folder)?;
    let by_number = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    Ok((by_number.join(name), Some(folder)))
}
