//! The way of one request: who sent it, is it to go wrong, which part answers, what is written down.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use chrono::Utc;

use super::misbehave::Effect;
use super::record::RecordedRequest;
use super::scope::Scopes;
use super::{Shared, api, git_http, lock, pages};

/// The longest request body that is read into memory. Git's are streamed and not limited.
const BODY_LIMIT: usize = 16 << 20;

#[derive(Clone)]
struct Served {
    shared: Arc<Shared>,
    backend: Arc<PathBuf>,
}

pub(super) fn router(shared: Arc<Shared>, backend: PathBuf) -> Router {
    Router::new().fallback(serve).with_state(Served { shared, backend: Arc::new(backend) })
}

/// Who sent a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Who {
    /// None for an anonymous request.
    pub account: Option<u64>,
    /// The scopes of the token; none without a token: a password may do all that the account may.
    pub scopes: Option<Scopes>,
    /// By HTTP Basic, with a password or a token in its place.
    pub by_basic: bool,
}

/// The credential is none of ours.
pub(super) struct BadCredential;

impl Who {
    /// Reads the `Authorization` header.
    fn identify(shared: &Shared, headers: &HeaderMap) -> Result<Self, BadCredential> {
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(Self::default()) };
        let (kind, value) = header.to_str().ok().and_then(|h| h.split_once(' ')).ok_or(BadCredential)?;
        let state = lock(&shared.state);
        let by_token = |secret: &str, by_basic: bool| {
            let token = state.tokens.iter().find(|t| t.secret == secret)?;
            Some(Self { account: Some(token.account), scopes: Some(token.scopes.clone()), by_basic })
        };
        match kind.to_ascii_lowercase().as_str() {
            "token" | "bearer" => by_token(value.trim(), false).ok_or(BadCredential),
            "basic" => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok();
                let decoded = decoded.and_then(|d| String::from_utf8(d).ok()).ok_or(BadCredential)?;
                let (login, password) = decoded.split_once(':').ok_or(BadCredential)?;
                if let Some(who) = by_token(password, true).or_else(|| by_token(login, true)) {
                    return Ok(who);
                }
                let account =
                    state.account_named(login).filter(|a| !a.is_organisation && a.password == password);
                let account = account.ok_or(BadCredential)?.id;
                Ok(Self { account: Some(account), scopes: None, by_basic: true })
            }
            _ => Err(BadCredential),
        }
    }
}

async fn serve(State(served): State<Served>, request: Request) -> Response {
    let shared = served.shared.clone();
    if !is_loopback(&request) {
        // A page of another site that made its name point here must neither read nor write.
        return (StatusCode::MISDIRECTED_REQUEST, "this forge answers on the loopback address only\n")
            .into_response();
    }
    let who = Who::identify(&shared, request.headers());
    let method = request.method().to_string();
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let login = {
        let account = who.as_ref().ok().and_then(|w| w.account);
        account.map(|a| lock(&shared.state).login(a).to_owned())
    };
    let number = lock(&shared.record).begin(RecordedRequest {
        method: method.clone(),
        path: path.clone(),
        account: login.clone(),
        at: Utc::now(),
        status: None,
        service: git_http::service(&path),
    });
    let effect = lock(&shared.rules).take(&method, &path, login.as_deref());
    let mut response = match effect {
        Some(effect) => misbehave(&served, request, who, effect).await,
        None => answer(&served, request, who, Duration::ZERO).await,
    };
    if response.headers().get(DATE).is_none() {
        let date = lock(&shared.state).clock().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            response.headers_mut().insert(DATE, date);
        }
    }
    lock(&shared.record).end(number, response.status().as_u16());
    response
}

/// Whether the request was meant for this machine. Without this check a page elsewhere could rebind its name to 127.0.0.1.
fn is_loopback(request: &Request) -> bool {
    let host = request.headers().get(HOST).and_then(|h| h.to_str().ok());
    let Some(host) = host.or_else(|| request.uri().authority().map(|a| a.as_str())) else { return false };
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

async fn answer(
    served: &Served,
    request: Request,
    who: Result<Who, BadCredential>,
    lag: Duration,
) -> Response {
    let shared = &served.shared;
    let path = request.uri().path().to_owned();
    if let Some(target) = git_http::target(&path) {
        return git_http::serve(shared, &served.backend, request, who, &target).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or was cut\n").into_response();
    };
    let shared = shared.clone();
    // Some answers run git and wait for it.
    let answered = tokio::task::spawn_blocking(move || match path.strip_prefix("/api/v1/") {
        Some(_) => api::answer(&shared, &parts, who, &body, lag),
        None => pages::answer(&shared, &parts, &body),
    });
    answered.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn misbehave(
    served: &Served,
    request: Request,
    who: Result<Who, BadCredential>,
    effect: Effect,
) -> Response {
    match effect {
        Effect::Status { code, headers, body } => {
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (code, body).into_response();
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Effect::TooMany { retry_after } => {
            let headers = [(RETRY_AFTER, retry_after.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, "too many requests\n").into_response()
        }
        Effect::Redirect(to) => (StatusCode::FOUND, [(LOCATION, to)]).into_response(),
        Effect::Hang(time) => {
            let response = answer(served, request, who, Duration::ZERO).await;
            tokio::time::sleep(time).await;
            response
        }
        Effect::Lag(lag) => answer(served, request, who, lag).await,
        Effect::NotJson => {
            answer(served, request, who, Duration::ZERO).await;
            let page = "<!doctype html><title>Please wait</title><p>Checking your browser";
            ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
        }
        Effect::DropHeader(name) => {
            let mut response = answer(served, request, who, Duration::ZERO).await;
            response.headers_mut().remove(&name);
            if name.eq_ignore_ascii_case("date") {
                // Left out, the HTTP library would add its own: an unreadable one is as good as none.
                response.headers_mut().insert(DATE, HeaderValue::from_static(""));
            }
            response
        }
        Effect::OddJson(patch) => {
            let response = answer(served, request, who, Duration::ZERO).await;
            with_body(response, |body| {
                let mut json = serde_json::from_slice(&body).unwrap_or_default();
                patch(&mut json);
                Body::from(json.to_string())
            })
            .await
        }
        Effect::Cut { after } => {
            let response = answer(served, request, who, Duration::ZERO).await;
            let mut length = None;
            let mut response = with_body(response, |body| {
                length = Some(body.len().max(after + 1));
                Body::from_stream(cut(body, after))
            })
            .await;
            if let Some(length) = length {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            response
        }
    }
}

async fn with_body(response: Response, change: impl FnOnce(Bytes) -> Body) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, change(body))
}

/// The first bytes of a body, then a broken connection.
fn cut(body: Bytes, after: usize) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let start = body.slice(..after.min(body.len()));
    futures_util::stream::unfold(0, move |step| {
        let start = start.clone();
        async move {
            match step {
                0 => Some((Ok(start), 1)),
                1 => {
                    // What was written is to reach the client before the connection goes.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Err(std::io::Error::other("cut on demand")), 2))
                }
                _ => None,
            }
        }
    })
}
