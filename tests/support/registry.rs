//! A real OCI registry on loopback, with or without a password, gone with all it stores when it is dropped.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{eventually, not_run};

/// The account that a registry with a password knows.
pub const LOGIN: &str = "reader";
pub const PASSWORD: &str = "a-password-for-tests";
/// The two as the registry wants them: bcrypt, cost 5.
const HTPASSWD: &str = "reader:$2y$05$uTEokZF7YKRn5XGIeaIxBugroj51ThTZzrgje0j5Z8aQ.wxW3WLCG\n";

/// A running registry.
pub struct RegistryServer {
    /// `127.0.0.1:PORT`.
    pub address: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl RegistryServer {
    /// Starts one and waits until it answers; `None`, said as «not run», where there is no program.
    pub async fn start(has_password: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
        let place = folder.path().display();
        let mut configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {place}/data}}\n\
             http: {{addr: \"{address}\"}}\n"
        );
        if has_password {
            configuration += &format!("auth:\n  htpasswd: {{realm: tests, path: {place}/htpasswd}}\n");
        }
        fs::write(folder.path().join("registry.yml"), configuration).unwrap();
        fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.path().join("registry.yml"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn();
        let Ok(child) = started else {
            not_run("registry", "no docker-registry (scripts/setup registry installs it)");
            return None;
        };
        let server = Self { address: address.to_string(), folder, child };
        eventually("answer of the registry", || async { tokio::net::TcpStream::connect(address).await.ok() })
            .await;
        Some(server)
    }

    /// What it stores, as files.
    pub fn storage(&self) -> std::path::PathBuf {
        self.folder.path().join("data/docker/registry/v2")
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
