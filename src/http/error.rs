//! Errors of the API: `{"error":{"code":…,"message":…}}` with the status that fits.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::chain::state::ViewError;
use crate::node::handle::CommandError;
use crate::node::results::ResultError;
use crate::store::StoreError;

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// What is asked for is not there.
    #[error("{0}")]
    NotFound(&'static str),
    /// The transaction waited here and can no longer be mined.
    #[error("the transaction waited here and can no longer be mined: {0}")]
    Dropped(String),
    /// The path is known, the method not.
    #[error("this path does not take this method; see /openapi.json")]
    MethodNotAllowed,
    /// The request came under a name that is not this server's, or from a foreign page.
    #[error("{0}")]
    Forbidden(String),
    /// The body is too long.
    #[error("the body is too long")]
    TooLarge,
    /// Too much at once.
    #[error("the node is busy; try again in a moment")]
    Busy,
    /// It took too long.
    #[error("the request took too long")]
    TimedOut,
    /// The node is ending.
    #[error("the node is stopping")]
    Stopped,
    /// The node's own fault; details are in its log.
    #[error("the node could not answer; its log says why")]
    Internal,
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Dropped(_) => (StatusCode::GONE, "dropped"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "timed_out"),
            Self::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        let body = json!({ "error": { "code": code, "message": self.to_string() } });
        (status, Json(body)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request could not be answered from the store");
        Self::Internal
    }
}

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        tracing::error!(%error, "a request could not be answered from the state");
        Self::Internal
    }
}

impl From<ResultError> for ApiError {
    fn from(error: ResultError) -> Self {
        tracing::error!(%error, "a result could not be counted");
        Self::Internal
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Busy => Self::Busy,
            CommandError::Stopped => Self::Stopped,
        }
    }
}
