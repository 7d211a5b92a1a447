//! `[[forge]]`: where docent looks, and with which credentials.

use url::{Host, Url};

use super::{ForgeConfig, ForgeKind, address};
use crate::core::mistake::Place;
use crate::core::reader::Table;
use crate::core::time::Duration;

/// All forges, each with its place.
pub(super) fn forges(table: &Table<'_, '_, '_>) -> (Vec<ForgeConfig>, Vec<Place>) {
    let mut forges: Vec<ForgeConfig> = Vec::new();
    let mut places = Vec::new();
    for mut table in table.tables("forge") {
        let name = table.required("name").unwrap_or_default();
        table.call(format!("forge {name:?}"));
        if !is_plain(&name) {
            table.mistake(
                "name",
                "name must begin with a letter or a digit and hold letters, digits, - _ and . only",
            );
        }
        if !name.is_empty() && forges.iter().any(|forge| forge.name == name) {
            table.mistake("name", "there are two forges of that name");
        }
        let place = table.place("name");
        if let Some(forge) = forge(&table, name) {
            forges.push(forge);
            places.push(place);
        }
        table.close();
    }
    (forges, places)
}

fn forge(table: &Table<'_, '_, '_>, name: String) -> Option<ForgeConfig> {
    let kind = kind(table);
    let may_be_plain = table.flag("insecure_http").unwrap_or(false);
    let url = if kind == Some(ForgeKind::Gitea) && table.value("url").is_none() {
        table.missing("url");
        None
    } else {
        safe_address(table, "url", may_be_plain)
    };
    let app = app(table, kind);
    let (watch_credential, report_credential) =
        (credential(table, "watch_credential"), credential(table, "report_credential"));
    if app.is_some() && table.value("watch_credential").is_none() {
        table.mistake("app_id", "watch_credential must name the private key of this GitHub App");
    }
    if watch_credential.is_some() && watch_credential == report_credential {
        table.mistake(
            "report_credential",
            "the watch credential cannot be the report credential: one may only read, the other writes",
        );
    }
    Some(ForgeConfig {
        name,
        kind: kind.unwrap_or(ForgeKind::Gitea),
        url: url.or_else(|| Url::parse("https://github.com").ok())?,
        poll_interval: poll_interval(table),
        watch_credential,
        report_credential,
        app,
        allow_write_credential: rights(table),
        own_account: own_account(table),
    })
}

fn poll_interval(table: &Table<'_, '_, '_>) -> Duration {
    let interval = table.duration("poll_interval", Duration::seconds(1));
    if interval.is_some_and(|interval| interval > Duration::days(1)) {
        table.mistake("poll_interval", "poll_interval must be at most 1d");
    }
    interval.unwrap_or_else(|| Duration::seconds(30))
}

fn kind(table: &Table<'_, '_, '_>) -> Option<ForgeKind> {
    if table.value("kind").is_none() {
        table.missing("kind");
        return None;
    }
    let kinds = [
        ("github", Some(ForgeKind::GitHub)),
        ("gitea", Some(ForgeKind::Gitea)),
        ("forgejo", Some(ForgeKind::Gitea)),
        ("gitlab", None),
    ];
    let kind = table.choice("kind", &kinds)?;
    if kind.is_none() {
        table.mistake("kind", "gitlab comes later: github, gitea and forgejo work");
    }
    kind
}

/// An address to which a credential may be sent.
fn safe_address(table: &Table<'_, '_, '_>, key: &str, may_be_plain: bool) -> Option<Url> {
    let url = address(table, key)?;
    let is_near = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && !is_near && !may_be_plain {
        table.mistake(
            key,
            format!("{key} would send credentials in the clear: use https, or set insecure_http = true"),
        );
    }
    Some(url)
}

fn app(table: &Table<'_, '_, '_>, kind: Option<ForgeKind>) -> Option<(u64, u64)> {
    let most = i64::MAX.unsigned_abs();
    let (app, installation) = (table.number("app_id", 1, most), table.number("installation_id", 1, most));
    let (has_app, has_installation) =
        (table.value("app_id").is_some(), table.value("installation_id").is_some());
    for (key, has, other) in
        [("app_id", has_app, has_installation), ("installation_id", has_installation, has_app)]
    {
        if has && kind == Some(ForgeKind::Gitea) {
            table.mistake(key, format!("{key} is for GitHub Apps"));
        } else if has && !other {
            table.mistake(key, "app_id and installation_id belong together");
        }
    }
    app.zip(installation)
}

/// The name of a credential.
pub(super) fn credential(table: &Table<'_, '_, '_>, key: &str) -> Option<String> {
    let name = table.text(key)?;
    if is_plain(&name) {
        return Some(name);
    }
    // What is no name may be the secret itself: it is not repeated.
    table.mistake(
        key,
        format!(
            "{key} must be the name of a file in credentials_dir (letters, digits, - _ and .); \
             the secret itself never stands here"
        ),
    );
    None
}

/// A name that is safe as a file's: no folder, nothing hidden.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with(['.', '-', '_'])
        && name.len() <= 128
}

/// Rights that the operator accepts on the watch credential, as the proof names them: `write:issue`.
fn rights(table: &Table<'_, '_, '_>) -> Vec<String> {
    let mut rights = Vec::new();
    for (text, span) in table.texts("allow_write_credential").unwrap_or_default() {
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '*') {
            let why =
                "allow_write_credential must name rights one by one, as docent doctor does: \"write:issue\"";
            table.mistake_at(span, why);
        } else {
            rights.push(text);
        }
    }
    rights
}

/// `docent:7`, or the number alone.
fn own_account(table: &Table<'_, '_, '_>) -> Option<u64> {
    if !table.value("own_account")?.get_ref().is_str() {
        return table.number("own_account", 1, i64::MAX.unsigned_abs());
    }
    let text = table.text("own_account")?;
    let number =
        text.rsplit_once(':').and_then(|(_, number)| number.parse().ok()).filter(|number| *number > 0);
    if number.is_none() {
        table.mistake("own_account", "own_account must be login:number, as in \"docent:7\"");
    }
    number
}
