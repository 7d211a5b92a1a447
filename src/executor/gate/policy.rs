//! What may pass the gate: a pure function of what is asked, of what the operator names and of the addresses that a name
//! turned out to have.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::{canonical, is_public};
use crate::core::index::{IndexHost, normal};

const HTTPS: u16 = 443;
/// Longer names than DNS has are not shown whole.
const SHOWN: usize = 80;
const HOW: &str = "index_hosts under [executor] in docent.toml names what may be";

/// What a gate lets pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The hosts that the operator names. None: whatever is public, by https.
    pub hosts: Vec<IndexHost>,
    /// Addresses of the machine itself.
    pub own: Vec<IpAddr>,
    /// The proxy through which named hosts are reached.
    pub upstream: Option<Upstream>,
}

/// The operator's own proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// For `https`: host and port.
    pub https: Option<(String, u16)>,
    /// For `http`: host and port.
    pub http: Option<(String, u16)>,
    /// Hosts, and ends of hosts, that are reached without it.
    pub except: Vec<String>,
}

/// How a request goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To a host that the operator names, wherever it is.
    Named { host: String, port: u16, upstream: Option<(String, u16)> },
    /// To a host that is public, or nowhere.
    Public { host: String, port: u16 },
}

/// Why a request does not pass: one line for who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Policy {
    /// Whether a tunnel to this port of this host, or a plain request to it, may pass.
    pub fn way(&self, is_tunnel: bool, host: &str, port: u16) -> Result<Way, Refusal> {
        let host = normal(host);
        let wanted = IndexHost { host, port, is_plain: !is_tunnel };
        if self.hosts.contains(&wanted) {
            let upstream = self.upstream.as_ref().and_then(|upstream| upstream.towards(&wanted));
            return Ok(Way::Named { host: wanted.host, port, upstream });
        }
        let shown: String = wanted.to_string().chars().take(SHOWN).collect();
        if !self.hosts.is_empty() {
            let named = self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let named: String = named.chars().take(2 * SHOWN).collect();
            return Err(Refusal(format!("{shown} is not among the indexes ({named}); {HOW}")));
        }
        if !is_tunnel || port != HTTPS {
            return Err(Refusal(format!(
                "{shown} is not reached: only https to port 443 of public addresses is; {HOW}"
            )));
        }
        Ok(Way::Public { host: wanted.host, port })
    }

    /// Whether all of these addresses, which a host that nobody names has, may be connected to. One that may not is
    /// reason enough: it is how a name is turned against its resolver.
    pub fn pass_addresses(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let host: String = host.chars().take(SHOWN).collect();
        let own: Vec<IpAddr> = self.own.iter().copied().map(canonical).collect();
        for address in addresses {
            if own.contains(&canonical(*address)) {
                return Err(Refusal(format!("{host} is this machine itself ({address}); {HOW}")));
            }
            if !is_public(*address) {
                return Err(Refusal(format!("{host} has the address {address}, which is not public; {HOW}")));
            }
        }
        Ok(())
    }
}

impl Upstream {
    /// As these variables say; none if there is no proxy in them.
    pub fn from_variables(variables: &std::collections::BTreeMap<String, String>) -> Option<Self> {
        let first = |names: [&str; 4]| {
            names.into_iter().find_map(|name| variables.get(name)).and_then(|text| place_of(text))
        };
        let except = ["no_proxy", "NO_PROXY"].into_iter().find_map(|name| variables.get(name));
        let upstream = Self {
            https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            except: except
                .map(|text| {
                    let parts = text.split([',', ' ']).map(|part| part.trim().trim_start_matches("*."));
                    parts
                        .map(|part| normal(part.trim_start_matches('.')))
                        .filter(|it| !it.is_empty())
                        .collect()
                })
                .unwrap_or_default(),
        };
        (upstream.https.is_some() || upstream.http.is_some()).then_some(upstream)
    }

    fn towards(&self, to: &IndexHost) -> Option<(String, u16)> {
        let is_excepted = self.except.iter().any(|it| {
            it == "*"
                || *it == to.host
                || to.host.strip_suffix(it.as_str()).is_some_and(|rest| rest.ends_with('.'))
        });
        let proxy = if to.is_plain { &self.http } else { &self.https };
        proxy.clone().filter(|_| !is_excepted)
    }
}

/// Host and port of a proxy that is spoken to without TLS; others are none.
fn place_of(text: &str) -> Option<(String, u16)> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&text).ok().filter(|url| url.scheme() == "http")?;
    Some((normal(url.host_str()?), url.port_or_known_default()?))
}

/// The hosts that variables name as indexes or channels, as tools read them.
pub fn hosts_of(variables: &std::collections::BTreeMap<String, String>) -> Vec<IndexHost> {
    let mut hosts: Vec<IndexHost> = variables
        .iter()
        .filter(|(name, _)| name.contains("INDEX") || name.contains("CHANNEL"))
        .flat_map(|(_, text)| text.split_whitespace())
        // `name=https://…` is how one tool writes a named index.
        .filter_map(|word| word.find("http").and_then(|at| word.get(at..)))
        .filter_map(|word| url::Url::parse(word).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .filter_map(|url| {
            Some(IndexHost {
                host: normal(url.host_str()?),
                port: url.port_or_known_default()?,
                is_plain: url.scheme() == "http",
            })
        })
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

#[cfg(test)]
mod tests;
