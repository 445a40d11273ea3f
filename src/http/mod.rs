//! HTTP: a JSON API that reads the chain and takes signed transactions, metrics, and a page to look at.
//!
//! It holds no secret and grants no power: whatever it tells is public within the network, and a transaction carries
//! its own proof. Still it listens on loopback unless told otherwise, answers only to its own names and refuses writes
//! that a foreign web page caused (`guard`). Everything is served from the node's published picture and from
//! snapshots of its store; only submissions and the list of peers ask the node itself. `openapi.json` describes it.

mod chain;
mod elections;
mod error;
mod extract;
mod finality;
mod guard;
mod listener;
mod metrics;
mod node;
#[cfg(test)]
mod tests;
mod transactions;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, middleware};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::node::handle::NodeHandle;
use crate::node::results::Tallies;
use crate::store::Snapshot;
pub use error::ApiError;
use guard::Guard;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use guard::host_of;
use listener::Limited;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use transactions::read_submission;

/// Requests served at once; further ones are told to come back.
const MAX_REQUESTS: usize = 64;
/// Reads of the store at once: more would only take the disk and the cores from the node.
const MAX_READS: usize = 8;
/// Longest body of a request, in bytes: a full submission of long transactions, in hexadecimal.
const MAX_BODY_BYTES: usize = 2 << 20;

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for HTTP on {address}: {source}; stop what uses it, or choose another with --http ADDR or --http off"
)]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// The system's reason.
    pub source: std::io::Error,
}

/// A port that is taken and not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

/// HTTP that is served until this is dropped.
#[derive(Debug)]
pub struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    /// Takes a port; 0 is any free one.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// The address, with the port that was found.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a node. `hosts` are names that it answers to beside its own. Must be called within a tokio runtime.
    pub fn serve(self, node: NodeHandle, hosts: Vec<String>) -> Result<Server, BindError> {
        let listener =
            tokio::net::TcpListener::from_std(self.socket).map_err(|source| BindError {
                address: self.address,
                source,
            })?;
        let app = router(App::new(node), Guard::new(self.address.ip(), hosts));
        Ok(Server(tokio::spawn(async move {
            if let Err(error) = axum::serve(Limited::new(listener), app).await {
                tracing::error!(%error, "HTTP ended");
            }
        })))
    }
}

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
struct App {
    node: NodeHandle,
    reads: Arc<Semaphore>,
    tallies: Arc<Tallies>,
}

impl App {
    fn new(node: NodeHandle) -> Self {
        Self {
            node,
            reads: Arc::new(Semaphore::new(MAX_READS)),
            tallies: Arc::default(),
        }
    }

    /// Reads the store on a thread where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = self.reads.clone().acquire_owned().await;
        let permit = permit.map_err(|_| ApiError::Stopped)?;
        let reader = self.node.reader().clone();
        // The permit goes with the read, not with the request: one whose asker left still takes the disk.
        let task = tokio::task::spawn_blocking(move || {
            let result = read(&reader.snapshot());
            drop(permit);
            result
        });
        task.await.unwrap_or(Err(ApiError::Internal))
    }
}

/// Every route: method, path and handler.
fn routes() -> Vec<(&'static str, &'static str, MethodRouter<App>)> {
    vec![
        ("get", "/", get(page)),
        ("get", "/openapi.json", get(openapi)),
        ("get", "/metrics", get(metrics::metrics)),
        ("get", "/api/v1/status", get(node::status)),
        ("get", "/api/v1/peers", get(node::peers)),
        ("get", "/api/v1/mining", get(node::mining)),
        ("get", "/api/v1/mempool", get(node::mempool)),
        ("get", "/api/v1/blocks", get(chain::blocks)),
        ("get", "/api/v1/blocks/{block}", get(chain::block)),
        ("get", "/api/v1/finality", get(finality::finality)),
        (
            "get",
            "/api/v1/checkpoints/{number}",
            get(finality::checkpoint),
        ),
        (
            "get",
            "/api/v1/transactions/{id}",
            get(transactions::transaction),
        ),
        ("post", "/api/v1/transactions", post(transactions::submit)),
        ("get", "/api/v1/elections", get(elections::elections)),
        ("get", "/api/v1/elections/{id}", get(elections::election)),
        (
            "get",
            "/api/v1/elections/{id}/results",
            get(elections::results),
        ),
    ]
}

fn router(app: App, guard: Guard) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            router.route(path, handler)
        })
        .fallback(|| async {
            ApiError::NotFound("nothing is served at this path; see /openapi.json")
        })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(
            Arc::new(guard),
            guard::check,
        ))
        .with_state(app)
}

async fn page() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ];
    (headers, include_str!("page.html")).into_response()
}

async fn openapi() -> Response {
    (
        [(CONTENT_TYPE, "application/json")],
        include_str!("openapi.json"),
    )
        .into_response()
}
