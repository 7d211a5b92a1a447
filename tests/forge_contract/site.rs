//! The forges that the cases run against, as one type.

use std::ops::Deref;
use std::sync::Arc;

use docent::demo::forge::EmbeddedForge;
use docent::forge::any::{AnyForge, AnyReporter, ForgeKind, Settings};
use docent::forge::github::GitHubCredential;
use docent::forge::http::Bounds;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::support::api::{Account, Api};
use crate::support::gitea::Gitea;

/// A forge to run a case against.
pub struct Site {
    place: Place,
    pub kind: ForgeKind,
}

enum Place {
    Embedded { api: Api, forge: EmbeddedForge, _directory: tempfile::TempDir },
    Gitea(Arc<Gitea>),
    Live(Api),
}

impl Deref for Site {
    type Target = Api;

    fn deref(&self) -> &Api {
        match &self.place {
            Place::Embedded { api, .. } | Place::Live(api) => api,
            Place::Gitea(gitea) => gitea,
        }
    }
}

impl Site {
    /// An embedded forge of its own, as slow after a push as the real one is.
    pub async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let forge = EmbeddedForge::start(directory.path(), 0).await.unwrap();
        forge.delay_pushes(std::time::Duration::from_millis(500));
        let id = forge.admin("keeper");
        let admin = Account {
            id,
            login: "keeper".into(),
            password: forge.password("keeper"),
            token: forge.token("keeper", &["all"]),
        };
        let api = Api::new(forge.url().to_owned(), admin);
        Self { place: Place::Embedded { api, forge, _directory: directory }, kind: ForgeKind::Gitea }
    }

    /// The one real Gitea of this program, or none, said as «not run».
    pub async fn gitea() -> Option<Self> {
        static GITEA: OnceCell<Option<Arc<Gitea>>> = OnceCell::const_new();
        let gitea = GITEA.get_or_init(|| async { Gitea::start().await.map(Arc::new) }).await.clone();
        if gitea.is_none() {
            println!("not run: no Gitea");
        }
        Some(Self { place: Place::Gitea(gitea?), kind: ForgeKind::Gitea })
    }

    /// The forge that the environment names, or none, said as «not run».
    pub async fn live() -> Option<Self> {
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(kind), Some(url), Some(token)) =
            (named("DOCENT_LIVE_KIND"), named("DOCENT_LIVE_URL"), named("DOCENT_LIVE_TOKEN"))
        else {
            println!("not run: DOCENT_LIVE_KIND, DOCENT_LIVE_URL and DOCENT_LIVE_TOKEN name no forge");
            return None;
        };
        let url = url.trim_end_matches('/').to_owned();
        let (kind, base) = match kind.as_str() {
            "github" if url == "https://github.com" => {
                (ForgeKind::GitHub, "https://api.github.com".to_owned())
            }
            "github" => (ForgeKind::GitHub, format!("{url}/api/v3")),
            "gitea" => (ForgeKind::Gitea, format!("{url}/api/v1")),
            "forgejo" => (ForgeKind::Forgejo, format!("{url}/api/v1")),
            other => panic!("DOCENT_LIVE_KIND is {other:?} and must be github, gitea or forgejo"),
        };
        let nobody = Account { id: 0, login: String::new(), password: String::new(), token };
        let asking = Api::with_base(url.clone(), base.clone(), nobody.clone());
        let who = asking.call(&nobody, reqwest::Method::GET, "/user", None).await;
        let account = Account {
            id: who["id"].as_u64().unwrap(),
            login: who["login"].as_str().unwrap().into(),
            ..nobody
        };
        Some(Self { place: Place::Live(Api::with_base(url, base, account)), kind })
    }

    /// Somebody new; on a forge of the world, the one account that there is.
    pub async fn person(&self, login: &str) -> Account {
        let login = format!("{login}{}", self.mark());
        match &self.place {
            Place::Embedded { forge, .. } => {
                let id = forge.account(&login);
                let token = forge.token(&login, &["all"]);
                Account { id, password: forge.password(&login), token, login }
            }
            Place::Gitea(gitea) => gitea.user(&login).await,
            Place::Live(api) => api.admin.clone(),
        }
    }

    /// A token of an account that may do only this; on a forge of the world, the one token that there is.
    pub async fn narrow(&self, account: &Account, scopes: &[&str]) -> String {
        match &self.place {
            Place::Live(api) => api.admin.token.clone(),
            _ => self.token(account, scopes).await,
        }
    }

    /// Whether pushing to `refs/for/…` opens a pull request.
    pub fn takes_pushes_for_review(&self) -> bool {
        matches!(self.place, Place::Gitea(_))
    }

    /// Whether what is made there has to be removed again by hand.
    pub fn is_live(&self) -> bool {
        matches!(self.place, Place::Live(_))
    }

    /// Makes a team of an organisation. The organisation's owner makes it.
    pub async fn team(&self, owner: &Account, organisation: &str, name: &str, members: &[&Account]) {
        let about = json!({ "name": name, "permission": "read", "units": ["repo.code"] });
        let path = format!("/orgs/{organisation}/teams");
        let team = self.call(owner, reqwest::Method::POST, &path, Some(about)).await;
        for member in members {
            let path = format!("/teams/{}/members/{}", team["id"], member.login);
            self.call(owner, reqwest::Method::PUT, &path, None).await;
        }
    }

    fn settings(&self, token: &str) -> Settings {
        Settings {
            name: "forge".to_owned(),
            kind: self.kind,
            url: match self.kind {
                ForgeKind::GitHub if self.base != "https://api.github.com" => self.base.parse().unwrap(),
                _ => self.url.parse().unwrap(),
            },
            credential: GitHubCredential::Token(token.to_owned().into()),
            own_account: None,
            bounds: Bounds::default(),
        }
    }

    /// docent's watch driver with this token.
    pub fn watcher(&self, token: &str) -> AnyForge {
        AnyForge::new(&self.settings(token)).unwrap()
    }

    /// docent's report client with this token.
    pub fn reporter(&self, token: &str) -> AnyReporter {
        AnyReporter::new(&self.settings(token)).unwrap()
    }
}
