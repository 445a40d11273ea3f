//! What every request passes first: is it meant for this server, did a foreign page cause it, is there room for it.
//!
//! A browser can be made to send requests to loopback by any page that it shows. Reading is kept from that page by
//! the browser unless the page's own name leads here (DNS rebinding), which the check of `Host` stops. Writing is
//! stopped by the check of `Origin`, which browsers send with every write.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::{ApiError, MAX_REQUESTS};

/// How long a request may take. The node's own commands answer within half a minute.
const DEADLINE: Duration = Duration::from_secs(40);

/// Knows which names are this server's.
pub struct Guard {
    listens_on: IpAddr,
    hosts: Vec<String>,
    requests: Semaphore,
}

impl Guard {
    /// A guard for a server that listens on this address and also answers to `hosts` (lower case).
    pub fn new(listens_on: IpAddr, hosts: Vec<String>) -> Self {
        Self {
            listens_on,
            hosts,
            requests: Semaphore::new(MAX_REQUESTS),
        }
    }

    /// Whether an authority such as `localhost:7118` names this server. Addresses cannot be rebound, so that a server
    /// that others may reach answers to any; one on loopback only to those of loopback.
    fn is_own(&self, authority: &str) -> bool {
        let host = host_of(authority).to_ascii_lowercase();
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return ip.is_loopback() || !self.listens_on.is_loopback();
        }
        host == "localhost" || self.hosts.contains(&host)
    }

    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let host = text(&HOST).unwrap_or("");
        if headers.get_all(HOST).iter().count() != 1 || !self.is_own(host) {
            return Err(ApiError::Forbidden(
                "the request names a host that this node does not answer to; --http-host adds one"
                    .into(),
            ));
        }
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let same_origin = match text(&ORIGIN) {
            // Not a browser.
            None => true,
            Some(origin) => origin
                .split_once("://")
                .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host)),
        };
        if same_origin {
            Ok(())
        } else {
            Err(ApiError::Forbidden(
                "a page of another site may not write here".into(),
            ))
        }
    }
}

/// The host of an authority, without its port. What stands behind a colon and is no port belongs to the host.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The outermost layer.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.admit(request.method(), request.headers()) {
        Err(error) => error.into_response(),
        Ok(()) => match guard.requests.try_acquire() {
            Err(_) => ApiError::Busy.into_response(),
            Ok(_permit) => tokio::time::timeout(DEADLINE, next.run(request))
                .await
                .unwrap_or_else(|_| ApiError::TimedOut.into_response()),
        },
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn admit(guard: &Guard, method: &Method, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        guard.admit(method, &headers).is_ok()
    }

    #[test]
    fn loopback_answers_to_loopback_and_configured_names_only() {
        let guard = Guard::new("127.0.0.1".parse().unwrap(), vec!["vote.example".into()]);
        for own in [
            "localhost:7118",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:7118",
            "LOCALHOST",
            "Vote.Example:443",
        ] {
            assert!(admit(&guard, &Method::GET, own, None), "{own}");
        }
        for foreign in [
            "evil.example",
            "192.0.2.1:7118",
            "localhost.evil.example",
            "",
            "[::1",
            "::1:80:x",
            "vote.example.evil",
            "127.0.0.1:7118.evil",
            "vote.example:80:80",
        ] {
            assert!(!admit(&guard, &Method::GET, foreign, None), "{foreign}");
        }
        assert!(guard.admit(&Method::GET, &HeaderMap::new()).is_err());
    }

    #[test]
    fn an_open_server_answers_to_addresses_but_not_to_names() {
        let guard = Guard::new("0.0.0.0".parse().unwrap(), Vec::new());
        assert!(admit(&guard, &Method::GET, "192.0.2.1:7118", None));
        assert!(!admit(&guard, &Method::GET, "rebound.example", None));
    }

    #[test]
    fn only_the_own_page_may_write() {
        let guard = Guard::new("127.0.0.1".parse().unwrap(), Vec::new());
        let write = |origin| admit(&guard, &Method::POST, "localhost:7118", origin);
        assert!(write(None));
        assert!(write(Some("http://localhost:7118")));
        for foreign in [
            "http://localhost:9",
            "http://evil.example",
            "null",
            "",
            "localhost:7118",
        ] {
            assert!(!write(Some(foreign)), "{foreign}");
        }
        assert!(admit(
            &guard,
            &Method::GET,
            "localhost:7118",
            Some("http://evil.example")
        ));
    }
}
