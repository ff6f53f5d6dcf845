//! `?wait=all`: a write is answered when every live instance has applied it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::problem::Problem;
use crate::issue::Registrar;
use crate::store::Epoch;

/// Where a write stands in the store's history: beside the answer, for whoever wraps it.
#[derive(Clone, Copy)]
pub(super) struct WrittenAt {
    pub(super) epoch: Epoch,
    /// Of the answer where nobody lags.
    pub(super) done: StatusCode,
}

/// Around every route, so that each that writes can be asked. 202 where an instance lags.
pub(super) async fn wait(State(registrar): State<Arc<Registrar>>, request: Request, next: Next) -> Response {
    let asked = match asked(&request) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let mut response = next.run(request).await;
    let Some(WrittenAt { epoch, done }) = response.extensions().get().copied().filter(|_| asked) else {
        return response;
    };
    match registrar.everywhere(epoch).await {
        Ok(true) => *response.status_mut() = done,
        Ok(false) => *response.status_mut() = StatusCode::ACCEPTED,
        // It is written; only who knows of it cannot be told.
        Err(refusal) => {
            tracing::warn!(error = %refusal, "whether every instance has applied a change is unknown");
            *response.status_mut() = StatusCode::ACCEPTED;
        }
    }
    response
}

/// Whether the query has `wait=all`.
fn asked(request: &Request) -> Result<bool, Problem> {
    let mut words = request.uri().query().unwrap_or_default().split('&');
    match words.find_map(|word| word.strip_prefix("wait=")) {
        None => Ok(false),
        Some("all") if request.method() != Method::GET => Ok(true),
        Some("all") => Err(Problem::Query("`wait` is for writes".into())),
        Some(_) => Err(Problem::Query("`wait` takes one word, `all`".into())),
    }
}
