//! A node's HTTP, asked without any library: one request a connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a connection, and each read, may take. A node that is frozen answers nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a node serves HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    address: SocketAddr,
}

impl Http {
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Status and body of an answer, or why there is none.
    pub fn get(&self, path: &str) -> Result<(u16, Value), String> {
        self.send("GET", path, "")
    }

    /// The same, for what is handed in.
    pub fn post(&self, path: &str, body: &str) -> Result<(u16, Value), String> {
        self.send("POST", path, body)
    }

    /// The body of a good answer.
    pub fn read(&self, path: &str) -> Result<Value, String> {
        match self.get(path)? {
            (200, body) => Ok(body),
            (status, body) => Err(format!("{path}: {status} {body}")),
        }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<(u16, Value), String> {
        let (address, length) = (self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let answer = self
            .exchange(request.as_bytes())
            .map_err(|error| format!("{address}{path}: {error}"))?;
        parse(&answer).ok_or_else(|| format!("{address}{path}: cut off: {answer:?}"))
    }

    fn exchange(&self, request: &[u8]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn parse(answer: &str) -> Option<(u16, Value)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}
