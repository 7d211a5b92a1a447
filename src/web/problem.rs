//! What a visitor cannot have, and why: one clear sentence, nothing of docent's insides.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::store::StoreError;

/// An answer that is none. The guard makes a page of it.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Of the answer.
    pub status: StatusCode,
    /// One sentence for the visitor.
    pub text: String,
}

impl Problem {
    /// There is no such thing.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, text: text.into() }
    }

    /// It was here once.
    pub fn gone(text: impl Into<String>) -> Self {
        Self { status: StatusCode::GONE, text: text.into() }
    }

    /// docent's own trouble: its log has the reason, the visitor only that there is one.
    pub fn ours(reason: &dyn std::error::Error) -> Self {
        tracing::error!(%reason, "a page could not be made");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            text: "docent could not make this page; its log says why".to_owned(),
        }
    }

    /// The sentence for a status that something else answered with.
    pub fn of_status(status: StatusCode) -> Self {
        let text = match status {
            StatusCode::METHOD_NOT_ALLOWED => "these pages can only be read: ask with GET or HEAD",
            StatusCode::INTERNAL_SERVER_ERROR => "docent could not make this page; its log says why",
            status if status.is_server_error() => "docent cannot answer now; try again in a moment",
            StatusCode::NOT_FOUND => "there is no page at this address",
            _ => "docent does not understand this address",
        };
        Self { status, text: text.to_owned() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::ours(&error)
    }
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        Self::ours(&error)
    }
}
