//! `docent doctor`: what the credentials can do, and what this machine has.

use std::path::Path;
use std::process::ExitCode;

use super::Trouble;
use super::assemble;
use crate::config::{Config, ForgeConfig, RepositoryConfig};
use crate::core::pull::Repository;
use crate::forge::any::probe_writes;
use crate::forge::{Forge, ForgeErrorKind, Proof, Reporter};
use crate::git::Git;
use crate::secrets::Secrets;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Also ask for writes that cannot succeed, aimed at a repository that does not exist: the one thing docent sends that is no GET.
    #[arg(long)]
    probe_writes: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Good,
    Note,
    Bad,
    Refused,
}

#[derive(Debug, serde::Serialize)]
struct Finding {
    health: Health,
    what: String,
    how: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, health: Health, what: impl Into<String>, how: impl Into<String>) {
        self.0.push(Finding { health, what: what.into(), how: how.into() });
    }
}

/// Looks at everything and says how it is. Exit code 0: good; 3: something is bad; 4: a watch credential would be refused.
pub async fn doctor(named: Option<&Path>, arguments: &Doctor) -> Result<ExitCode, Trouble> {
    let config = assemble::load(named)?;
    let mut findings = Findings::default();
    findings.add(Health::Good, "configuration", config.file.display().to_string());
    machine(&config, &mut findings).await;
    for forge in &config.forges {
        look_at(&config, forge, arguments.probe_writes, &mut findings).await;
    }
    for repository in &config.repositories {
        look_at_registry(&config, repository, &mut findings).await;
    }
    let worst = findings.0.iter().map(|finding| finding.health).max().unwrap_or(Health::Good);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&findings.0)?);
    } else {
        for Finding { health, what, how } in &findings.0 {
            let sign = match health {
                Health::Good => "✔ good",
                Health::Note => "• note",
                Health::Bad => "✘ bad ",
                Health::Refused => "✘ NO  ",
            };
            println!("{sign}  {what}: {how}");
        }
    }
    Ok(match worst {
        Health::Good | Health::Note => ExitCode::SUCCESS,
        Health::Bad => ExitCode::from(3),
        Health::Refused => ExitCode::from(4),
    })
}

async fn machine(config: &Config, findings: &mut Findings) {
    match Git::default().version().await {
        Ok(version) => findings.add(Health::Good, "git", version.to_string()),
        Err(error) => findings.add(Health::Bad, "git", error.to_string()),
    }
    match std::fs::create_dir_all(&config.state_dir).and_then(|()| tempfile::tempfile_in(&config.state_dir)) {
        Ok(_) => {
            findings.add(Health::Good, "state_dir", format!("{} can be written", config.state_dir.display()))
        }
        Err(error) => {
            findings.add(Health::Bad, "state_dir", format!("{}: {error}", config.state_dir.display()))
        }
    }
    disk(config, findings);
    let shelf = match assemble::load_shelf(config, &config.state_dir) {
        Ok(shelf) => shelf,
        Err(error) => return findings.add(Health::Bad, "recipes", error.to_string()),
    };
    let socket = config.socket.as_deref();
    match assemble::executor(
        config.executor,
        socket,
        &config.index_hosts,
        &config.state_dir,
        "doctor",
        &shelf,
    )
    .await
    {
        Err(error) => findings.add(Health::Bad, "executor", error.to_string()),
        Ok(executor) => {
            for (what, how) in assemble::probe(&executor).await {
                let is_loose = how.starts_with("does not bind") || how.starts_with("could not");
                findings.add(
                    if is_loose { Health::Note } else { Health::Good },
                    format!("executor: {what}"),
                    how,
                );
            }
            for recipe in shelf.recipes.values() {
                let what = format!("image {}", recipe.image);
                match assemble::has_image(&executor, &recipe.image).await {
                    Ok(true) => findings.add(Health::Good, what, "is there"),
                    Ok(false) => {
                        findings.add(
                            Health::Note,
                            what,
                            format!("missing: docent recipe build {}", recipe.name),
                        );
                    }
                    Err(error) => findings.add(Health::Bad, what, error.to_string()),
                }
            }
        }
    }
}

fn disk(config: &Config, findings: &mut Findings) {
    match nix::sys::statvfs::statvfs(&config.state_dir) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let health = if free < 5 << 30 { Health::Note } else { Health::Good };
            findings.add(health, "disk", format!("{} GiB free for the state", free >> 30));
        }
        Err(error) => findings.add(Health::Bad, "disk", error.to_string()),
    }
}

async fn look_at(config: &Config, forge: &ForgeConfig, probe: bool, findings: &mut Findings) {
    let what = format!("forge {}", forge.name);
    let secrets = assemble::secrets(config);
    let driver = match assemble::watcher(forge, &secrets) {
        Ok(driver) => driver,
        Err(error) => return findings.add(Health::Bad, what, error.to_string()),
    };
    let mut repositories: Vec<Repository> = Vec::new();
    for repository in config.repositories.iter().filter(|repository| repository.forge == forge.name) {
        let what = format!("{what}: {}", repository.name);
        match driver.repository(&repository.name).await {
            Ok(found) => {
                let renamed = !found.name.eq_ignore_ascii_case(&repository.name);
                let how = if renamed {
                    format!("renamed to {}: update the configuration", found.name)
                } else {
                    "can be read".to_owned()
                };
                findings.add(if renamed { Health::Note } else { Health::Good }, what, how);
                repositories.push(found);
            }
            Err(error) => findings.add(Health::Bad, what, error.to_string()),
        }
    }
    let what = format!("{what}: watch credential");
    match driver.prove(&repositories).await {
        Ok(Proof::ReadOnly { evidence }) => {
            findings.add(Health::Good, what, format!("proven read-only: {evidence}"))
        }
        Ok(Proof::Unproven { why }) => findings.add(Health::Note, what, format!("unproven: {why}")),
        Ok(Proof::CanWrite { rights, evidence }) => {
            let is_allowed = rights.iter().all(|right| forge.allow_write_credential.contains(right));
            let health = if is_allowed { Health::Note } else { Health::Refused };
            findings.add(health, what, format!("can write ({}): {evidence}", rights.join(", ")));
        }
        Err(error) => findings.add(Health::Bad, what, error.to_string()),
    }
    if probe {
        probed(config, forge, findings).await;
    }
    match assemble::reporter(forge, &secrets) {
        Ok(Some(reporter)) => {
            let (health, how) = match (reporter.account().await, forge.own_account) {
                (Ok(actor), Some(own)) if actor.number != own => {
                    let how = format!("account {} ({}), not own_account = {own}", actor.login, actor.number);
                    (Health::Bad, how)
                }
                (Ok(actor), _) => (Health::Good, format!("account {} ({})", actor.login, actor.number)),
                (Err(error), _) if error.kind == ForgeErrorKind::Unauthorised => {
                    (Health::Bad, error.to_string())
                }
                (Err(_), Some(own)) => (Health::Good, format!("account {own}, as own_account says")),
                (Err(error), None) => {
                    (Health::Note, format!("{} ({error})", assemble::unknown_account(&forge.name)))
                }
            };
            findings.add(health, format!("forge {}: report credential", forge.name), how);
            if health != Health::Bad {
                look_at_report_rights(forge, &secrets, findings).await;
            }
        }
        Ok(None) => {
            let how = "none: results are on the pages only";
            findings.add(Health::Note, format!("forge {}: report credential", forge.name), how);
        }
        Err(error) => {
            findings.add(Health::Bad, format!("forge {}: report credential", forge.name), error.to_string());
        }
    }
}

async fn look_at_report_rights(forge: &ForgeConfig, secrets: &Secrets, findings: &mut Findings) {
    let what = format!("forge {}: rights of the report credential", forge.name);
    match assemble::prove_reporter(forge, secrets).await {
        Ok(Some(Ok(proof))) => {
            let (is_odd, how) = assemble::reporting_rights(&proof);
            findings.add(if is_odd { Health::Note } else { Health::Good }, what, how);
        }
        Ok(Some(Err(error))) => findings.add(Health::Note, what, error.to_string()),
        Ok(None) => {}
        Err(error) => findings.add(Health::Bad, what, error.to_string()),
    }
}

/// Whether the registry of a repository answers to the publish credential. Nothing is written, so that it may write is not
/// proven.
async fn look_at_registry(config: &Config, repository: &RepositoryConfig, findings: &mut Findings) {
    let Some(publish) = &repository.publish else { return };
    let what = format!("repository {}: publish credential", repository.name);
    let registry = match assemble::registry(repository, &assemble::secrets(config)) {
        Ok(registry) => registry,
        Err(error) => return findings.add(Health::Bad, what, error.to_string()),
    };
    let Some(registry) = registry else { return };
    match registry.tags().await {
        Ok(tags) => {
            let how = format!(
                "{} lets it read ({} tags); that it may write shows with the first image",
                publish.to(),
                tags.len()
            );
            findings.add(Health::Good, what, how);
        }
        Err(error) => findings.add(Health::Bad, what, error.to_string()),
    }
}

async fn probed(config: &Config, forge: &ForgeConfig, findings: &mut Findings) {
    let what = format!("forge {}: write probe", forge.name);
    let secret = forge.watch_credential.as_deref().and_then(|name| assemble::secrets(config).read(name).ok());
    match probe_writes(&assemble::forge_settings(forge, secret, true)).await {
        Ok(Some(rights)) => {
            for right in rights {
                let (health, how) = match right.is_held {
                    Some(true) => (Health::Refused, "held"),
                    Some(false) => (Health::Good, "not held"),
                    None => (Health::Note, "unclear"),
                };
                findings.add(
                    health,
                    format!("{what}: {}", right.right),
                    format!("{how}: {}", right.evidence),
                );
            }
        }
        Ok(None) => findings.add(
            Health::Note,
            what,
            "not run: this forge has no write that cannot succeed and still tells",
        ),
        Err(error) => findings.add(Health::Bad, what, error.to_string()),
    }
}
