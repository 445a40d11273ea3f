#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::node::handle::Command;
use crate::node::testing::fabricate;
use crate::protocol::submit::Outcome;
use crate::protocol::transaction_file::to_hex;
use crate::wire;

struct Site {
    dir: tempfile::TempDir,
    waiting: String,
    _node: crate::node::handle::NodeHandle,
    control: ControlSocket,
}

impl Site {
    /// Serves a made-up node that answers every command, and exports `exported`.
    fn new(exported: Result<Vec<u8>, &'static str>) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), exported)
    }

    fn in_folder(dir: tempfile::TempDir, exported: Result<Vec<u8>, &'static str>) -> Self {
        let made = fabricate();
        let mut commands = made.commands;
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                match command {
                    Command::Peers { reply } => drop(reply.send(Vec::new())),
                    Command::Ban { reply, .. } => assert!(reply.send(true).is_ok()),
                    Command::Unban { reply, .. } | Command::ReleasePin { reply } => {
                        assert!(reply.send(false).is_ok());
                    }
                    Command::Submit { reply, .. } => drop(reply.send(vec![Outcome::Accepted {}])),
                    Command::Shutdown => return,
                }
            }
        });
        let exporter: Exporter = Arc::new(move |output| match &exported {
            Ok(bytes) => output.write_all(bytes),
            Err(error) => {
                output.write_all(b"the beginning")?;
                Err(std::io::Error::other(*error))
            }
        });
        let path = dir.path().join("control.sock");
        Self {
            control: serve(&path, made.handle.clone(), exporter).unwrap(),
            waiting: to_hex(&wire::encode(&made.waiting)),
            _node: made.handle,
            dir,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// Asks on a thread where blocking is allowed.
    async fn ask(&self, request: Request) -> Result<serde_json::Value, ClientError> {
        let path = self.path();
        tokio::task::spawn_blocking(move || Client::connect(&path)?.ask(&request))
            .await
            .unwrap()
    }

    async fn export(&self) -> (Vec<u8>, Option<std::io::Error>) {
        let path = self.path();
        let read = move || {
            let mut bytes = Vec::new();
            let mut client = Client::connect(&path).unwrap();
            let error = client.export().unwrap().read_to_end(&mut bytes).err();
            (bytes, error)
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }
}

#[tokio::test]
async fn only_the_owner_can_reach_it_and_it_goes_with_the_node() {
    let site = Site::new(Ok(Vec::new()));
    let path = site.path();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!path.with_extension("d").exists());
    drop(site.control);
    assert!(!path.exists());
    let gone = Client::connect(&path).unwrap_err();
    assert!(matches!(gone, ClientError::NoNode { .. }));
}

#[tokio::test]
async fn what_a_crash_left_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    std::fs::write(&path, b"").unwrap();
    let folder = path.with_extension("d");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("s"), b"").unwrap();
    let site = Site::in_folder(dir, Ok(Vec::new()));
    assert!(site.ask(Request::Status).await.is_ok());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_with_a_long_path_has_a_socket_too() {
    let dir = tempfile::Builder::new()
        .prefix(&"long".repeat(50))
        .tempdir()
        .unwrap();
    let site = Site::in_folder(dir, Ok(Vec::new()));
    assert!(site.ask(Request::Status).await.is_ok());
    let path = site.path();
    drop(site.control);
    assert!(!path.exists());
    let gone = Client::connect(&path).unwrap_err();
    assert!(matches!(gone, ClientError::NoNode { .. }));
}

#[tokio::test]
async fn what_a_crash_left_behind_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let made = fabricate();
    let _control = serve(&path, made.handle, Arc::new(|_| Ok(()))).unwrap();
    let status = tokio::task::spawn_blocking(move || Client::connect(&path)?.ask(&Request::Status));
    assert_eq!(status.await.unwrap().unwrap()["peers"], 1);
}

#[tokio::test]
async fn every_command_is_answered() {
    let site = Site::new(Ok(Vec::new()));
    let peer = votenode_p2p::Keypair::generate().peer_id().to_string();
    let status = site.ask(Request::Status).await.unwrap();
    assert_eq!(status["network_name"], "test");
    assert_eq!(site.ask(Request::Peers).await.unwrap(), json!([]));
    let banned = site.ask(Request::Ban { peer: peer.clone() }).await.unwrap();
    assert_eq!(banned, json!({ "changed": true }));
    let lifted = site.ask(Request::Unban { peer }).await.unwrap();
    assert_eq!(lifted, json!({ "changed": false }));
    let released = site.ask(Request::ReleasePin).await.unwrap();
    assert_eq!(released, json!({ "changed": false }));
    let transactions = vec![site.waiting.clone()];
    let submitted = site.ask(Request::Submit { transactions }).await.unwrap();
    assert_eq!(submitted[0]["outcome"], "accepted");
    assert!(site.ask(Request::Stop).await.is_ok());
}

#[tokio::test]
async fn garbage_is_refused_and_the_connection_goes_on() {
    let site = Site::new(Ok(Vec::new()));
    for request in [
        Request::Ban {
            peer: "nobody".into(),
        },
        Request::Ban {
            peer: "12D3KooWtest".into(),
        },
        Request::Submit {
            transactions: Vec::new(),
        },
        Request::Submit {
            transactions: vec!["zz".into()],
        },
        Request::Submit {
            transactions: vec!["00".into()],
        },
    ] {
        let refused = site.ask(request).await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused { code, .. } if code == "bad_request"));
    }
    let path = site.path();
    let lines = move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream
            .write_all(b"hello\n{\"command\":\"fly\"}\n{\"command\":\"status\"}\n")
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let text = tokio::task::spawn_blocking(lines).await.unwrap();
    let replies: Vec<&str> = text.lines().collect();
    assert_eq!(replies.len(), 3);
    assert!(replies[0].starts_with("{\"error\":{\"code\":\"bad_request\""));
    assert!(replies[1].contains("fly"));
    assert!(replies[2].starts_with("{\"ok\":"));
}

#[tokio::test]
async fn a_line_without_end_is_not_read_for_ever() {
    let site = Site::new(Ok(Vec::new()));
    let path = site.path();
    let flood = move || {
        let mut stream = UnixStream::connect(path).unwrap();
        // The node hangs up at its limit, at the latest when this is all written.
        let _ = stream.write_all(&vec![b' '; 2 * MAX_REQUEST_BYTES]);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        rest
    };
    assert!(tokio::task::spawn_blocking(flood).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_arrives_whole_or_says_that_it_did_not() {
    let chain: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_be_bytes).collect();
    let site = Site::new(Ok(chain.clone()));
    let (bytes, error) = site.export().await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(bytes, chain);

    let broken = Site::new(Err("the disk is gone"));
    let (bytes, error) = broken.export().await;
    assert_eq!(bytes, b"the beginning");
    assert!(error.unwrap().to_string().contains("the disk is gone"));
}
