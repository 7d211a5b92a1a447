//! The forge over real sockets, with a real git and a real HTTP client.

use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::{Value, json};

use super::*;

mod api;
mod git;
mod mischief;
mod page;

/// A forge with the accounts and repositories of the recorded answers: `astro/notebooks` is public, `astro/hidden` private;
/// `owner` administers, `mira` writes, `guest` and `docent` are strangers.
pub(super) struct Scene {
    pub forge: EmbeddedForge,
    pub http: reqwest::Client,
    pub directory: tempfile::TempDir,
}

impl Scene {
    pub async fn new() -> Self {
        // Another test of this process may have installed it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let directory = tempfile::tempdir().unwrap();
        let forge = EmbeddedForge::start(&directory.path().join("git"), 0).await.unwrap();
        for login in ["owner", "mira", "guest", "docent"] {
            forge.account(login);
        }
        forge.admin("root");
        forge.organisation("astro");
        forge.team("astro", "Owners", Right::Owner, &["owner"]);
        for (name, private) in [("notebooks", false), ("hidden", true)] {
            forge.repository("astro", name, private);
            let full_name = format!("astro/{name}");
            forge.permit(&full_name, "mira", Right::Write);
            forge.commit(&full_name, "main", &[("README.md", b"# Notebooks\n")]);
        }
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { forge, http, directory }
    }

    /// A scene with an open pull request from the branch `flat`.
    pub async fn with_pull() -> Self {
        let scene = Self::new().await;
        scene.forge.commit_as("astro/notebooks", "flat", Some("mira"), &[("flat.txt", b"1")]);
        assert_eq!(scene.forge.pull("astro/notebooks", "mira", "Flat field", "flat", "main"), 1);
        scene
    }

    pub fn url(&self, path: &str) -> String {
        if path.starts_with("/repos") || path.starts_with("/user") || path.starts_with("/admin") {
            return format!("{}/api/v1{path}", self.forge.url());
        }
        format!("{}{path}", self.forge.url())
    }

    pub async fn send(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Reply {
        let mut request = self.http.request(method.parse().unwrap(), self.url(path));
        if !token.is_empty() {
            request = request.header("authorization", format!("token {token}"));
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Reply::of(request.send().await.unwrap()).await
    }

    pub async fn see(&self, path: &str, token: &str) -> Reply {
        self.send("GET", path, token, None).await
    }

    /// Runs git in the scene's directory, with a token as HTTP Basic password kept out of the arguments. Not in this thread:
    /// git waits for the forge.
    pub fn git(&self, token: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "Mira")
            .env("GIT_AUTHOR_EMAIL", "mira@example.org")
            .env("GIT_COMMITTER_NAME", "Mira")
            .env("GIT_COMMITTER_EMAIL", "mira@example.org");
        if let Some(token) = token {
            let basic = base64::engine::general_purpose::STANDARD.encode(format!("any:{token}"));
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("http.{}/.extraHeader", self.forge.url()))
                .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {basic}"));
        }
        command.output().unwrap()
    }

    pub fn git_ok(&self, token: Option<&str>, arguments: &[&str]) -> String {
        let output = self.git(token, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

pub(super) struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Reply {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap_or_default();
        Self { status, headers, json: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_default()
    }
}

/// `kinds` of a timeline.
pub(super) fn kinds(timeline: &Value) -> Vec<&str> {
    timeline.as_array().into_iter().flatten().filter_map(|e| e["type"].as_str()).collect()
}

#[tokio::test]
async fn stops_and_frees_the_port() {
    let scene = Scene::new().await;
    let url = scene.url("/api/v1/version");
    assert_eq!(scene.see("/api/v1/version", "").await.json, json!({"version": "1.26.4"}));
    let Scene { forge, http, directory: _directory } = scene;
    forge.stop().await;
    assert!(http.get(url).send().await.is_err());
}
