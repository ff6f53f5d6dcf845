//! The routes of the admin API, each with the right that it asks for: a route without one cannot be
//! put here, and what is not put here is not served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::tag;
use crate::domain::rights::{Access, Asked, Caller, decide};
use crate::http::everywhere;
use crate::http::problem::Problem;
use crate::issue::{By, Registrar};

/// What a route asks of who calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Admin keys and the socket alone.
    Everything,
    /// Consumers too, as the object allows that it is about. The handler asks, by [`Rights::ask`]; where
    /// it did not, a consumer is told nothing of what it found.
    ByObject,
}

/// A route as it was put on the desk.
#[derive(Clone, Debug)]
pub struct Route {
    pub path: String,
    pub right: Right,
}

/// Collects routes.
pub struct Desk<S> {
    router: OpenApiRouter<S>,
    routes: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Desk<S> {
    pub fn new() -> Self {
        Self { router: OpenApiRouter::new(), routes: Vec::new() }
    }

    /// Handlers of one path, as `utoipa_axum::routes!` collects them, behind one right.
    #[must_use]
    pub fn route(mut self, right: Right, (schemas, paths, handlers): UtoipaMethodRouter<S>) -> Self {
        self.routes.extend(paths.paths.keys().map(|path| Route { path: path.clone(), right }));
        let handlers = handlers.layer(from_fn_with_state(right, guard));
        Self { router: self.router.routes((schemas, paths, handlers)), ..self }
    }

    /// What another desk has, which works with something else.
    #[must_use]
    pub fn merge(mut self, other: Desk<S>) -> Self {
        self.routes.extend(other.routes);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// Its routes with what they work with.
    pub fn with_state<T: Clone + Send + Sync + 'static>(self, state: S) -> Desk<T> {
        Desk { router: self.router.with_state(state), routes: self.routes }
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What its routes say of themselves.
    pub fn openapi(&self) -> &OpenApi {
        self.router.get_openapi()
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Desk<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk<()> {
    /// The router, and what it says of itself. Whoever serves it says who calls, by a [`By`] in the
    /// extensions of each request; without one nothing is done.
    pub fn finish(self, registrar: Option<Arc<Registrar>>, body_limit: usize) -> (Router, OpenApi) {
        let (router, openapi) = self.router.split_for_parts();
        let mut router = router
            .fallback(async || Problem::NotFound)
            .method_not_allowed_fallback(other_method)
            .layer(DefaultBodyLimit::max(body_limit));
        if let Some(registrar) = registrar {
            router = router.layer(from_fn_with_state(registrar, everywhere::wait));
        }
        (router, openapi)
    }
}

/// What a path does not take is refused, and with `OPTIONS` told; either way with `Allow`.
async fn other_method(method: Method) -> Response {
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => Problem::MethodNotAllowed.into_response(),
    }
}

/// Who calls, for handlers: there always is somebody.
impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or(Problem::Unauthenticated)
    }
}

/// What a caller may do; handlers of [`Right::ByObject`] ask it about every object before anything.
#[derive(Clone)]
pub struct Rights {
    caller: Caller,
    asked: Arc<AtomicBool>,
}

impl Rights {
    /// # Errors
    ///
    /// 404 where the caller may not even see it, 403 where it may see it and no more.
    pub fn ask(&self, asked: Asked<'_>) -> Result<(), Problem> {
        match self.access(asked) {
            Access::Allowed => Ok(()),
            Access::Hidden => Err(Problem::NotFound),
            Access::Forbidden => Err(Problem::Forbidden),
        }
    }

    /// For lists: whether it is shown.
    pub fn access(&self, asked: Asked<'_>) -> Access {
        decide(self.asking(), asked)
    }

    /// Who asks, for whoever decides what that caller may have.
    pub fn asking(&self) -> &Caller {
        self.asked.store(true, Ordering::Relaxed);
        &self.caller
    }

    /// Says that every object was asked about, where there was none to ask about: an empty list.
    pub fn nothing_to_ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Rights {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or(Problem::Forbidden)
    }
}

/// Before every handler.
async fn guard(State(right): State<Right>, mut request: Request, next: Next) -> Response {
    let Some(by) = request.extensions().get::<By>() else {
        return Problem::Unauthenticated.into_response();
    };
    let (by, caller) = (by.clone(), by.caller.clone());
    if right == Right::Everything && decide(&caller, Asked::Everything) != Access::Allowed {
        return Problem::Forbidden.into_response();
    }
    let trusted = decide(&caller, Asked::Everything) == Access::Allowed;
    match tag::condition(request.method(), request.headers()) {
        Ok(condition) => request.extensions_mut().insert(by.provided(condition)),
        Err(problem) => return problem.into_response(),
    };
    let rights = Rights { caller, asked: Arc::new(AtomicBool::new(false)) };
    request.extensions_mut().insert(rights.clone());
    let response = next.run(request).await;
    // Whatever the handler did not ask about it may not tell, nor say that it is there.
    if !trusted && response.status().is_success() && !rights.asked.load(Ordering::Relaxed) {
        tracing::error!("a route gave an answer without asking who may have it");
        return Problem::Internal.into_response();
    }
    response
}
