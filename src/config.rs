//! `docent.toml`: read strictly, every mistake at once. Secrets are never in it; a credential is named.

mod commands;
mod forge;
mod publish;
mod repository;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use url::Url;

use crate::core::command::Grammar;
use crate::core::extra::ExtraPolicy;
use crate::core::index::IndexHost;
use crate::core::mistake::{Mistake, Place, did_you_mean, lines, position};
use crate::core::policy::Allow;
use crate::core::reader::{Source, Table};
use crate::core::recipe::{Overrides, Settings};
use crate::core::spec::policy::SpecPolicy;
use crate::core::time::Duration;

/// A configuration is written by hand; what is larger is something else.
const MAX_BYTES: usize = 1 << 20;

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
    /// Its address in a browser.
    pub url: Url,
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
    /// Branches whose pushes start runs.
    pub branches: Vec<String>,
    /// Patterns of paths whose changes start runs; none: any change of a watched branch, and none of a pull request.
    pub paths: Vec<String>,
    /// Whether and how often extra tests run.
    pub extra: ExtraPolicy,
    /// Who may start runs. Empty: nobody.
    pub allow: Vec<Allow>,
    /// Where its curated specs are published.
    pub publish: Option<PublishConfig>,
}

/// One `[repository.publish]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishConfig {
    /// `registry.example.org`.
    pub registry: String,
    /// `astro/images`.
    pub project: String,
    /// Name of the publish credential.
    pub credential: String,
    /// Where it is named.
    pub place: Place,
    /// HTTP without TLS will do beyond this machine.
    pub insecure_http: bool,
    /// Branches whose runs publish.
    pub branches: Vec<String>,
    /// Tags that follow the last image.
    pub aliases: Vec<String>,
}

impl PublishConfig {
    /// `registry.example.org/astro/images`.
    pub fn to(&self) -> String {
        format!("{}/{}", self.registry, self.project)
    }
}

/// A place where a recipe is named. Whether there is one of that name is known only when recipes are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeMention {
    /// The recipe.
    pub name: String,
    /// Where.
    pub place: Place,
    /// Whose: `repository "astro/notebooks"`.
    pub what: String,
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
    /// Package indexes that tiers with `network = "index"` may reach. None named here or by variables: whatever is public.
    pub index_hosts: Vec<IndexHost>,
    /// Runs at a time.
    pub slots: usize,
    /// How commands are written.
    pub grammar: Grammar,
    /// How long an offer stands.
    pub offer_lifetime: Duration,
    /// Runs of one repository that may wait.
    pub queue_limit: usize,
    /// What specs may make this docent do.
    pub specs: SpecPolicy,
    /// Environments that are kept for later runs; 0: none.
    pub environments: usize,
    /// What they may take together, in bytes.
    pub environment_bytes: u64,
    /// The files of a commit that a bundle carries, in bytes; 0: none.
    pub bundle_bytes: u64,
    /// Failed tests of one run that are run on its base as well; 0: none.
    pub baseline_tests: usize,
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
    /// Everywhere a recipe is named.
    pub recipe_mentions: Vec<RecipeMention>,
    /// What is allowed and seldom meant.
    pub warnings: Vec<Mistake>,
}

impl Config {
    /// Recipes that are named and are not among `known`.
    pub fn unknown_recipes<'a>(&self, known: impl Iterator<Item = &'a str> + Clone) -> Vec<Mistake> {
        let is_unknown = |mention: &&RecipeMention| !known.clone().any(|name| name == mention.name);
        let mistake = |mention: &RecipeMention| {
            let RecipeMention { name, place, what } = mention;
            let hint = did_you_mean(name, known.clone());
            let list = known.clone().collect::<Vec<_>>().join(", ");
            Mistake::new(
                place.clone(),
                format!(
                    "{what}: there is no recipe {name:?}{hint}; there are: {list}. recipe_path says where more are"
                ),
            )
        };
        self.recipe_mentions.iter().filter(is_unknown).map(mistake).collect()
    }
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
    #[error("{}", lines(.0))]
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
    let bytes =
        std::fs::read(file).map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
    let name = file.display().to_string();
    if bytes.len() > MAX_BYTES {
        let text = "it is larger than 1 MiB: this cannot be a configuration";
        return Err(ConfigError::Mistakes(vec![Mistake::new(Place::whole(name), text)]));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(&name, text).map_err(ConfigError::Mistakes),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let (line, column) = position(&before, before.len());
            let place = Place { file: name, line, column };
            Err(ConfigError::Mistakes(vec![Mistake::new(place, "it is not UTF-8 text from here on")]))
        }
    }
}

/// Reads a configuration, or names everything that is wrong with it. Relative paths in it are relative to its folder, so that
/// it means the same from everywhere.
pub fn parse(name: &str, text: &str) -> Result<Config, Vec<Mistake>> {
    let source = Source::new(name, text);
    let config = read(&source, name);
    let mistakes = source.into_mistakes();
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

fn read(source: &Source<'_>, name: &str) -> Config {
    let parsed = source.parse();
    let table = Table::new(source, "configuration", 0..0, parsed.get_ref());
    let file = PathBuf::from(name);
    let here = file.parent().unwrap_or(Path::new("")).to_owned();
    let path = |key: &str| table.text(key).map(|text| here.join(text));
    let listen = listen(&table);
    let public_url = address(&table, "public_url").map(|url| url.as_str().trim_end_matches('/').to_owned());
    let (executor, socket, slots, index_hosts) = executor(&table);
    let limits = limits(&table);
    let mut recipe_mentions = Vec::new();
    let mut warnings = Vec::new();
    let recipe_path = table.texts("recipe_path").unwrap_or_default();
    let recipe_settings = recipe_settings(&table, &mut recipe_mentions);
    let (forges, forge_places) = forge::forges(&table);
    let repositories = repository::repositories(&table, &forges, &mut recipe_mentions, &mut warnings);
    repository::keep_credentials_apart(source, &forges, &repositories);
    for (forge, place) in forges.iter().zip(forge_places) {
        if !repositories.iter().any(|repository| repository.forge == forge.name) {
            let text = format!("forge {:?}: no [[repository]] is watched there", forge.name);
            warnings.push(Mistake::new(place, text));
        }
    }
    let config = Config {
        state_dir: path("state_dir").unwrap_or_else(|| PathBuf::from("/var/lib/docent")),
        listen,
        public_url,
        credentials_dir: path("credentials_dir"),
        recipe_path: recipe_path.into_iter().map(|(text, _)| here.join(text)).collect(),
        executor,
        socket,
        index_hosts,
        slots,
        grammar: commands::grammar(&table),
        baseline_tests: limits.baseline_tests,
        environments: limits.environments,
        environment_bytes: limits.environment_bytes,
        bundle_bytes: limits.bundle_bytes,
        specs: specs(&table),
        offer_lifetime: limits.offer_lifetime,
        queue_limit: limits.queue_limit,
        report_interval: limits.report_interval,
        retention: limits.retention,
        recipe_settings,
        forges,
        repositories,
        recipe_mentions,
        warnings,
        file,
    };
    table.close();
    config
}

fn listen(table: &Table<'_, '_, '_>) -> SocketAddr {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8440));
    let may_listen_publicly = table.flag("listen_publicly").unwrap_or(false);
    let Some(text) = table.text("listen") else { return usual };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().to_canonical().is_loopback() || may_listen_publicly => address,
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

fn executor(table: &Table<'_, '_, '_>) -> (ExecutorKind, Option<String>, usize, Vec<IndexHost>) {
    let Some(table) = table.table("executor") else { return (ExecutorKind::Auto, None, 2, Vec::new()) };
    let kinds = [
        ("auto", ExecutorKind::Auto),
        ("container", ExecutorKind::Container),
        ("sandbox", ExecutorKind::Sandbox),
    ];
    let kind = table.choice("kind", &kinds).unwrap_or(ExecutorKind::Auto);
    let slots = whole(&table, "slots", 1, 1000).unwrap_or(2);
    let socket = table.text("socket");
    let mut index_hosts = Vec::new();
    for (text, span) in table.texts("index_hosts").unwrap_or_default() {
        match text.parse() {
            Ok(host) => index_hosts.push(host),
            Err(error) => table.mistake_at(span, format!("index_hosts: {error}")),
        }
    }
    table.close();
    (kind, socket, slots, index_hosts)
}

fn whole(table: &Table<'_, '_, '_>, key: &str, least: u64, most: u64) -> Option<usize> {
    table.number(key, least, most).and_then(|number| usize::try_from(number).ok())
}

/// What specs may make docent do.
fn specs(table: &Table<'_, '_, '_>) -> SpecPolicy {
    let mut policy = SpecPolicy::default();
    let Some(table) = table.table("specs") else { return policy };
    let texts = |key: &str| -> Option<BTreeSet<String>> {
        table.texts(key).map(|list| list.into_iter().map(|(text, _)| text).collect())
    };
    policy.hosts = texts("hosts").unwrap_or(policy.hosts);
    policy.package_options = texts("package_options").unwrap_or(policy.package_options);
    policy.local_packages = table.flag("local_packages").unwrap_or(policy.local_packages);
    if table.flag("plain_http").unwrap_or(false) {
        policy.schemes.insert("http".to_owned());
    }
    table.close();
    policy
}

struct Limits {
    baseline_tests: usize,
    environments: usize,
    environment_bytes: u64,
    bundle_bytes: u64,
    offer_lifetime: Duration,
    queue_limit: usize,
    report_interval: Duration,
    retention: Duration,
}

fn limits(table: &Table<'_, '_, '_>) -> Limits {
    let usual = Limits {
        baseline_tests: 20,
        environments: 10,
        environment_bytes: 40 << 30,
        bundle_bytes: 64 << 20,
        offer_lifetime: Duration::hours(24),
        queue_limit: 50,
        report_interval: Duration::seconds(15),
        retention: Duration::days(90),
    };
    let Some(table) = table.table("limits") else { return usual };
    let (second, minute, hour) = (Duration::seconds(1), Duration::minutes(1), Duration::hours(1));
    let limits = Limits {
        baseline_tests: whole(&table, "baseline_tests", 0, 1_000).unwrap_or(usual.baseline_tests),
        environments: whole(&table, "environments", 0, 10_000).unwrap_or(usual.environments),
        environment_bytes: table.size("environment_disk", 1).unwrap_or(usual.environment_bytes),
        bundle_bytes: table.size("bundle_size", 0).unwrap_or(usual.bundle_bytes),
        offer_lifetime: table.duration("offer_lifetime", minute).unwrap_or(usual.offer_lifetime),
        queue_limit: whole(&table, "queue_limit", 1, 100_000).unwrap_or(usual.queue_limit),
        report_interval: table.duration("report_interval", second).unwrap_or(usual.report_interval),
        retention: table.duration("retention", hour).unwrap_or(usual.retention),
    };
    table.close();
    limits
}

fn recipe_settings(table: &Table<'_, '_, '_>, mentions: &mut Vec<RecipeMention>) -> Settings {
    let Some(recipes) = table.table("recipes") else { return Settings::new() };
    let mut settings = Settings::new();
    for (name, table) in recipes.named_tables() {
        let place = recipes.place(&name);
        mentions.push(RecipeMention {
            name: name.clone(),
            place: place.clone(),
            what: "[recipes]".to_owned(),
        });
        let values = table.table("settings").map(|table| table.settings()).unwrap_or_default();
        settings.insert(name, Overrides { place, values });
        table.close();
    }
    recipes.close();
    settings
}

#[cfg(test)]
mod tests;
