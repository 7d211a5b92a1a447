//! What can the token do? Established by GET alone.
//!
//! Gitea (1.23 and later) names all scopes of a token when it refuses one that a route needs, so docent asks for a route
//! that no watch token should reach. Forgejo names only what the route needs; there the account's own list of tokens
//! tells, for which the token must be given `read:user`.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;

use super::{Gitea, json};
use crate::core::pull::Repository;
use crate::forge::http::{Authorisation, Credential, Watcher};
use crate::forge::name::split;
use crate::forge::{ForgeError, ForgeErrorKind, Proof};

/// Repositories whose people are looked at.
const SAMPLE: usize = 5;

/// Establishes what the token of `gitea` can do.
pub async fn prove(gitea: &Gitea, repositories: &[Repository]) -> Result<Proof, ForgeError> {
    if gitea.token.is_none() {
        return Ok(Proof::ReadOnly { evidence: "no credential is used at all".to_owned() });
    }
    let answer = gitea.watcher.ask(&["admin", "cron"], &[]).await?;
    let said = answer.message();
    let account = account(&gitea.watcher).await?;
    let is_administrator = answer.status.is_success()
        || account.as_ref().is_some_and(|account| account.is_admin)
        || sees_as_administrator(&gitea.watcher, &gitea.name, repositories).await?;
    if is_administrator {
        return Ok(Proof::CanWrite {
            rights: vec!["administrator".to_owned()],
            evidence: "the forge answers this token as it answers an administrator of the whole site"
                .to_owned(),
        });
    }
    if answer.status.as_u16() != 403 {
        let error = match answer.success() {
            Err(error) => error,
            Ok(_) => return Ok(unproven("the forge gave no answer to decide by")),
        };
        return match error.kind {
            ForgeErrorKind::Unauthorised
            | ForgeErrorKind::Unreachable
            | ForgeErrorKind::Broken
            | ForgeErrorKind::Redirected => Err(error),
            _ => Ok(unproven(&format!("GET /admin/cron was answered with {}", error.detail))),
        };
    }
    if let Some((_, scopes)) = said.split_once("token scope=") {
        let scopes: Vec<String> = words(scopes.split(','));
        return Ok(judge(&scopes, &format!("GET /admin/cron: «{said}»"), repositories));
    }
    let has_admin_scope = said.contains("site admin");
    if let Some(login) = account.and_then(json::User::into_actor).map(|account| account.login)
        && let Some(proof) = from_list(gitea, &login, repositories).await?
    {
        return Ok(proof);
    }
    if has_admin_scope {
        return Ok(Proof::CanWrite {
            rights: vec!["all (or read:admin)".to_owned()],
            evidence: format!("GET /admin/cron was refused for the account and not for the scope: «{said}»"),
        });
    }
    Ok(unproven(
        "this forge does not name the scopes of a token when it refuses one. Give the token `read:user` as well, so \
         that docent can look it up in the account's own list; or let a person run `docent doctor --probe-writes`",
    ))
}

/// The forge tells when an account last signed in to administrators, and to the account itself: who is told that of two
/// accounts is an administrator. So one is found even where the token may not ask whose it is.
async fn sees_as_administrator(
    watcher: &Watcher,
    forge: &str,
    repositories: &[Repository],
) -> Result<bool, ForgeError> {
    let mut disclosed = BTreeSet::new();
    for repository in repositories.iter().take(SAMPLE) {
        let (owner, name) = split(forge, &repository.name)?;
        let path = ["repos", owner, name, "assignees"];
        let answer = match watcher.get(&path, &[]).await {
            Ok(answer) => answer,
            Err(error) if error.is_passing() => return Err(error),
            Err(_) => continue,
        };
        let users = answer.items().unwrap_or_default();
        let users = users.iter().filter_map(|user| answer.item::<json::User>(user).ok());
        disclosed.extend(users.filter_map(|user| user.disclosed()));
        if disclosed.len() > 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unproven(why: &str) -> Proof {
    Proof::Unproven { why: why.to_owned() }
}

/// The account, where the token may ask for it.
async fn account(watcher: &Watcher) -> Result<Option<json::User>, ForgeError> {
    match watcher.get(&["user"], &[]).await {
        Ok(answer) => Ok(answer.json().ok()),
        Err(error) if matches!(error.kind, ForgeErrorKind::Forbidden | ForgeErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds the token in the account's own list by its last eight characters.
async fn from_list(
    gitea: &Gitea,
    login: &str,
    repositories: &[Repository],
) -> Result<Option<Proof>, ForgeError> {
    let Some(token) = &gitea.token else { return Ok(None) };
    let secret = token.expose_secret().trim();
    let last_eight: String = secret.chars().skip(secret.chars().count().saturating_sub(8)).collect();
    let basic = Authorisation::Basic { login: login.to_owned(), secret: token.clone() };
    let as_password = gitea.watcher.with_credential(Credential::new(basic));
    for watcher in [&gitea.watcher, &as_password] {
        let mut scopes: Vec<Vec<String>> = Vec::new();
        let path = ["users", login, "tokens"];
        let read = super::pages::read(watcher, &path, &[], super::pages::LIMIT, |answer, items| {
            let mut fresh = 0;
            for item in items {
                let token: json::Token = answer.item(item)?;
                if token.token_last_eight == last_eight {
                    let held = words(token.scopes.unwrap_or_default().iter().map(String::as_str));
                    if !scopes.contains(&held) {
                        scopes.push(held);
                        fresh += 1;
                    }
                }
            }
            Ok(super::pages::Flow::New(fresh))
        });
        match read.await {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind,
                    ForgeErrorKind::Unauthorised | ForgeErrorKind::Forbidden | ForgeErrorKind::NotFound
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        }
        // Two tokens with the same end can't be told apart: the worse one counts.
        let evidence = format!("the list of tokens of {login}");
        let mut proofs: Vec<Proof> =
            scopes.iter().map(|scopes| judge(scopes, &evidence, repositories)).collect();
        proofs.sort_by_key(|proof| match proof {
            Proof::CanWrite { .. } => 0,
            Proof::Unproven { .. } => 1,
            Proof::ReadOnly { .. } => 2,
        });
        if !proofs.is_empty() {
            return Ok(Some(proofs.swap_remove(0)));
        }
    }
    Ok(None)
}

fn words<'a>(scopes: impl Iterator<Item = &'a str>) -> Vec<String> {
    scopes
        .map(|scope| scope.trim().trim_matches(['[', ']', '"', '.']).to_owned())
        .filter(|s| !s.is_empty())
        .collect()
}

fn judge(scopes: &[String], evidence: &str, repositories: &[Repository]) -> Proof {
    let reads = |scope: &String| scope.starts_with("read:") || scope == "public-only";
    let writes = |scope: &String| {
        scope.starts_with("write:")
            || matches!(scope.as_str(), "all" | "sudo" | "repo" | "admin" | "delete_repo")
    };
    let evidence = format!("{evidence}; scopes: {}", scopes.join(", "));
    let rights: Vec<String> = scopes.iter().filter(|scope| writes(scope)).cloned().collect();
    if !rights.is_empty() {
        return Proof::CanWrite { rights, evidence };
    }
    if scopes.is_empty() || !scopes.iter().all(reads) {
        let why = format!("docent does not know what these scopes allow ({evidence})");
        return Proof::Unproven { why };
    }
    let writable: Vec<&str> =
        repositories.iter().filter(|r| r.is_writable).map(|r| r.name.as_str()).take(5).collect();
    let belt = if repositories.is_empty() {
        "which repositories its account may push to was not asked".to_owned()
    } else if writable.is_empty() {
        "the account itself may not push to any watched repository either".to_owned()
    } else {
        format!(
            "the account itself may push to {}, which this token does not allow; an account that may only read is safer",
            writable.join(", ")
        )
    };
    Proof::ReadOnly { evidence: format!("{evidence}; {belt}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_judged_by_the_worst_of_them() {
        for (text, kind) in [
            ("read:issue,read:repository", "read"),
            ("public-only,read:issue", "read"),
            ("read:issue, write:issue", "write"),
            ("all", "write"),
            ("sudo,read:issue", "write"),
            ("", "unproven"),
            ("read:issue,teleport", "unproven"),
            ("readers:issue", "unproven"),
        ] {
            let proof = judge(&words(text.split(',')), "", &[]);
            let seen = match proof {
                Proof::ReadOnly { .. } => "read",
                Proof::CanWrite { .. } => "write",
                Proof::Unproven { .. } => "unproven",
            };
            assert_eq!(seen, kind, "{text}");
        }
    }
}
