//! From the configuration to adapters: the one place that names them all.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use secrecy::{ExposeSecret, SecretString};

use super::Trouble;
use crate::clock::Clock;
use crate::config::{self, Config, ExecutorKind, ForgeConfig, RepositoryConfig};
use crate::core::credential::beyond_reporting;
use crate::core::index::IndexHost;
use crate::core::mistake::lines;
use crate::core::policy::{Policy, RepositoryPolicy};
use crate::core::publishing::PublishPolicy;
use crate::daemon::{Parts, Registries, Watched};
use crate::executor::any::AnyExecutor;
use crate::executor::awaited::Awaited;
use crate::executor::container::{self, Container};
use crate::executor::sandbox::{self, Sandbox};
use crate::executor::{Binding, Executor, ExecutorError, Probe};
use crate::forge::any::{AnyForge, AnyReporter, ForgeKind, Settings};
use crate::forge::github::GitHubCredential;
use crate::forge::http::Bounds;
use crate::forge::{Forge, ForgeError, Proof, Reporter};
use crate::git::Git;
use crate::publish::{Access, Credential, Place, Registry};
use crate::recipes::{Build, RecipeError, Shelf};
use crate::secrets::Secrets;
use crate::store::{Files, Store};

/// Everything that `docent serve` and `docent demo` run.
pub type AnyParts = Parts<AnyForge, AnyReporter, Awaited<AnyExecutor>>;

/// Reads the configuration that `--config` names, or the usual one.
pub fn load(named: Option<&Path>) -> Result<Config, Trouble> {
    config::find(named)
        .and_then(|file| config::load(&file))
        .map_err(|error| Trouble::Usage(error.to_string()))
}

/// The state of this installation.
pub fn open_store(config: &Config) -> Result<Store, Trouble> {
    std::fs::create_dir_all(&config.state_dir)
        .map_err(|error| Trouble::Usage(format!("state_dir {}: {error}", config.state_dir.display())))?;
    Ok(Store::open(&config.state_dir.join("docent.db"))?)
}

/// The logs and artifacts of this installation.
pub fn open_files(config: &Config) -> Result<Files, Trouble> {
    Ok(Files::open(&config.state_dir)?)
}

/// Holds the state for one daemon, until it is dropped or the process dies.
pub fn lock(state_dir: &Path) -> Result<Flock<File>, Trouble> {
    std::fs::create_dir_all(state_dir)
        .map_err(|error| Trouble::Usage(format!("state_dir {}: {error}", state_dir.display())))?;
    let place = state_dir.join("lock");
    let file = File::options().create(true).append(true).open(&place)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| Trouble::Usage(format!("{} is held: another docent serves this state", place.display())))
}

/// Recipes that this installation can use. All that the configuration names must be among them.
pub fn load_shelf(config: &Config, state_dir: &Path) -> Result<Shelf, Trouble> {
    let shelf = Shelf::load(&config.recipe_path, &state_dir.join("recipes"), &config.recipe_settings);
    let shelf = shelf.map_err(|error| match error {
        RecipeError::Mistakes(_) => Trouble::Usage(error.to_string()),
        RecipeError::Io { .. } => error.into(),
    })?;
    let unknown = config.unknown_recipes(shelf.recipes.keys().map(String::as_str));
    if unknown.is_empty() { Ok(shelf) } else { Err(Trouble::Usage(lines(&unknown))) }
}

/// Where credentials are.
pub fn secrets(config: &Config) -> Secrets {
    let systemd = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Secrets::new(systemd, config.credentials_dir.clone())
}

/// The executor that the configuration asks for. `auto` takes a container engine if one answers.
pub async fn executor(
    kind: ExecutorKind,
    socket: Option<&str>,
    index_hosts: &[IndexHost],
    state_dir: &Path,
    instance: &str,
    shelf: &Shelf,
) -> Result<AnyExecutor, ExecutorError> {
    let images: Vec<String> = shelf.recipes.values().map(|recipe| recipe.image.clone()).collect();
    let container = || async {
        let mut settings = container::Settings::new(instance);
        settings.host = socket.map(str::to_owned);
        settings.gate.hosts = index_hosts.to_vec();
        settings.images.clone_from(&images);
        Container::connect(settings).await.map(AnyExecutor::Container)
    };
    let sandbox = || {
        let mut settings = sandbox::Settings::new(instance, state_dir);
        settings.gate.hosts = index_hosts.to_vec();
        settings.images.clone_from(&images);
        Sandbox::connect(settings).map(AnyExecutor::Sandbox)
    };
    match kind {
        ExecutorKind::Container => container().await,
        ExecutorKind::Sandbox => sandbox(),
        ExecutorKind::Auto => match container().await {
            Ok(executor) => Ok(executor),
            Err(no_engine) => sandbox().map_err(|no_sandbox| {
                ExecutorError::Unreachable(format!(
                    "no container engine ({no_engine}) and no sandbox ({no_sandbox})"
                ))
            }),
        },
    }
}

/// Whether `image` is there for this executor.
pub async fn has_image(executor: &AnyExecutor, image: &str) -> Result<bool, ExecutorError> {
    match executor {
        AnyExecutor::Container(container) => container.image_exists(image).await,
        AnyExecutor::Sandbox(sandbox) => Ok(sandbox.image_exists(image)),
        AnyExecutor::Scripted(_) => Ok(true),
    }
}

/// Makes the image of a recipe for this executor, saying what it is doing.
pub async fn build_image(
    executor: &AnyExecutor,
    build: &Build,
    state_dir: &Path,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), ExecutorError> {
    let description = crate::executor::rootfs::Description {
        image: build.image.clone(),
        packages: build.packages.clone(),
        python: build.python.clone(),
        containerfile: build.containerfile.clone(),
    };
    match executor {
        AnyExecutor::Container(container) => {
            container::image::build(container, &description, state_dir, say).await
        }
        AnyExecutor::Sandbox(_) => {
            let access = crate::executor::Access::of_this_process();
            tokio::task::block_in_place(|| {
                crate::executor::rootfs::make(&description, state_dir, &access, &mut |line| say(line))
                    .map(drop)
            })
        }
        AnyExecutor::Scripted(_) => Ok(()),
    }
}

/// What a probe found, in lines for people: what, and how it is.
pub fn probe_lines(probe: &Probe) -> Vec<(String, String)> {
    let limits = probe.limits.iter().map(|(limit, binding)| match binding {
        Binding::Bound { by } => (limit.clone(), format!("binds: {by}")),
        Binding::Unbound { why } => (limit.clone(), format!("does not bind: {why}")),
    });
    std::iter::once(("engine".to_owned(), probe.engine.clone())).chain(limits).collect()
}

/// The settings of a driver with this credential.
pub fn forge_settings(forge: &ForgeConfig, secret: Option<SecretString>, is_watch: bool) -> Settings {
    let credential = match (secret, &forge.app) {
        (None, _) => GitHubCredential::Anonymous,
        (Some(key), Some((app, installation))) if is_watch || looks_like_a_key(&key) => {
            GitHubCredential::App { app: app.to_string(), installation: *installation, key }
        }
        (Some(token), _) => GitHubCredential::Token(token),
    };
    Settings {
        name: forge.name.clone(),
        kind: match forge.kind {
            config::ForgeKind::GitHub => ForgeKind::GitHub,
            config::ForgeKind::Gitea => ForgeKind::Gitea,
        },
        url: forge.url.clone(),
        credential,
        own_account: forge.own_account,
        bounds: Bounds::default(),
    }
}

fn looks_like_a_key(secret: &SecretString) -> bool {
    secret.expose_secret().starts_with("-----BEGIN ")
}

/// The watch driver of a forge.
pub fn watcher(forge: &ForgeConfig, secrets: &Secrets) -> Result<AnyForge, Trouble> {
    let secret = forge.watch_credential.as_deref().map(|name| secrets.read(name)).transpose();
    let secret = secret.map_err(|error| Trouble::Usage(format!("forge {:?}: {error}", forge.name)))?;
    AnyForge::new(&forge_settings(forge, secret, true)).map_err(|error| Trouble::Usage(error.to_string()))
}

/// The report client of a forge, if it has a report credential.
pub fn reporter(forge: &ForgeConfig, secrets: &Secrets) -> Result<Option<AnyReporter>, Trouble> {
    let Some(name) = &forge.report_credential else { return Ok(None) };
    let secret =
        secrets.read(name).map_err(|error| Trouble::Usage(format!("forge {:?}: {error}", forge.name)))?;
    let settings = forge_settings(forge, Some(secret), false);
    AnyReporter::new(&settings).map(Some).map_err(|error| Trouble::Usage(error.to_string()))
}

/// Where the curated specs of a repository go, with the credential for it, if they go anywhere.
pub fn registry(repository: &RepositoryConfig, secrets: &Secrets) -> Result<Option<Registry>, Trouble> {
    let Some(publish) = &repository.publish else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| {
        Trouble::Usage(format!("repository {:?}: publish: {error}", repository.name))
    };
    let secret = secrets.read(&publish.credential).map_err(|error| wrong(&error))?;
    let access = Access {
        credential: Some(Credential::read(&secret)),
        plain_http: publish.insecure_http,
        ..Access::default()
    };
    let place = Place { registry: publish.registry.clone(), repository: publish.project.clone() };
    Registry::new(place, &access).map(Some).map_err(|error| wrong(&error))
}

/// What the report credential of a forge can do, found out as it is for a watch credential: by asking alone. None without one.
pub async fn prove_reporter(
    forge: &ForgeConfig,
    secrets: &Secrets,
) -> Result<Option<Result<Proof, ForgeError>>, Trouble> {
    let Some(name) = &forge.report_credential else { return Ok(None) };
    let secret =
        secrets.read(name).map_err(|error| Trouble::Usage(format!("forge {:?}: {error}", forge.name)))?;
    let driver = AnyForge::new(&forge_settings(forge, Some(secret), false));
    let driver = driver.map_err(|error| Trouble::Usage(error.to_string()))?;
    Ok(Some(driver.prove(&[]).await))
}

/// How the rights of a report credential are told, and whether it should have fewer.
pub fn reporting_rights(proof: &Proof) -> (bool, String) {
    match proof {
        Proof::CanWrite { rights, evidence } => {
            let beyond = beyond_reporting(rights);
            if beyond.is_empty() {
                return (false, format!("can write ({}), as reporting must: {evidence}", rights.join(", ")));
            }
            (
                true,
                format!(
                    "can do more than report ({}): give it a narrower one; {evidence}",
                    beyond.join(", ")
                ),
            )
        }
        Proof::ReadOnly { evidence } => (true, format!("cannot write, so it cannot report: {evidence}")),
        Proof::Unproven { why } => (false, format!("what it can do is unproven: {why}")),
    }
}

/// What an operator should know of a report credential that may not say whose it is.
pub fn unknown_account(forge: &str) -> String {
    format!(
        "the report credential of {forge} may not say whose it is: set own_account to the number of its account, or \
         somebody else's comment that carries docent's marker could be taken for docent's own and edited"
    )
}

/// All parts of a daemon.
pub async fn parts(
    config: &Config,
    store: Store,
    shelf: Shelf,
    executor: Awaited<AnyExecutor>,
    instance: &str,
) -> Result<AnyParts, Trouble> {
    let secrets = secrets(config);
    let mut forges = BTreeMap::new();
    let mut reporters = BTreeMap::new();
    let mut own_accounts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for forge in &config.forges {
        let own = own_accounts.entry(forge.name.clone()).or_default();
        own.extend(forge.own_account);
        if let Some(reporter) = reporter(forge, &secrets)? {
            match reporter.account().await {
                Ok(actor) => own.push(actor.number),
                Err(error) => tracing::debug!(%error, "the report credential may not say whose it is"),
            }
            reporters.insert(forge.name.clone(), reporter);
        }
        let driver = watcher(forge, &secrets)?;
        let watched = Watched {
            poll_interval: forge.poll_interval.to_std().unwrap_or(Duration::from_secs(30)),
            repositories: repositories(config, driver.name(), forge.report_credential.is_some()),
            allowed_rights: forge.allow_write_credential.clone(),
            forge: driver,
        };
        forges.insert(forge.name.clone(), watched);
    }
    let mut registries = Registries::new();
    for repository in &config.repositories {
        if let Some(registry) = registry(repository, &secrets)? {
            registries.insert((repository.forge.clone(), repository.name.clone()), registry);
        }
    }
    Ok(Parts {
        files: open_files(config)?,
        state_dir: config.state_dir.clone(),
        retention: config.retention,
        clock: Clock::system(),
        policy: policy(config, &shelf, own_accounts, instance),
        store,
        shelf,
        forges,
        reporters,
        registries,
        executor,
        git: Git::default(),
    })
}

/// What the operator decided, before the forges say which repositories they mean.
pub fn policy(
    config: &Config,
    shelf: &Shelf,
    own_accounts: BTreeMap<String, Vec<u64>>,
    instance: &str,
) -> Policy {
    Policy {
        repositories: BTreeMap::new(),
        recipes: shelf.recipes.clone(),
        own_accounts,
        marker: format!("docent-{instance}"),
        grammar: config.grammar.clone(),
        slots: config.slots,
        queue_limit: config.queue_limit,
        environments: config.environments,
        environment_bytes: config.environment_bytes,
        bundle_bytes: config.bundle_bytes,
        specs: config.specs.clone(),
        baseline_tests: config.baseline_tests,
        offer_lifetime: config.offer_lifetime,
        report_interval: config.report_interval,
        public_url: config.public_url.clone(),
    }
}

fn repositories(config: &Config, forge: &str, has_reports: bool) -> BTreeMap<String, RepositoryPolicy> {
    let of_forge = config.repositories.iter().filter(|repository| repository.forge == forge);
    of_forge
        .map(|repository| {
            let policy = RepositoryPolicy {
                name: repository.name.clone(),
                recipe: repository.recipe.clone(),
                allow: repository.allow.clone(),
                branches: repository.branches.clone(),
                paths: repository.paths.clone(),
                extra: repository.extra,
                has_reports,
                publish: repository.publish.as_ref().map(|publish| PublishPolicy {
                    to: publish.to(),
                    branches: publish.branches.clone(),
                    aliases: publish.aliases.clone(),
                }),
            };
            (repository.name.clone(), policy)
        })
        .collect()
}

/// What probing the executor gave, or why it could not be probed.
pub async fn probe(executor: &AnyExecutor) -> Vec<(String, String)> {
    match executor.probe().await {
        Ok(probe) => probe_lines(&probe),
        Err(error) => vec![("engine".to_owned(), format!("could not be probed: {error}"))],
    }
}

/// 32 random hexadecimal digits.
pub fn random_id() -> String {
    let bytes: [u8; 16] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
