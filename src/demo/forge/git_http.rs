//! Git over HTTP by git's own `http-backend`: whatever protocol the client speaks, it is the real one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::io::StreamReader;

use super::scope::Level;
use super::serve::{BadCredential, Who};
use super::state::Right;
use super::{Shared, bare, lock, push};

/// Where git keeps its `http-backend`.
pub(super) fn find_backend() -> io::Result<PathBuf> {
    let output = std::process::Command::new("git").arg("--exec-path").output().map_err(|error| {
        io::Error::new(error.kind(), format!("the git program cannot be run ({error}): install git"))
    })?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("git-http-backend");
    if path.is_file() {
        return Ok(path);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is missing: install all of git", path.display())))
}

/// Which repository and which of git's paths in it a request is for.
pub(super) struct Target {
    owner: String,
    name: String,
    rest: &'static str,
}

pub(super) fn target(path: &str) -> Option<Target> {
    let rests = ["info/refs", "git-upload-pack", "git-receive-pack", "HEAD"];
    let (owner, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (name, rest) = rest.split_once('/')?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    let rest = rests.into_iter().find(|r| *r == rest)?;
    (owner != "api").then(|| Target { owner: owner.to_owned(), name: name.to_owned(), rest })
}

/// `git-upload-pack` or `git-receive-pack`, if the request is git's.
pub(super) fn service(path_and_query: &str) -> Option<String> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let target = target(path)?;
    match target.rest {
        "info/refs" => {
            let service = query.split('&').find_map(|p| p.strip_prefix("service="));
            Some(service.unwrap_or("git-upload-pack").to_owned())
        }
        "git-receive-pack" => Some("git-receive-pack".to_owned()),
        _ => Some("git-upload-pack".to_owned()),
    }
}

pub(super) async fn serve(
    shared: &Arc<Shared>,
    backend: &Path,
    request: Request,
    who: Result<Who, BadCredential>,
    target: &Target,
) -> Response {
    let path = request.uri().path_and_query().map_or("", |p| p.as_str());
    let writes = service(path).as_deref() == Some("git-receive-pack");
    let (repository, who) = match admit(shared, who, target, path, writes) {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    let pusher = who.account;
    let login = pusher.map(|a| lock(&shared.state).login(a).to_owned());
    let pushes = target.rest == "git-receive-pack";
    let served = run(shared, backend, request, repository, target.rest, login).await;
    match served {
        Ok(response) if pushes => {
            match after_push(shared, response, repository, pusher.unwrap_or_default()).await {
                Ok(response) => response,
                Err(error) => broken(&error),
            }
        }
        Ok(response) => response,
        Err(error) => broken(&error),
    }
}

fn broken(error: &io::Error) -> Response {
    tracing::warn!(%error, "the embedded forge could not run git");
    (StatusCode::INTERNAL_SERVER_ERROR, "git failed\n").into_response()
}

/// Whether this one may fetch or push here, in the order of the real forge: a public repository is fetched with any
/// credential that is one at all; the scope counts for private ones and for pushing.
fn admit(
    shared: &Shared,
    who: Result<Who, BadCredential>,
    target: &Target,
    path: &str,
    writes: bool,
) -> Result<(u64, Who), Box<Response>> {
    let refuse = |status: StatusCode, text: &'static str| {
        let mut response = (status, text).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Gitea\""));
        }
        Box::new(response)
    };
    let who = who.map_err(|_| refuse(StatusCode::UNAUTHORIZED, "invalid username, password or token\n"))?;
    let state = lock(&shared.state);
    let full_name = format!("{}/{}", target.owner, target.name);
    let Some(repository) = state.repository_named(&full_name) else {
        if let Some(renamed) = state.former_names.get(&full_name.to_lowercase())
            && let Some(repository) = state.repositories.get(renamed)
            && let Ok(to) = HeaderValue::from_str(&path.replacen(&full_name, &state.full_name(repository), 1))
        {
            return Err(Box::new((StatusCode::MOVED_PERMANENTLY, [(LOCATION, to)]).into_response()));
        }
        return Err(refuse(StatusCode::NOT_FOUND, "Not found.\n"));
    };
    if !writes && !repository.is_private {
        return Ok((repository.id, who));
    }
    let Some(account) = who.account else { return Err(refuse(StatusCode::UNAUTHORIZED, "Unauthorized\n")) };
    if let Some(scopes) = &who.scopes {
        let level = if writes { Level::Write } else { Level::Read };
        if !scopes.has(level, "repository") || (scopes.is_public_only && repository.is_private) {
            return Err(refuse(StatusCode::FORBIDDEN, "Forbidden\n"));
        }
    }
    match state.right(repository, Some(account)) {
        Right::None => Err(refuse(StatusCode::NOT_FOUND, "Repository not found\n")),
        Right::Read if writes => Err(refuse(StatusCode::FORBIDDEN, "User permission denied for writing.\n")),
        _ if writes && repository.is_archived => Err(refuse(
            StatusCode::FORBIDDEN,
            "This repo is archived. You can view files and clone it, but cannot push or open issues/pull-requests.\n",
        )),
        _ => Ok((repository.id, who)),
    }
}

/// The process and everything it started die with this.
struct Backend {
    child: Child,
    group: Option<nix::unistd::Pid>,
}

impl Backend {
    async fn wait(&mut self) -> io::Result<()> {
        self.child.wait().await?;
        // From here on the number may belong to another process.
        self.group = None;
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may just have ended by itself.
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

async fn run(
    shared: &Shared,
    backend: &Path,
    request: Request,
    repository: u64,
    rest: &str,
    login: Option<String>,
) -> io::Result<Response> {
    let headers = request.headers();
    let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut command = Command::new(backend);
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(bare::environment(&shared.directory))
        .env("GIT_PROJECT_ROOT", &shared.directory)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{repository}.git/{rest}"))
        .env("REQUEST_METHOD", request.method().as_str())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1")
        .envs(login.map(|login| ("REMOTE_USER", login)))
        .envs(text(&CONTENT_TYPE).map(|v| ("CONTENT_TYPE", v)))
        .envs(text(&CONTENT_LENGTH).map(|v| ("CONTENT_LENGTH", v)))
        .envs(text(&CONTENT_ENCODING).map(|v| ("HTTP_CONTENT_ENCODING", v)))
        .envs(text(&HeaderName::from_static("git-protocol")).map(|v| ("GIT_PROTOCOL", v)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(nix::unistd::Pid::from_raw);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let backend = Backend { child, group };
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(io::Error::other("git has no pipes"));
    };
    let body = request.into_body().into_data_stream().map_err(io::Error::other);
    tokio::spawn(async move {
        let mut body = StreamReader::new(body);
        // When git stops reading it has its reason, which its answer tells.
        let _ = tokio::io::copy(&mut body, &mut stdin).await;
    });

    let mut stdout = BufReader::new(stdout);
    let (status, headers) = read_head(&mut stdout).await?;
    let mut response = Response::new(stream(stdout, backend));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The header lines of a CGI answer.
async fn read_head(stdout: &mut BufReader<ChildStdout>) -> io::Result<(StatusCode, HeaderMap)> {
    let (mut status, mut headers) = (StatusCode::OK, HeaderMap::new());
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "git ended before it answered"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok((status, headers));
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|c| c.parse().ok());
            status = code.and_then(|c| StatusCode::from_u16(c).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
}

fn stream(stdout: BufReader<ChildStdout>, backend: Backend) -> Body {
    Body::from_stream(futures_util::stream::unfold(Some((stdout, backend)), |open| async move {
        let (mut stdout, mut backend) = open?;
        let mut buffer = vec![0; 64 << 10];
        match stdout.read(&mut buffer).await {
            Ok(0) => match backend.wait().await {
                Ok(()) => None,
                Err(error) => Some((Err(error), None)),
            },
            Ok(read) => {
                buffer.truncate(read);
                Some((Ok(Bytes::from(buffer)), Some((stdout, backend))))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// Lets everything follow from a push before its sender gets the answer.
async fn after_push(
    shared: &Arc<Shared>,
    response: Response,
    repository: u64,
    pusher: u64,
) -> io::Result<Response> {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
    let following = shared.clone();
    let followed = tokio::task::spawn_blocking(move || {
        let _one_at_a_time = lock(&following.changes);
        push::follow(&following, repository, pusher)
    });
    followed.await.map_err(io::Error::other)??;
    Ok(Response::from_parts(parts, Body::from(body)))
}
