//! Polls: everything that happens is seen, nothing that was there before is reported.

use std::collections::BTreeSet;

use docent::core::id::CommentKind;
use docent::core::time::Duration;
use docent::forge::{Cursor, Forge, Observation, Watch};

use crate::scene::{Scene, another_second};
use crate::site::Site;

pub async fn the_first_poll_observes_pulls_and_reports_no_old_comment(site: &Site) {
    let scene = Scene::set(site).await;
    let (first, head) = scene.open("first").await;
    let (second, _) = scene.open("second").await;
    let (closed, _) = scene.open("closed").await;
    site.set_state(&scene.owner, &scene.repository, closed, "closed").await;
    scene.say(first, "!testme of old").await;
    // The forge counts whole seconds, and docent takes the earliest of those in which its first poll can have begun.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let mut eye = scene.watch().await;
    let seen = eye.until_pull("first pull request", first, |_| true).await;
    assert_eq!(seen.head.as_str(), head);
    assert_eq!((seen.title.as_str(), seen.head_branch.as_str()), ("About first", "first"));
    assert_eq!((seen.base_branch.as_str(), seen.is_open, seen.is_from_fork), ("main", true, false));
    assert_eq!(seen.author.map(|author| author.number), Some(scene.owner.id));
    eye.until_pull("second pull request", second, |_| true).await;
    assert_eq!(eye.pull(closed), None, "what was closed before is of no interest");
    // Nor does any later poll, however it reads, bring up what was said before docent came.
    scene.say(first, "new").await;
    eye.until_comment("new comment", |comment| comment.body == "new").await;
    eye.reconcile().await;
    assert_eq!(eye.comments().len(), 1, "{:#?}", eye.comments());
}

pub async fn a_new_comment_is_seen_as_it_is(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    let body = "!testme --notebooks \"a b/*.ipynb\"\n\n> žluťoučký 🔭 <b>&amp;</b>";
    let number = scene.say(pull, body).await;
    let seen = eye.until_comment("comment", |_| true).await;
    assert_eq!((seen.id.number, seen.id.kind, seen.pull), (number, CommentKind::Comment, pull));
    assert_eq!(seen.body, body);
    let author = seen.author.unwrap();
    assert_eq!((author.number, author.login.as_str()), (scene.owner.id, scene.owner.login.as_str()));
    assert!(!seen.is_edited);
    assert_eq!(seen.created_at, seen.updated_at);
    for _ in 0..3 {
        eye.poll().await;
    }
    assert_eq!(eye.comments().len(), 1, "however often it is read, it is the same");
}

pub async fn an_edit_is_seen_as_edited(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    let number = scene.say(pull, "hello").await;
    eye.until_comment("comment", |comment| comment.body == "hello" && !comment.is_edited).await;
    another_second().await;
    scene.edit(number, "!testme").await;
    let seen = eye.until_comment("edit", |comment| comment.body == "!testme").await;
    assert!(seen.is_edited && seen.id.number == number && seen.updated_at > seen.created_at, "{seen:#?}");
    let examined = eye.examine(number, pull).await.comment.unwrap();
    assert!(examined.is_edited && examined.body == "!testme");
}

pub async fn seventy_comments_between_two_polls_are_all_seen(site: &Site) {
    let scene = Scene::set(site).await;
    let (first, _) = scene.open("first").await;
    let (second, _) = scene.open("second").await;
    let mut eye = scene.watch().await;
    let mut said = BTreeSet::new();
    for index in 0..35 {
        said.insert(scene.say(first, &format!("{index} on the first")).await);
        said.insert(scene.say(second, &format!("{index} on the second")).await);
    }
    // A forge with a page size that it does not tell shows the first page only, and the newest comment is not on it.
    let poll = eye.poll().await;
    let seen: BTreeSet<u64> = eye.comments().iter().map(|comment| comment.id.number).collect();
    assert_eq!(seen.len(), 70, "after {} requests", poll.requests);
    assert_eq!(seen, said);
}

pub async fn comments_in_the_second_of_a_poll_are_not_lost(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    let mut said = BTreeSet::new();
    for index in 0..12 {
        let body = format!("{index}");
        let (number, _) = tokio::join!(scene.say(pull, &body), eye.poll());
        said.insert(number);
    }
    eye.poll().await;
    let seen: BTreeSet<u64> = eye.comments().iter().map(|comment| comment.id.number).collect();
    assert_eq!(seen, said);
}

pub async fn a_review_is_seen(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    let review = site.review(&scene.owner, &scene.repository, pull, "COMMENT", "!testme in a review").await;
    let seen = eye.until_comment("review", |_| true).await;
    assert_eq!((seen.id.kind, Some(seen.id.number)), (CommentKind::Review, review["id"].as_u64()));
    assert_eq!((seen.body.as_str(), seen.pull), ("!testme in a review", pull));
    assert_eq!(seen.author.unwrap().number, scene.owner.id);
    assert!(!seen.is_edited);
}

pub async fn a_quiet_poll_is_cheap(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    scene.say(pull, "hello").await;
    eye.until_comment("comment", |_| true).await;
    eye.rest(Duration::seconds(200));
    let quiet = eye.poll().await;
    assert!((1..=2).contains(&quiet.requests), "{} requests where nothing happened", quiet.requests);
    assert_eq!(quiet.observations, []);
}

pub async fn the_slow_lane_reads_a_repository_whole(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, head) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    let number = scene.say(pull, "hello").await;
    eye.until_comment("comment", |_| true).await;
    another_second().await;
    // An edit does not move the pull request's own date, so that no feed of changes shows it.
    scene.edit(number, "changed").await;
    let poll = eye.reconcile().await;
    let observes = |found: &Observation| matches!(found, Observation::Pull { pull: seen, .. } if seen.head.as_str() == head);
    assert!(
        poll.observations.iter().any(observes),
        "an open pull request that did not change is read as well"
    );
    assert!(eye.comments().iter().any(|comment| comment.body == "changed"), "{:#?}", eye.comments());
    let reconciled = eye.cursor.repositories[&eye.repository.id.number].reconciled_at;
    assert!(reconciled.is_some());
}

pub async fn a_rename_is_noticed_while_watching(site: &Site) {
    let mut scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    let short = format!("{}-renamed", scene.repository.split_once('/').unwrap().1);
    site.rename(&scene.owner, &scene.repository, &short).await;
    scene.repository = format!("{}/{short}", scene.owner.login);
    scene.say(pull, "still here").await;
    let poll = eye.poll().await;
    assert_eq!(poll.renamed, [(eye.repository.id.number, scene.repository.clone())]);
    eye.until_comment("comment under the new name", |comment| comment.body == "still here").await;
}

pub async fn one_poll_serves_all_repositories_of_an_owner(site: &Site) {
    let scene = Scene::set(site).await;
    let forge = site.watcher(&scene.watch_token().await);
    let mut names = vec![scene.repository.clone()];
    for index in 0..3 {
        let name = format!("more-{index}");
        site.repository(&scene.owner, &scene.owner.login, &name).await;
        names.push(format!("{}/{name}", scene.owner.login));
    }
    let mut repositories = Vec::new();
    for name in &names {
        repositories.push(forge.repository(name).await.unwrap());
    }
    let watch = || Watch { repositories: &repositories, reconcile: &[], branches: &[] };
    let first = forge.poll(watch(), &Cursor::default()).await.unwrap();
    let quiet = forge.poll(watch(), &first.cursor).await.unwrap();
    assert_eq!(quiet.requests, 1, "four quiet repositories of one owner are one question");
    let mut said = BTreeSet::new();
    for name in &names {
        site.push_files(&scene.owner, name, "fix", &[("notes.txt", "one")]).await;
        let pull = site.pull(&scene.owner, name, "fix", "A fix").await["number"].as_u64().unwrap();
        let comment = site.comment(&scene.owner, name, pull, name).await;
        said.insert((name.clone(), comment["id"].as_u64().unwrap()));
    }
    let busy = forge.poll(watch(), &quiet.cursor).await.unwrap();
    assert_eq!(busy.failures, []);
    let seen: BTreeSet<(String, u64)> = busy
        .observations
        .iter()
        .filter_map(|observation| match observation {
            Observation::Comment(comment) => Some((comment.body.clone(), comment.id.number)),
            Observation::Branch { .. } | Observation::Pull { .. } => None,
        })
        .collect();
    assert_eq!(seen, said);
}
