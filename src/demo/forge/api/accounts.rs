//! Accounts, their tokens, organisations and teams, and the administrator's route that gives a token away.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::scope::Scopes;
use super::super::state::{Right, State, Team, Token};
use super::super::{lock, random_secret};
use super::{Answer, Answered, Call, Refusal, no, not_found, shapes};

impl Call<'_> {
    pub(super) fn accounts(&self, path: &[&str]) -> Answered {
        match (self.method, path) {
            ("GET", ["user"]) => {
                let account = self.account()?;
                let state = lock(&self.shared.state);
                Ok(Answer::ok(shapes::user(&state, account, Some(account))))
            }
            ("POST", ["user", "repos"]) => self.create_repository(self.account()?),
            ("GET", ["user", "repos"]) => {
                let account = self.account()?;
                self.repositories_of(account)
            }
            ("GET", ["users", login]) => {
                let state = lock(&self.shared.state);
                // Only this route has the plain form of the refusal.
                let account = self
                    .person(&state, login)
                    .map_err(|_| no(404, format!("user redirect does not exist [name: {login}]")))?;
                Ok(Answer::ok(shapes::user(&state, account, self.who.account)))
            }
            ("GET", ["users", login, "repos"]) => {
                let account = self.person(&lock(&self.shared.state), login)?;
                self.repositories_of(account)
            }
            (_, ["users", login, "tokens", rest @ ..]) => self.tokens(login, rest),
            ("GET", ["admin", "cron"]) => {
                self.site_admin()?;
                let task = json!({"name": "update_mirrors", "schedule": "@every 10m", "next": null, "prev": null, "exec_times": 0});
                Ok(Answer::ok(json!([task])))
            }
            (_, ["admin", ..]) => {
                self.site_admin()?;
                Err(not_found())
            }
            (_, ["notifications", ..]) => {
                self.account()?;
                Err(no(404, "notification does not exist"))
            }
            (_, ["packages", owner, ..]) => {
                self.account()?;
                Err(no(404, format!("user redirect does not exist [name: {owner}]")))
            }
            ("POST", ["orgs"]) => self.create_organisation(),
            (_, ["orgs", name, rest @ ..]) => self.organisation(name, rest),
            (_, ["teams", id, rest @ ..]) => self.team(id, rest),
            _ => Err(Refusal::NoRoute),
        }
    }

    fn site_admin(&self) -> Result<(), Refusal> {
        self.account()?;
        let state = lock(&self.shared.state);
        if self.is_site_admin(&state) { Ok(()) } else { Err(no(403, "user should be the site admin")) }
    }

    fn person(&self, state: &State, login: &str) -> Result<u64, Refusal> {
        state.account_named(login).map(|a| a.id).ok_or_else(|| Refusal::NotFound {
            message: "GetUserByName",
            errors: vec![format!("user redirect does not exist [name: {login}]")],
        })
    }

    fn repositories_of(&self, owner: u64) -> Answered {
        let state = lock(&self.shared.state);
        let all: Vec<_> =
            state.repositories.values().filter(|r| r.owner == owner && self.sees(&state, r)).collect();
        let (total, page) = (all.len(), self.page());
        let cut = page.cut(all).into_iter();
        let items: Vec<Value> = cut.map(|r| shapes::repository(&state, r, self.who.account)).collect();
        Ok(self.with_links(Answer::ok(items.into()), total, page, false))
    }

    /// Only with a password, or with a token in a password's place: a token in the header is not enough, even for its own account.
    fn tokens(&self, login: &str, rest: &[&str]) -> Answered {
        let mut state = lock(&self.shared.state);
        let account = self.person(&state, login)?;
        if self.who.account != Some(account) && !self.is_site_admin(&state) {
            return Err(no(403, "doer should be the site admin or be same as the contextUser"));
        }
        if !self.who.by_basic {
            return Err(no(401, "auth required"));
        }
        match (self.method, rest) {
            ("GET", []) => {
                let own: Vec<&Token> = state.tokens.iter().filter(|t| t.account == account).collect();
                let (total, page) = (own.len(), self.page());
                let cut = page.cut(own).into_iter();
                let items: Vec<Value> = cut.map(|t| token(&state, t, false)).collect();
                Ok(self.with_links(Answer::ok(items.into()), total, page, false))
            }
            ("POST", []) => {
                let name = self.text("name");
                if state.tokens.iter().any(|t| t.account == account && t.name == name) {
                    return Err(no(400, "access token name has been used already"));
                }
                let words: Vec<&str> =
                    self.body["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let scopes = Scopes::parse(words).map_err(|word| {
                    no(
                        400,
                        format!("invalid access token scope provided: invalid access token scope: {word}"),
                    )
                })?;
                if scopes.is_empty() {
                    return Err(no(400, "access token must have a scope"));
                }
                let id = state.add_token(account, name, random_secret(), scopes);
                let made = state.tokens.iter().find(|t| t.id == id);
                let shape = made.map(|t| token(&state, t, true)).unwrap_or_default();
                Ok(Answer::created(shape))
            }
            ("DELETE", [which]) => {
                let before = state.tokens.len();
                state
                    .tokens
                    .retain(|t| t.account != account || (t.name != *which && t.id.to_string() != *which));
                if state.tokens.len() == before { Err(not_found()) } else { Ok(Answer::empty(204)) }
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    /// The one who makes an organisation owns it.
    fn create_organisation(&self) -> Answered {
        let account = self.account()?;
        let name = self.text("username");
        let mut state = lock(&self.shared.state);
        if name.is_empty() || state.account_named(name).is_some() {
            return Err(no(422, format!("user already exists [name: {name}]")));
        }
        let id = state.add_account(name, true, random_secret());
        let owners = state.add_team(id, "Owners", Right::Owner);
        if let Some(team) = state.teams.get_mut(&owners) {
            team.members.insert(account);
        }
        Ok(Answer::created(organisation(&state, id)))
    }

    fn organisation(&self, name: &str, rest: &[&str]) -> Answered {
        let (id, right) = {
            let state = lock(&self.shared.state);
            let found = state.account_named(name).filter(|a| a.is_organisation);
            let id = found.map(|a| a.id).ok_or_else(|| Refusal::NotFound {
                message: "GetOrgByName",
                errors: vec![format!("user redirect does not exist [name: {name}]")],
            })?;
            let teams = state.teams.values().filter(|t| t.organisation == id);
            let own = teams.filter(|t| self.who.account.is_some_and(|a| t.members.contains(&a)));
            let right =
                if self.is_site_admin(&state) { Some(Right::Owner) } else { own.map(|t| t.right).max() };
            (id, right)
        };
        let is_owner = right == Some(Right::Owner);
        match (self.method, rest) {
            ("GET", []) => Ok(Answer::ok(organisation(&lock(&self.shared.state), id))),
            ("GET", ["repos"]) => self.repositories_of(id),
            ("POST", ["repos"]) => {
                self.account()?;
                if !is_owner {
                    return Err(no(403, "Given user is not allowed to create repository in organization."));
                }
                self.create_repository(id)
            }
            ("GET", ["members", login]) => {
                self.account()?;
                let state = lock(&self.shared.state);
                let account = self.person(&state, login)?;
                if right.is_none() {
                    // Who is no member is sent to where only public members are told of; here there are none.
                    let to = format!("/api/v1/orgs/{name}/public_members/{login}");
                    return Ok(Answer::empty(303).header("location", to));
                }
                if members(&state, id).contains(&account) { Ok(Answer::empty(204)) } else { Err(not_found()) }
            }
            ("GET", ["public_members", _]) => Err(not_found()),
            ("GET", ["members"]) => {
                let state = lock(&self.shared.state);
                let shown = if right.is_some() { members(&state, id) } else { BTreeSet::new() };
                self.people(&state, &shown)
            }
            ("GET", ["teams"] | ["teams", "search"]) => {
                self.account()?;
                if right.is_none() {
                    return Err(no(403, "Must be an organization member"));
                }
                let state = lock(&self.shared.state);
                let words = self.asked("q").to_lowercase();
                let searches = rest.len() == 2;
                // The search finds only teams of which the one who asks is a member himself, also for the owner.
                let sees_all = !searches || self.is_site_admin(&state);
                let of_it = state.teams.values().filter(|t| t.organisation == id);
                let of_it =
                    of_it.filter(|t| sees_all || self.who.account.is_some_and(|a| t.members.contains(&a)));
                let named = of_it.filter(|t| t.name.to_lowercase().contains(&words));
                let items: Vec<Value> = named.map(team).collect();
                let total = items.len();
                let body = if searches { json!({"ok": true, "data": items}) } else { items.into() };
                Ok(self.with_links(Answer::ok(body), total, self.page(), false))
            }
            ("POST", ["teams"]) => {
                self.account()?;
                if !is_owner {
                    return Err(no(403, "Must be an organization owner"));
                }
                let right = Right::from_word(self.text("permission")).unwrap_or(Right::Read);
                let mut state = lock(&self.shared.state);
                let made = state.add_team(id, self.text("name"), right);
                Ok(Answer::created(state.teams.get(&made).map(team).unwrap_or_default()))
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    /// Shown to members of the team and to owners only.
    fn team(&self, id: &str, rest: &[&str]) -> Answered {
        let account = self.account()?;
        let mut state = lock(&self.shared.state);
        let found = id.parse().ok().and_then(|id: u64| state.teams.get(&id)).cloned();
        let found = found.ok_or_else(not_found)?;
        let of_it: Vec<&Team> =
            state.teams.values().filter(|t| t.organisation == found.organisation).collect();
        let is_admin = self.is_site_admin(&state);
        if !is_admin && !of_it.iter().any(|t| t.members.contains(&account)) {
            return Err(not_found());
        }
        let is_owner =
            is_admin || of_it.iter().any(|t| t.right == Right::Owner && t.members.contains(&account));
        if !is_owner && !found.members.contains(&account) {
            return Err(no(403, "Must be a team member"));
        }
        match (self.method, rest) {
            ("GET", []) => Ok(Answer::ok(team(&found))),
            ("GET", ["members"]) => self.people(&state, &found.members),
            ("GET", ["members", login]) => {
                let person = self.person(&state, login)?;
                if !found.members.contains(&person) {
                    return Err(not_found());
                }
                Ok(Answer::ok(shapes::user(&state, person, self.who.account)))
            }
            ("PUT" | "DELETE", ["members", login]) => {
                if !is_owner {
                    return Err(no(403, "Must be an organization owner"));
                }
                let person = self.person(&state, login)?;
                if let Some(team) = state.teams.get_mut(&found.id) {
                    match self.method {
                        "PUT" => team.members.insert(person),
                        _ => team.members.remove(&person),
                    };
                }
                Ok(Answer::empty(204))
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    fn people(&self, state: &State, accounts: &BTreeSet<u64>) -> Answered {
        let (total, page) = (accounts.len(), self.page());
        let cut = page.cut(accounts.iter().copied().collect()).into_iter();
        let items: Vec<Value> = cut.map(|a| shapes::user(state, a, self.who.account)).collect();
        Ok(self.with_links(Answer::ok(items.into()), total, page, false))
    }
}

fn members(state: &State, organisation: u64) -> BTreeSet<u64> {
    state.teams.values().filter(|t| t.organisation == organisation).flat_map(|t| t.members.clone()).collect()
}

fn organisation(state: &State, id: u64) -> Value {
    let name = state.login(id);
    json!({
        "id": id,
        "name": name,
        "full_name": "",
        "email": "",
        "avatar_url": format!("{}/avatars/{id:032x}", state.url),
        "description": "",
        "website": "",
        "location": "",
        "visibility": "public",
        "repo_admin_change_team_access": false,
        "username": name,
    })
}

fn team(team: &Team) -> Value {
    json!({
        "id": team.id,
        "name": team.name,
        "description": "",
        "organization": null,
        "includes_all_repositories": true,
        "permission": team.right.word(),
        "can_create_org_repo": team.right >= Right::Admin,
    })
}

/// The secret is shown only once, when it is made.
fn token(state: &State, token: &Token, is_new: bool) -> Value {
    let last_eight = token.secret.get(token.secret.len().saturating_sub(8)..).unwrap_or_default();
    json!({
        "id": token.id,
        "name": token.name,
        "sha1": if is_new { token.secret.as_str() } else { "" },
        "token_last_eight": last_eight,
        "scopes": token.scopes.words(),
        "created_at": shapes::time(state, token.created),
        "last_used_at": shapes::time(state, token.created),
    })
}
