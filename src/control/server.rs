//! The answering side, beside the running node.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use votenode_p2p::PeerId;

use super::{MAX_CHUNK_BYTES, MAX_REQUEST_BYTES, Reply, Request, short};
use crate::chain::transaction::Transaction;
use crate::node::handle::{CommandError, MAX_SUBMISSION, NodeHandle, OutcomeView, PeerView};
use crate::protocol::transaction_file::from_hex;
use crate::wire::{self, Message as _};

/// Connections at once: an operator's terminals and scripts.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may be silent before its next request.
const IDLE: Duration = Duration::from_secs(60);
/// How long a stalled reader of an export is waited for.
const STALLED: Duration = Duration::from_secs(60);
/// Chunks of an export that may wait for the reader.
const EXPORT_QUEUE: usize = 16;

/// Writes the exported chain; called on a thread where blocking is allowed.
pub type Exporter = Arc<dyn Fn(&mut dyn io::Write) -> io::Result<()> + Send + Sync>;

/// Why the control socket cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the control socket {}: {source}", path.display())]
pub struct ServeError {
    /// The socket.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

/// A control socket that is served until this is dropped; then its file goes too.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves `path`. The caller holds the lock of the data directory, so what is at `path` is left from a crash.
///
/// Must be called within a tokio runtime.
pub fn serve(
    path: &Path,
    node: NodeHandle,
    exporter: Exporter,
) -> Result<ControlSocket, ServeError> {
    let listener = bind(path).map_err(|source| ServeError {
        path: path.to_owned(),
        source,
    })?;
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let task = tokio::spawn(async move {
        loop {
            let Ok(permit) = connections.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (node, exporter) = (node.clone(), exporter.clone());
                    tokio::spawn(async move {
                        if let Err(error) = serve_connection(stream, node, exporter).await {
                            tracing::debug!(%error, "a control connection ended");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: accepting again at once would spin.
                    tracing::warn!(%error, "cannot accept on the control socket");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(ControlSocket {
        path: path.to_owned(),
        task,
    })
}

/// The socket gets its name only once nobody else can connect to it.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let (path, _folder) = short(path)?;
    // A socket is made with whatever mode the umask leaves. In a directory of its own nobody finds it meanwhile.
    let folder = path.with_extension("d");
    let draft = folder.join("s");
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for old in [&path, &draft] {
        gone(std::fs::remove_file(old))?;
    }
    gone(std::fs::remove_dir(&folder))?;
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    std::fs::rename(&draft, &path)?;
    std::fs::remove_dir(&folder)?;
    Ok(listener)
}

async fn serve_connection(
    stream: UnixStream,
    node: NodeHandle,
    exporter: Exporter,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let line = match tokio::time::timeout(IDLE, read_line(&mut read)).await {
            Ok(line) => line?,
            Err(_) => return Ok(()),
        };
        let Some(line) = line else { return Ok(()) };
        match serde_json::from_slice(&line) {
            Ok(Request::Export) => export(&mut write, &exporter).await?,
            Ok(request) => {
                let reply = answer(&node, request).await;
                send(&mut write, &reply).await?;
            }
            Err(error) => {
                let reply = Reply::error("bad_request", format!("not a request: {error}"));
                send(&mut write, &reply).await?;
            }
        }
    }
}

/// A line without bound would be memory without bound: what is too long ends the connection.
async fn read_line(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = MAX_REQUEST_BYTES as u64 + 1;
    let got = read.take(limit).read_until(b'\n', &mut line).await?;
    if got == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        return Err(io::Error::other("a request that is too long or cut off"));
    }
    Ok(Some(line))
}

async fn send(write: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(io::Error::from)?;
    line.push(b'\n');
    write.write_all(&line).await
}

async fn answer(node: &NodeHandle, request: Request) -> Reply {
    match request {
        Request::Status => node
            .shown_status()
            .map_or_else(|error| Reply::error("failed", error), Reply::Ok),
        Request::Peers => match node.peers().await {
            Ok(peers) => to_reply(&peers.iter().map(PeerView::from).collect::<Vec<_>>()),
            Err(error) => refused(error),
        },
        Request::Ban { peer } if peer == node.status().peer_id => Reply::error(
            "bad_request",
            "this is the node's own peer id: a node cannot ban itself",
        ),
        Request::Ban { peer } => match peer.parse() {
            Ok(peer) => changed(node.ban(peer).await),
            Err(_) => not_a_peer(&peer),
        },
        Request::Unban { peer } => match peer.parse::<PeerId>() {
            Ok(peer) => changed(node.unban(peer).await),
            Err(_) => not_a_peer(&peer),
        },
        Request::ReleasePin => changed(node.release_pin().await),
        Request::Submit { transactions } => submit(node, &transactions).await,
        Request::Stop => {
            node.shutdown().await;
            Reply::Ok(json!({ "stopping": true }))
        }
        // Streams are sent by the connection itself.
        Request::Export => Reply::error("bad_request", "an export is a stream"),
    }
}

fn to_reply(value: &impl serde::Serialize) -> Reply {
    serde_json::to_value(value).map_or_else(|error| Reply::error("failed", error), Reply::Ok)
}

fn refused(error: CommandError) -> Reply {
    let code = match error {
        CommandError::Busy => "busy",
        CommandError::Stopped => "stopped",
    };
    Reply::error(code, error)
}

fn changed(result: Result<bool, CommandError>) -> Reply {
    result.map_or_else(refused, |changed| Reply::Ok(json!({ "changed": changed })))
}

fn not_a_peer(text: &str) -> Reply {
    let shown: String = text.chars().take(80).collect();
    Reply::error(
        "bad_request",
        format!("'{shown}' is not a peer id, such as 12D3KooW…; `votenode peers` lists them"),
    )
}

async fn submit(node: &NodeHandle, encoded: &[String]) -> Reply {
    if !(1..=MAX_SUBMISSION).contains(&encoded.len()) {
        return Reply::error(
            "bad_request",
            format!("from 1 to {MAX_SUBMISSION} transactions can be submitted at once"),
        );
    }
    let mut transactions = Vec::with_capacity(encoded.len());
    for (index, digits) in encoded.iter().enumerate() {
        let decoded = from_hex(digits, Transaction::MAX_BYTES)
            .ok_or_else(|| "not hexadecimal".to_owned())
            .and_then(|bytes| wire::decode(&bytes).map_err(|error| error.to_string()));
        match decoded {
            Ok(transaction) => transactions.push(transaction),
            Err(error) => {
                return Reply::error("bad_request", format!("transaction {index}: {error}"));
            }
        }
    }
    match node.submit(transactions).await {
        Ok(outcomes) => to_reply(&outcomes.iter().map(OutcomeView::from).collect::<Vec<_>>()),
        Err(error) => refused(error),
    }
}

async fn export(write: &mut OwnedWriteHalf, exporter: &Exporter) -> io::Result<()> {
    send(write, &Reply::Ok(json!({ "streaming": true }))).await?;
    let (chunks, mut queue) = mpsc::channel(EXPORT_QUEUE);
    let exporter = exporter.clone();
    let writer = tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::with_capacity(MAX_CHUNK_BYTES, ChunkWriter(chunks));
        exporter(&mut writer)?;
        io::Write::flush(&mut writer)
    });
    while let Some(chunk) = queue.recv().await {
        let chunk: Vec<u8> = chunk;
        let send = async {
            write.write_u32(chunk.len() as u32).await?;
            write.write_all(&chunk).await
        };
        // Dropping the queue on an error ends the exporter at its next write.
        match tokio::time::timeout(STALLED, send).await {
            Ok(sent) => sent?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    write.write_u32(0).await?;
    let reply = match writer.await {
        Ok(Ok(())) => Reply::Ok(json!({ "complete": true })),
        Ok(Err(error)) => Reply::error("failed", format!("the export failed: {error}")),
        Err(_) => Reply::error("failed", "the export failed"),
    };
    send(write, &reply).await
}

/// Hands what is written to the connection, and waits where that is slow.
struct ChunkWriter(mpsc::Sender<Vec<u8>>);

impl io::Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(MAX_CHUNK_BYTES)];
        if !part.is_empty() {
            self.0
                .blocking_send(part.to_vec())
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
