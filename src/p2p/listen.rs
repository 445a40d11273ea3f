//! Binding the listeners, and being honest about a port in use.
//!
//! libp2p's TCP listeners set `SO_REUSEPORT`, so a second node of the same user on the same port succeeds, and the
//! kernel deals incoming connections to both. A plain socket bound first, and dropped again, finds that out.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::core::multiaddr::Protocol;
use libp2p::core::transport::TransportError;

use crate::addr;
use crate::error::Error;

/// How long a UDP port may stay in use: a QUIC endpoint that ended a moment ago, say before a restart, holds its
/// socket until its last connections have drained.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause between attempts meanwhile.
const DRAIN_PAUSE: Duration = Duration::from_millis(50);

/// Fails if one of these addresses cannot be listened on, because somebody else has the port or the address is not this
/// machine's: to find out before anything else is begun. [`spawn`](crate::spawn) asks the same.
pub async fn probe(addrs: &[Multiaddr]) -> Result<(), Error> {
    for addr in addrs {
        probe_one(addr).await?;
    }
    Ok(())
}

/// Fails if somebody else has the port. Addresses without a fixed port pass.
async fn probe_one(addr: &Multiaddr) -> Result<(), Error> {
    let Some(ip) = addr::ip(addr) else {
        return Ok(());
    };
    let result = match addr.iter().nth(1) {
        Some(Protocol::Tcp(port)) if port != 0 => {
            TcpListener::bind(SocketAddr::new(ip, port)).map(drop)
        }
        Some(Protocol::Udp(port)) if port != 0 => probe_udp(SocketAddr::new(ip, port)).await,
        _ => Ok(()),
    };
    result.map_err(|source| failed(addr, source))
}

async fn probe_udp(addr: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + DRAIN;
    loop {
        match UdpSocket::bind(addr).map(drop) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(DRAIN_PAUSE).await;
            }
            result => return result,
        }
    }
}

pub(crate) fn failed(addr: &Multiaddr, source: io::Error) -> Error {
    Error::Listen {
        addr: addr.clone(),
        source,
    }
}

pub(crate) fn transport_failed(addr: &Multiaddr, error: TransportError<io::Error>) -> Error {
    let source = match error {
        TransportError::Other(error) => root(error),
        TransportError::MultiaddrNotSupported(_) => io::Error::new(
            io::ErrorKind::Unsupported,
            "neither TCP nor QUIC (/ip4/…/tcp/…, /ip4/…/udp/…/quic-v1)",
        ),
    };
    failed(addr, source)
}

/// libp2p wraps the operating system's error several times over; the kind is at the bottom.
fn root(error: io::Error) -> io::Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut code = None;
    while let Some(current) = source {
        if let Some(found) = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            code = Some(found);
        }
        source = current.source();
    }
    code.map_or(error, io::Error::from_raw_os_error)
}
