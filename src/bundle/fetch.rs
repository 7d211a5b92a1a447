//! Getting a bundle from a page.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use url::Url;

use super::{BundleError, MOST_BYTES, disk};

/// Ways of addresses that are followed.
const HOPS: usize = 5;
/// How long a page may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fetches what is at `url` into the file `into`. No credential goes with it.
pub async fn fetch(url: &Url, into: &Path) -> Result<(), BundleError> {
    let unreachable = |error: reqwest::Error| BundleError::Unreachable(error.without_url().to_string());
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("docent/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::limited(HOPS))
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE);
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        // Nothing beside this machine is asked then, so one without certificates will do.
        client = client.no_proxy().tls_certs_only([]);
    }
    let client = client.build().map_err(unreachable)?;
    let answer = client.get(url.clone()).send().await.map_err(unreachable)?;
    if !answer.status().is_success() {
        return Err(BundleError::Unreachable(format!("the page answers {}", answer.status())));
    }
    let mut file = std::fs::File::create(into).map_err(disk(into.display()))?;
    let (mut size, mut pieces) = (0_u64, answer.bytes_stream());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(unreachable)?;
        size += piece.len() as u64;
        if size > MOST_BYTES {
            return Err(BundleError::TooLarge(format!("{MOST_BYTES} bytes")));
        }
        file.write_all(&piece).map_err(disk(into.display()))?;
    }
    Ok(())
}
