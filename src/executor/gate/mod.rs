//! The gate: the only way out of a tier with `network = "index"`. It is a small forward proxy of docent's own, beside the
//! attempt and never in it: what an attempt does to its own variables, routes or sockets does not open it.
//!
//! Containers have it as a container of docent's own program between two networks; a sandbox has it in the daemon,
//! behind a socket that is all of the world that its own network namespace holds.

mod address;
pub mod bundle;
mod connect;
pub mod inside;
mod policy;
mod serve;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::Access;
use crate::core::index::IndexHost;
pub use policy::{Policy, Upstream};
pub use serve::{Gate, Told};

/// Where the gate is heard, beside an attempt or inside its own network.
pub const PORT: u16 = 3128;

/// What a gate that is a process of its own says once it hears.
pub const HEARS: &str = "docent's gate hears";

/// What an executor has to be told about gates.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Docent's own program.
    pub program: PathBuf,
    /// Indexes that the operator names, beside those of the variables.
    pub hosts: Vec<IndexHost>,
}

impl Default for Settings {
    fn default() -> Self {
        // Not its path: the file may have been replaced by that of a newer docent, and this one is still this one.
        Self { program: PathBuf::from("/proc/self/exe"), hosts: Vec::new() }
    }
}

impl Settings {
    /// What a gate of an executor with this access lets pass, as things are now. Without the addresses of this machine
    /// there is no gate: it could lead back.
    pub fn policy(&self, access: &Access) -> io::Result<Policy> {
        let mut hosts = policy::hosts_of(&access.addresses);
        hosts.extend(self.hosts.iter().cloned());
        hosts.sort();
        hosts.dedup();
        Ok(Policy { hosts, own: own_addresses()?, upstream: Upstream::from_variables(&access.addresses) })
    }
}

impl Policy {
    /// In words, for who asks what binds.
    pub fn words(&self) -> String {
        if self.hosts.is_empty() {
            return "any public address by https, for no index is named: index_hosts under [executor] does"
                .to_owned();
        }
        let hosts = self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("{hosts}, and nothing else")
    }
}

/// The variables of an attempt behind a gate: what there was, but for the ways around it.
pub fn variables(access: &Access, host: &str) -> BTreeMap<String, String> {
    let mut variables = access.variables();
    variables.retain(|name, _| !name.to_ascii_lowercase().ends_with("_proxy"));
    let gate = format!("http://{host}:{PORT}");
    for name in ["http_proxy", "https_proxy"] {
        variables.insert(name.to_owned(), gate.clone());
        variables.insert(name.to_ascii_uppercase(), gate.clone());
    }
    for name in ["no_proxy", "NO_PROXY"] {
        variables.insert(name.to_owned(), "localhost,127.0.0.1,::1".to_owned());
    }
    variables
}

/// Every address of every interface of this machine.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs()?;
    let mut addresses: Vec<IpAddr> =
        interfaces.filter_map(|interface| address_of(interface.address.as_ref()?)).collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn address_of(storage: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_leads_around_the_gate() {
        let access = Access::from_variables(
            [
                ("https_proxy", "http://proxy.example.org:3128"),
                ("ALL_PROXY", "http://proxy.example.org:3128"),
                ("NO_PROXY", "*"),
                ("PIP_INDEX_URL", "https://index.example.org/simple"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        insta::assert_debug_snapshot!(variables(&access, "127.0.0.1"), @r#"
        {
            "HTTPS_PROXY": "http://127.0.0.1:3128",
            "HTTP_PROXY": "http://127.0.0.1:3128",
            "NO_PROXY": "localhost,127.0.0.1,::1",
            "PIP_INDEX_URL": "https://index.example.org/simple",
            "http_proxy": "http://127.0.0.1:3128",
            "https_proxy": "http://127.0.0.1:3128",
            "no_proxy": "localhost,127.0.0.1,::1",
        }
        "#);
        let policy = Settings::default().policy(&access).unwrap();
        assert_eq!(policy.words(), "index.example.org, and nothing else");
        assert!(policy.own.contains(&IpAddr::from([127, 0, 0, 1])), "{:?}", policy.own);
    }
}
