//! What an attempt with a network is given of this host: which certificates to trust, where the package indexes are,
//! which proxy leads out. Never a credential: what is embedded in an address is cut out.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the certificates stand in an attempt that has a network.
pub const CERTIFICATES: &str = "/in/ca-certificates.crt";

/// Variables that tools read to find the certificates to trust.
const CERTIFICATE_VARIABLES: [&str; 6] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
];

/// Variables that are passed on where they are set. No other variable of docent's ever is.
const ADDRESSES: [&str; 16] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "CONDA_CHANNEL_ALIAS",
    "MAMBA_CHANNEL_ALIAS",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What attempts with a network are given; those without get nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The certificates to trust, PEM.
    pub certificates: Option<Vec<u8>>,
    /// Addresses of indexes and proxies, free of credentials.
    pub addresses: BTreeMap<String, String>,
}

impl Access {
    /// As this process itself reaches the network.
    pub fn of_this_process() -> Self {
        let bundle = std::env::var_os("SSL_CERT_FILE")
            .map(PathBuf::from)
            .into_iter()
            .chain(
                [
                    "/etc/ssl/certs/ca-certificates.crt",
                    "/etc/ssl/certs/ca-bundle.crt",
                    "/etc/pki/tls/certs/ca-bundle.crt",
                ]
                .map(PathBuf::from),
            )
            .find_map(|path| std::fs::read(path).ok().filter(|content| !content.is_empty()));
        Self::from_variables(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
        .with_certificates(bundle)
    }

    /// What of these variables may be passed on.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let addresses = variables
            .into_iter()
            .filter(|(name, value)| ADDRESSES.contains(&name.as_str()) && !value.is_empty())
            .map(|(name, value)| (name, without_credentials(&value)))
            .collect();
        Self { certificates: None, addresses }
    }

    /// The same, with these certificates.
    pub fn with_certificates(mut self, certificates: Option<Vec<u8>>) -> Self {
        self.certificates = certificates;
        self
    }

    /// The variables of an attempt that has a network.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.addresses.clone();
        if self.certificates.is_some() {
            variables.extend(CERTIFICATE_VARIABLES.map(|name| (name.to_owned(), CERTIFICATES.to_owned())));
        }
        variables
    }
}

/// The text with `user:password@` and queries cut out of every address in it (addresses are separated by white space,
/// and may follow a `name=`).
fn without_credentials(text: &str) -> String {
    text.split_whitespace().map(strip).collect::<Vec<_>>().join(" ")
}

fn strip(address: &str) -> String {
    let start = address.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = address.split_at(start);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // The last `@` of all, not of the authority alone: a password with an unescaped `/` must not slip through.
    format!("{scheme}{}", rest.rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_and_no_other_variable_is_passed_on() {
        let access = Access::from_variables(
            [
                ("PIP_INDEX_URL", "https://me:s3cret@index.example.org/simple"),
                ("UV_INDEX", "own=https://s3cret@a.example.org/x two=https://b.example.org/y?token=s3cret"),
                ("https_proxy", "me:s3/cr@et@proxy.example.org:3128"),
                ("no_proxy", "localhost,.example.org"),
                ("PIP_FIND_LINKS", "/somewhere"),
                ("DOCENT_TOKEN", "s3cret"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        insta::assert_debug_snapshot!(access.variables(), @r#"
        {
            "PIP_INDEX_URL": "https://index.example.org/simple",
            "UV_INDEX": "own=https://a.example.org/x two=https://b.example.org/y",
            "https_proxy": "proxy.example.org:3128",
            "no_proxy": "localhost,.example.org",
        }
        "#);
    }
}
