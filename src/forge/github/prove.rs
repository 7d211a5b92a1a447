//! What can the credential do? GitHub says so exactly for Apps and classic tokens; for a fine-grained token no route lists
//! its permissions, so that only its account's rights can be looked at, and the answer stays «unproven».

use secrecy::ExposeSecret;

use super::mint::Rights;
use super::{GitHub, Kind, split};
use crate::core::pull::Repository;
use crate::forge::{Forge, ForgeError, Proof};

/// Establishes what the credential of `github` can do.
pub async fn prove(github: &GitHub, repositories: &[Repository]) -> Result<Proof, ForgeError> {
    github.access.token().await?;
    match &github.access.kind {
        Kind::Anonymous => Ok(Proof::ReadOnly { evidence: "no credential is used at all".to_owned() }),
        Kind::App(mint) => {
            let minted = mint.rights().await?;
            let app = mint.app().await?;
            Ok(judge_app(&minted, &app.slug, &app.permissions))
        }
        Kind::Token(token) if token.expose_secret().trim().starts_with("github_pat_") => {
            fine_grained(github, repositories).await
        }
        Kind::Token(_) => classic(github).await,
    }
}

fn list(rights: &Rights) -> String {
    rights.iter().map(|(name, level)| format!("{name}: {level}")).collect::<Vec<_>>().join(", ")
}

fn judge_app(minted: &Rights, slug: &str, app: &Rights) -> Proof {
    let beyond = |rights: &Rights, whose: &str| -> Vec<String> {
        let writes = rights.iter().filter(|(_, level)| *level != "read");
        writes.map(|(name, level)| format!("{name}: {level} ({whose})")).collect()
    };
    let mut rights = beyond(minted, "token");
    rights.extend(beyond(app, "App"));
    let evidence = format!(
        "the minted token: {}; the App {slug}, which the private key can act as: {}",
        list(minted),
        list(app)
    );
    if !rights.is_empty() {
        Proof::CanWrite { rights, evidence }
    } else if minted.is_empty() || app.is_empty() {
        Proof::Unproven { why: format!("GitHub named no permissions ({evidence})") }
    } else {
        Proof::ReadOnly { evidence }
    }
}

async fn classic(github: &GitHub) -> Result<Proof, ForgeError> {
    let answer = github.watcher.get(&["rate_limit"], &[]).await?;
    let Some(scopes) = answer.headers.get("x-oauth-scopes") else {
        let why = "the answer names no scopes (X-OAuth-Scopes), as it does for every classic token; use a GitHub App, whose \
                   rights GitHub states exactly";
        return Ok(Proof::Unproven { why: why.to_owned() });
    };
    let text = String::from_utf8_lossy(scopes.as_bytes()).into_owned();
    Ok(judge_scopes(&text))
}

fn judge_scopes(text: &str) -> Proof {
    let scopes: Vec<&str> = text.split(',').map(str::trim).filter(|scope| !scope.is_empty()).collect();
    let evidence = format!("X-OAuth-Scopes: «{text}»");
    let rights: Vec<String> =
        scopes.iter().filter(|scope| !scope.starts_with("read:")).map(|scope| (*scope).to_owned()).collect();
    if rights.is_empty() { Proof::ReadOnly { evidence } } else { Proof::CanWrite { rights, evidence } }
}

async fn fine_grained(github: &GitHub, repositories: &[Repository]) -> Result<Proof, ForgeError> {
    let mut writable = Vec::new();
    for repository in repositories.iter().take(100) {
        split(&github.name, &repository.name)?;
        if github.repository(&repository.name).await?.is_writable {
            writable.push(repository.name.as_str());
        }
    }
    let account = if repositories.is_empty() {
        "what its account may write to was not asked".to_owned()
    } else if writable.is_empty() {
        "its account may not push to any watched repository, though it could comment".to_owned()
    } else {
        format!("its account may write to {}", writable.join(", "))
    };
    Ok(Proof::Unproven {
        why: format!(
            "GitHub has no route that lists the permissions of a fine-grained token; {account}. A GitHub App would prove it"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(text: &str) -> Rights {
        text.split(',')
            .filter_map(|pair| pair.split_once(':'))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }

    #[test]
    fn classic_scopes() {
        for (text, is_read_only) in [
            ("", true),
            ("read:org, read:user", true),
            ("repo", false),
            ("public_repo", false),
            ("read:org, write:discussion", false),
            ("gist", false),
            ("notifications", false),
        ] {
            assert_eq!(matches!(judge_scopes(text), Proof::ReadOnly { .. }), is_read_only, "{text}");
        }
    }

    #[test]
    fn an_app_is_judged_by_its_key_too() {
        let read = rights("metadata:read,contents:read");
        assert!(matches!(judge_app(&read, "d", &read), Proof::ReadOnly { .. }));
        let Proof::CanWrite { rights: held, .. } = judge_app(&read, "d", &rights("issues:write")) else {
            panic!()
        };
        assert_eq!(held, ["issues: write (App)"]);
        assert!(matches!(judge_app(&rights("contents:admin"), "d", &read), Proof::CanWrite { .. }));
        assert!(matches!(judge_app(&rights(""), "d", &read), Proof::Unproven { .. }));
    }
}
