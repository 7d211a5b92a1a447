//! Who may what: the forge's answers, and where it gives none.

use docent::core::id::CommentKind;
use docent::core::pull::Permission;
use docent::forge::Question;

use crate::eye::Eye;
use crate::scene::{READ, Scene};
use crate::site::Site;

fn about_permission() -> Question {
    Question { permission: true, ..Question::default() }
}

pub async fn the_owner_may_ask_for_permissions_and_a_reader_may_not(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let mut expected = vec![(scene.owner.clone(), Permission::Admin)];
    for (right, permission) in [("write", Permission::Write), ("read", Permission::Read)] {
        let person = site.person(right).await;
        site.collaborator(&scene.owner, &scene.repository, &person.login, right).await;
        expected.push((person, permission));
    }
    expected.push((site.person("stranger").await, Permission::Read));
    let as_owner = site.watcher(&site.narrow(&scene.owner, &READ).await);
    let asks = Eye::open(as_owner, &scene.repository).await;
    let reader = scene.watch().await;
    for (person, permission) in expected {
        let said = site.comment(&person, &scene.repository, pull, "!testme").await["id"].as_u64().unwrap();
        let question = about_permission();
        let told = asks.examine_kind(CommentKind::Comment, said, pull, &question).await;
        assert_eq!(told.comment.unwrap().author.unwrap().number, person.id);
        assert_eq!(told.permission, Some(permission), "of {}", person.login);
        let untold = reader.examine_kind(CommentKind::Comment, said, pull, &question).await;
        assert_eq!(untold.permission, None, "a reader is not told, and that is no error");
    }
}

pub async fn membership_of_a_team_is_told_to_members_only(site: &Site) {
    let owner = site.person("owner").await;
    let organisation = format!("astro{}", site.mark());
    site.organisation(&owner, &organisation).await;
    let name = format!("{organisation}/notebooks");
    site.repository(&owner, &organisation, "notebooks").await;
    let (mira, watcher) = (site.person("mira").await, site.person("watcher").await);
    let (colleague, stranger) = (site.person("colleague").await, site.person("stranger").await);
    site.team(&owner, &organisation, "curators", &[&mira, &watcher]).await;
    site.team(&owner, &organisation, "others", &[&colleague]).await;
    site.push_files(&owner, &name, "fix", &[("notes.txt", "one")]).await;
    let pull = site.pull(&owner, &name, "fix", "A fix").await["number"].as_u64().unwrap();

    let scopes = [READ[0], READ[1], "read:organization"];
    let member = Eye::open(site.watcher(&site.narrow(&watcher, &scopes).await), &name).await;
    let as_owner = Eye::open(site.watcher(&site.narrow(&owner, &scopes).await), &name).await;
    let of_another_team = Eye::open(site.watcher(&site.narrow(&colleague, &scopes).await), &name).await;
    let without_scope = Eye::open(site.watcher(&site.narrow(&watcher, &READ).await), &name).await;
    let outside = Eye::open(site.watcher(&site.narrow(&stranger, &scopes).await), &name).await;
    let curators = format!("{organisation}/curators");
    let question = Question {
        teams: vec![curators.clone(), format!("{organisation}/nobody"), "nobody-has-this/team".to_owned()],
        ..Question::default()
    };
    let by_mira = site.comment(&mira, &name, pull, "!testme").await["id"].as_u64().unwrap();
    let by_stranger = site.comment(&stranger, &name, pull, "!testme").await["id"].as_u64().unwrap();
    let teams = async |eye: &Eye, comment| {
        eye.examine_kind(CommentKind::Comment, comment, pull, &question).await.teams
    };
    for eye in [&member, &as_owner] {
        assert_eq!(teams(eye, by_mira).await, std::slice::from_ref(&curators));
        assert!(teams(eye, by_stranger).await.is_empty());
    }
    for (what, eye) in
        [("another team", &of_another_team), ("no scope", &without_scope), ("outside", &outside)]
    {
        assert!(teams(eye, by_mira).await.is_empty(), "{what}: unanswered is not a member");
    }
}
