//! What stands around every answer: who may ask under which name, and what a browser may do with what it gets.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::Site;
use super::pages::problem_page;
use super::problem::Problem;

/// Nothing but docent's own files is loaded, nothing is sent anywhere, nobody frames it.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const FOR_EVERY_ANSWER: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// Names under which docent answers.
#[derive(Debug, Clone)]
pub enum Names {
    /// Any: it listens to the network, where the operator decides on names.
    Any,
    /// Addresses, `localhost`, and this one: a page of another name that was pointed at this machine (DNS rebinding)
    /// gets nothing, although the visitor's browser can reach docent.
    Local(Option<String>),
}

impl Names {
    fn include(&self, host: &str) -> bool {
        let Self::Local(public) = self else { return true };
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || name == "localhost" || public.as_ref().is_some_and(|public| *public == name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Wraps every answer; turns the ones that are none into pages.
pub async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let host = request.headers().get(header::HOST);
    let is_known = host.is_none_or(|host| host.to_str().is_ok_and(|host| site.names.include(host)));
    let mut response = if is_known {
        next.run(request).await
    } else {
        let text = "docent is not known under this name: use its public_url, or localhost".to_owned();
        dressed(&site, &path, &Problem { status: StatusCode::MISDIRECTED_REQUEST, text }, HeaderMap::new())
    };
    if is_known && (response.status().is_client_error() || response.status().is_server_error()) {
        let status = response.status();
        let problem = response.extensions_mut().remove().unwrap_or_else(|| Problem::of_status(status));
        if !is_json(&response) {
            response = dressed(&site, &path, &problem, std::mem::take(response.headers_mut()));
        }
    }
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(PAGE_POLICY);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.extend(FOR_EVERY_ANSWER);
    response
}

fn is_json(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

/// The page of a problem; what the answer said of allowed methods stays.
fn dressed(site: &Site, path: &str, problem: &Problem, mut headers: HeaderMap) -> Response {
    let mut response = problem_page(site, path, problem);
    *response.status_mut() = problem.status;
    if let Some(allow) = headers.remove(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_own_are_taken() {
        let names = Names::Local(Some("docent.example.org".to_owned()));
        for good in [
            "localhost",
            "LOCALHOST:8440",
            "127.0.0.1:8440",
            "[::1]",
            "[::1]:8440",
            "docent.example.org",
            "docent.example.org:443",
        ] {
            assert!(names.include(good), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8440", "", "docent"] {
            assert!(!names.include(bad), "{bad}");
        }
        assert!(Names::Any.include("evil.example"));
    }
}
