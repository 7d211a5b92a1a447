//! `docent.toml`: read strictly, every mistake at once. Secrets are never in it; a credential is named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use url::Url;

use crate::core::command::Grammar;
use crate::core::mistake::Mistake;
use crate::core::policy::Allow;
use crate::core::pull::Permission;
use crate::core::reader::{Source, Table};
use crate::core::recipe::Settings;
use crate::core::select::pattern;
use crate::core::time::Duration;

/// Which executor to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// A container engine if one answers, else the sandbox.
    Auto,
    /// A container engine.
    Container,
    /// The sandbox.
    Sandbox,
}

/// What kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    /// GitHub, or GitHub Enterprise.
    GitHub,
    /// Gitea or Forgejo: one driver.
    Gitea,
}

/// One `[[forge]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForgeConfig {
    /// Its name, used everywhere.
    pub name: String,
    /// Its kind.
    pub kind: ForgeKind,
    /// Its address.
    pub url: Url,
    /// The address of its API, where it is not the usual one.
    pub api_url: Option<Url>,
    /// How often to poll when nothing is going on.
    pub poll_interval: Duration,
    /// Name of the watch credential: a token, or the private key of a GitHub App. None: anonymous.
    pub watch_credential: Option<String>,
    /// Name of the report credential. None: results are on the pages only.
    pub report_credential: Option<String>,
    /// GitHub App: (App id, installation id).
    pub app: Option<(u64, u64)>,
    /// Rights of the watch credential that the operator accepts although they can write.
    pub allow_write_credential: Vec<String>,
    /// Number of the account that reports, where the credential may not ask for it.
    pub own_account: Option<u64>,
}

/// One `[[repository]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RepositoryConfig {
    /// Name of its forge.
    pub forge: String,
    /// `owner/name`.
    pub name: String,
    /// Recipe by name; none: detected.
    pub recipe: Option<String>,
    /// Watched branches.
    pub branches: Vec<String>,
    /// Watched paths.
    pub paths: Vec<String>,
    /// Who may start runs. Empty: nobody.
    pub allow: Vec<Allow>,
}

/// The configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// Everything docent keeps is below.
    pub state_dir: PathBuf,
    /// Where the pages are served.
    pub listen: SocketAddr,
    /// Where people find the pages; no trailing slash.
    pub public_url: Option<String>,
    /// Where credentials are when systemd does not say.
    pub credentials_dir: Option<PathBuf>,
    /// Folders of recipes, before the shipped ones.
    pub recipe_path: Vec<PathBuf>,
    /// Which executor.
    pub executor: ExecutorKind,
    /// Address of the engine's socket, where it is not the usual one.
    pub socket: Option<String>,
    /// Runs at a time.
    pub slots: usize,
    /// How commands are written.
    pub grammar: Grammar,
    /// How long an offer stands.
    pub offer_lifetime: Duration,
    /// Runs of one repository that may wait.
    pub queue_limit: usize,
    /// The shortest time between two edits of a comment.
    pub report_interval: Duration,
    /// How long logs and artifacts are kept.
    pub retention: Duration,
    /// Settings for recipes, by name of the recipe.
    pub recipe_settings: Settings,
    /// Forges.
    pub forges: Vec<ForgeConfig>,
    /// Repositories.
    pub repositories: Vec<RepositoryConfig>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file.
    #[error("no configuration: {tried}. README.md shows a first one")]
    Missing { tried: String },
    /// It cannot be read.
    #[error("{file}: {source}", file = file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    /// What is wrong in it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
}

/// Where the configuration is: the named file, else `docent.toml` here, else `/etc/docent/docent.toml`.
pub fn find(named: Option<&Path>) -> Result<PathBuf, ConfigError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let usual = [PathBuf::from("docent.toml"), PathBuf::from("/etc/docent/docent.toml")];
    usual.iter().find(|file| file.is_file()).cloned().ok_or_else(|| ConfigError::Missing {
        tried: "there is neither docent.toml here nor /etc/docent/docent.toml, and --config names none"
            .to_owned(),
    })
}

/// Reads the configuration in `file`.
pub fn load(file: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
    parse(&file.display().to_string(), &text).map_err(ConfigError::Mistakes)
}

/// Reads a configuration, or names everything that is wrong with it.
pub fn parse(name: &str, text: &str) -> Result<Config, Vec<Mistake>> {
    let source = Source::new(name, text);
    let config = read(&source, name);
    let mistakes = source.into_mistakes();
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(mistakes),
    }
}

fn read(source: &Source<'_>, name: &str) -> Option<Config> {
    let parsed = source.parse()?;
    let table = Table::new(source, "configuration", 0..0, parsed.get_ref());
    let may_listen_publicly = table.flag("listen_publicly").unwrap_or(false);
    let listen = listen(&table, may_listen_publicly);
    let public_url = address(&table, "public_url").map(|url| url.as_str().trim_end_matches('/').to_owned());
    let path = |key: &str| table.text(key).map(PathBuf::from);
    let (executor, socket, slots) = executor(&table);
    let Limits { offer_lifetime, queue_limit, report_interval, retention } = limits(&table);
    let grammar = grammar(&table);
    let recipe_settings = recipe_settings(&table);
    let forges = forges(&table);
    let repositories = repositories(&table, source, &forges);
    let config = Config {
        file: PathBuf::from(name),
        state_dir: path("state_dir").unwrap_or_else(|| PathBuf::from("/var/lib/docent")),
        listen,
        public_url,
        credentials_dir: path("credentials_dir"),
        recipe_path: table
            .texts("recipe_path")
            .unwrap_or_default()
            .into_iter()
            .map(|(text, _)| PathBuf::from(text))
            .collect(),
        executor,
        socket,
        slots,
        grammar,
        offer_lifetime,
        queue_limit,
        report_interval,
        retention,
        recipe_settings,
        forges,
        repositories,
    };
    table.close();
    Some(config)
}

fn listen(table: &Table<'_, '_, '_>, may_listen_publicly: bool) -> SocketAddr {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8440));
    let Some(text) = table.text("listen") else { return usual };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() || may_listen_publicly => address,
        Ok(_) => {
            table.mistake(
                "listen",
                "listen is not a loopback address: put a web server in front, or set listen_publicly = true",
            );
            usual
        }
        Err(_) => {
            table.mistake("listen", "listen must be an address and a port such as \"127.0.0.1:8440\"");
            usual
        }
    }
}

fn address(table: &Table<'_, '_, '_>, key: &str) -> Option<Url> {
    let text = table.text(key)?;
    match Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() => {
            table.mistake(key, format!("{key} must begin with https:// and name a host"));
            None
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            table.mistake(
                key,
                format!("{key} must hold no user name and no password: name a credential instead"),
            );
            None
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            table.mistake(key, format!("{key} must have no ? and no # part"));
            None
        }
        Ok(url) => Some(url),
        Err(error) => {
            table.mistake(key, format!("{key} is no address: {error}"));
            None
        }
    }
}

fn executor(table: &Table<'_, '_, '_>) -> (ExecutorKind, Option<String>, usize) {
    let Some(table) = table.table("executor") else { return (ExecutorKind::Auto, None, 2) };
    let kind = match table.text("kind").as_deref() {
        None | Some("auto") => ExecutorKind::Auto,
        Some("container") => ExecutorKind::Container,
        Some("sandbox") => ExecutorKind::Sandbox,
        Some(_) => {
            table.mistake("kind", "kind must be auto, container or sandbox");
            ExecutorKind::Auto
        }
    };
    let slots = table.number("slots", 1).and_then(|slots| usize::try_from(slots).ok()).unwrap_or(2);
    let socket = table.text("socket");
    table.close();
    (kind, socket, slots)
}

struct Limits {
    offer_lifetime: Duration,
    queue_limit: usize,
    report_interval: Duration,
    retention: Duration,
}

fn limits(table: &Table<'_, '_, '_>) -> Limits {
    let usual = Limits {
        offer_lifetime: Duration::hours(24),
        queue_limit: 50,
        report_interval: Duration::seconds(15),
        retention: Duration::days(90),
    };
    let Some(table) = table.table("limits") else { return usual };
    let within = |key: &str, least: Duration| {
        let duration = table.duration(key)?;
        if duration < least || duration > Duration::days(3650) {
            table.mistake(key, format!("{key} must be at least {}s and at most 3650d", least.num_seconds()));
            return None;
        }
        Some(duration)
    };
    let queue_limit = table.number("queue_limit", 1).and_then(|count| usize::try_from(count).ok());
    let read = Limits {
        offer_lifetime: within("offer_lifetime", Duration::minutes(1)).unwrap_or(usual.offer_lifetime),
        queue_limit: queue_limit.unwrap_or(usual.queue_limit),
        report_interval: within("report_interval", Duration::seconds(1)).unwrap_or(usual.report_interval),
        retention: within("retention", Duration::hours(1)).unwrap_or(usual.retention),
    };
    table.close();
    read
}

fn grammar(table: &Table<'_, '_, '_>) -> Grammar {
    let mut grammar = Grammar::default();
    let Some(table) = table.table("commands") else { return grammar };
    if let Some(marker) = table.text("marker") {
        let mut characters = marker.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) => grammar.marker = one,
            _ => table.mistake("marker", "marker must be one character"),
        }
    }
    if let Some(count) = table.number("max_commands", 1) {
        grammar.max_commands = usize::try_from(count).unwrap_or(usize::MAX);
    }
    let words = &mut grammar.words;
    for (key, word) in [
        ("testme", &mut words.testme),
        ("retry", &mut words.retry),
        ("cancel", &mut words.cancel),
        ("status", &mut words.status),
        ("help", &mut words.help),
        ("accept", &mut words.accept),
        ("reject", &mut words.reject),
    ] {
        if let Some(text) = table.text(key) {
            *word = text;
        }
    }
    for mistake in grammar.mistakes() {
        table.mistake("", mistake.to_string());
    }
    table.close();
    grammar
}

fn recipe_settings(table: &Table<'_, '_, '_>) -> Settings {
    let Some(recipes) = table.table("recipes") else { return Settings::new() };
    let mut settings = BTreeMap::new();
    for (name, table) in recipes.named_tables() {
        if let Some(free) = table.table("settings") {
            settings.insert(name, free.free());
        }
        table.close();
    }
    recipes.close();
    settings
}

fn forges(table: &Table<'_, '_, '_>) -> Vec<ForgeConfig> {
    let mut forges: Vec<ForgeConfig> = Vec::new();
    for mut table in table.tables("forge") {
        let name = table.required("name").unwrap_or_default();
        table.call(format!("forge {name:?}"));
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            table.mistake("name", "name must be letters, digits, - _ and .");
        }
        if forges.iter().any(|forge| forge.name == name) {
            table.mistake("name", "there are two forges of that name");
        }
        let kind = match table.required("kind").as_deref() {
            Some("github") => ForgeKind::GitHub,
            Some("gitlab") => {
                table.mistake("kind", "gitlab is not supported yet: github, gitea and forgejo are");
                ForgeKind::Gitea
            }
            Some("gitea" | "forgejo") | None => ForgeKind::Gitea,
            Some(_) => {
                table.mistake("kind", "kind must be github, gitea or forgejo");
                ForgeKind::Gitea
            }
        };
        let may_be_plain = table.flag("insecure_http").unwrap_or(false);
        let safe = |key: &str| {
            let url = address(&table, key)?;
            let is_near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            if url.scheme() == "http" && !is_near && !may_be_plain {
                table.mistake(
                    key,
                    format!(
                        "{key} would send the credential in the clear: use https, or set insecure_http = true"
                    ),
                );
            }
            Some(url)
        };
        if table.value("url").is_none() && kind == ForgeKind::Gitea {
            table.mistake("url", "url is missing");
        }
        let url = safe("url").or_else(|| Url::parse("https://github.com").ok());
        let poll_interval = table.duration("poll_interval").unwrap_or_else(|| Duration::seconds(30));
        if !(Duration::seconds(1)..=Duration::days(1)).contains(&poll_interval) {
            table.mistake("poll_interval", "poll_interval must be at least 1s and at most 1d");
        }
        let app = match (table.number("app_id", 1), table.number("installation_id", 1)) {
            (Some(app), Some(installation)) => Some((app, installation)),
            (None, None) => None,
            _ => {
                table.mistake("app_id", "app_id and installation_id belong together");
                None
            }
        };
        if app.is_some() && kind != ForgeKind::GitHub {
            table.mistake("app_id", "app_id is for GitHub Apps");
        }
        let watch_credential = credential(&table, "watch_credential");
        if app.is_some() && watch_credential.is_none() {
            table.mistake("watch_credential", "watch_credential must name the private key of the App");
        }
        let report_credential = credential(&table, "report_credential");
        if watch_credential.is_some() && watch_credential == report_credential {
            table.mistake(
                "report_credential",
                "the watch credential must not be the report credential: it could write",
            );
        }
        let allowed = table.texts("allow_write_credential").unwrap_or_default();
        let api_url = safe("api_url");
        let own_account = table.number("own_account", 1);
        if let Some(url) = url {
            forges.push(ForgeConfig {
                name,
                kind,
                url,
                api_url,
                poll_interval,
                watch_credential,
                report_credential,
                app,
                allow_write_credential: allowed.into_iter().map(|(text, _)| text).collect(),
                own_account,
            });
        }
        table.close();
    }
    forges
}

fn credential(table: &Table<'_, '_, '_>, key: &str) -> Option<String> {
    let name = table.text(key)?;
    let is_plain = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'))
    };
    if name.is_empty() || name.starts_with('.') || !is_plain(&name) {
        table.mistake(key, format!("{key} must be the name of a file in credentials_dir: letters, digits, - _ . and @; the secret itself is never written here"));
        return None;
    }
    Some(name)
}

fn repositories(
    table: &Table<'_, '_, '_>,
    source: &Source<'_>,
    forges: &[ForgeConfig],
) -> Vec<RepositoryConfig> {
    let mut repositories = Vec::new();
    let mut known = BTreeSet::new();
    for mut table in table.tables("repository") {
        let name = table.required("name").unwrap_or_default();
        table.call(format!("repository {name:?}"));
        let forge = table.required("forge").unwrap_or_default();
        if !forge.is_empty() && !forges.iter().any(|known| known.name == forge) {
            table.mistake("forge", format!("there is no [[forge]] with the name {forge:?}"));
        }
        let parts: Vec<&str> = name.split('/').collect();
        let is_part = |part: &&str| {
            !part.is_empty()
                && *part != "."
                && *part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !name.is_empty() && (parts.len() != 2 || !parts.iter().all(is_part)) {
            table.mistake("name", "name must be owner/name");
        }
        if !known.insert((forge.clone(), name.to_ascii_lowercase())) {
            table.mistake("name", "the repository is listed twice");
        }
        let texts = |key: &str| table.texts(key).unwrap_or_default();
        for (text, span) in texts("paths") {
            if let Err(error) = pattern(&text) {
                source.mistake(span, format!("paths: {error}"));
            }
        }
        let mut allow = Vec::new();
        for (text, span) in texts("allow") {
            match allowed(&text) {
                Ok(line) => allow.push(line),
                Err(why) => source.mistake(span, format!("repository {name:?}: allow: {why}")),
            }
        }
        let plain = |list: Vec<(String, _)>| list.into_iter().map(|(text, _)| text).collect();
        repositories.push(RepositoryConfig {
            forge,
            name,
            recipe: table.text("recipe"),
            branches: plain(texts("branches")),
            paths: plain(texts("paths")),
            allow,
        });
        table.close();
    }
    repositories
}

fn allowed(text: &str) -> Result<Allow, String> {
    let usage = "must be login:number, team:organisation/team or permission:read|write|admin";
    match text.split_once(':') {
        Some(("team", team)) if team.split('/').filter(|part| !part.is_empty()).count() == 2 => {
            Ok(Allow::Team(team.to_owned()))
        }
        Some(("permission", "read")) => Ok(Allow::Permission(Permission::Read)),
        Some(("permission", "write")) => Ok(Allow::Permission(Permission::Write)),
        Some(("permission", "admin")) => Ok(Allow::Permission(Permission::Admin)),
        Some(("team" | "permission", _)) => Err(format!("{text:?} {usage}")),
        Some((login, number)) if !login.is_empty() => match number.parse() {
            Ok(number) if number > 0 => Ok(Allow::Account { login: login.to_owned(), number }),
            _ => Err(format!("{text:?}: {number:?} is no account number")),
        },
        _ => Err(format!("{text:?} {usage}: a name alone can change hands, the number cannot")),
    }
}

#[cfg(test)]
mod tests;
