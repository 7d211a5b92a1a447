//! Which head did the commenter see? By the forge's own record.

use docent::core::id::CommentKind;
use docent::core::pull::Order;
use docent::forge::{Question, any::ForgeKind};

use crate::scene::Scene;
use crate::site::Site;
use crate::support::eventually;

pub async fn a_comment_after_the_push_proves_the_head(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, first) = scene.open("fix").await;
    let eye = scene.watch().await;
    let early = scene.say(pull, "!testme").await;
    let examined = eye.examine(early, pull).await;
    assert_eq!(examined.pull.unwrap().head.as_str(), first);
    assert_eq!(examined.order, Order::HeadFirst, "it was opened with this head");
    let second = scene.push("fix", "two").await;
    scene.recorded(pull, &second).await;
    let late = scene.say(pull, "!testme").await;
    let examined = eye.examine(late, pull).await;
    assert_eq!(examined.pull.unwrap().head.as_str(), second);
    assert_eq!(examined.order, Order::HeadFirst);
    let comment = examined.comment.unwrap();
    assert_eq!((comment.id.number, comment.pull, comment.body.as_str()), (late, pull, "!testme"));
    // What was not asked stays unanswered.
    assert_eq!((examined.permission, examined.teams.len()), (None, 0));
}

pub async fn a_push_after_the_comment_is_known(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let eye = scene.watch().await;
    let comment = scene.say(pull, "!testme").await;
    crate::scene::another_second().await;
    let second = scene.push("fix", "two").await;
    scene.recorded(pull, &second).await;
    let examined = eye.examine(comment, pull).await;
    assert_eq!(examined.pull.unwrap().head.as_str(), second);
    assert_eq!(examined.order, Order::CommentFirst);
}

pub async fn a_comment_in_the_breath_of_a_push_is_judged_by_the_record(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let eye = scene.watch().await;
    let second = scene.push("fix", "two").await;
    let comment = scene.say(pull, "!testme").await;
    // The event of the push is written up to two seconds after it: until then nothing is claimed.
    let at_once = eye.examine(comment, pull).await.order;
    scene.recorded(pull, &second).await;
    let settled = eye.examine(comment, pull).await.order;
    if site.kind == ForgeKind::GitHub {
        return;
    }
    let push = scene.push_number(pull, &second).await.unwrap();
    let expected = if push < comment { Order::HeadFirst } else { Order::CommentFirst };
    assert_eq!(settled, expected, "push {push}, comment {comment}");
    assert!(at_once == expected || at_once == Order::Unproven, "{at_once:?} was claimed before {settled:?}");
}

pub async fn a_long_record_still_shows_the_newest_push(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let eye = scene.watch().await;
    let before = scene.say(pull, "before").await;
    for index in 0..65 {
        scene.say(pull, &format!("{index}")).await;
    }
    let second = scene.push("fix", "two").await;
    scene.recorded(pull, &second).await;
    let after = scene.say(pull, "!testme").await;
    assert_eq!(eye.examine(after, pull).await.order, Order::HeadFirst);
    assert_eq!(eye.examine(before, pull).await.order, Order::CommentFirst);
}

pub async fn a_force_push_is_on_the_record(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, first) = scene.open("fix").await;
    let second = scene.push("fix", "two").await;
    scene.recorded(pull, &second).await;
    let eye = scene.watch().await;
    let before = scene.say(pull, "before").await;
    crate::scene::another_second().await;
    let forced = scene.force_push("fix", &first).await;
    scene.recorded(pull, &forced).await;
    let after = scene.say(pull, "!testme").await;
    assert_eq!(eye.examine(after, pull).await.order, Order::HeadFirst);
    assert_eq!(eye.examine(before, pull).await.order, Order::CommentFirst);
}

pub async fn a_deleted_comment_is_gone(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let (other, _) = scene.open("other").await;
    let eye = scene.watch().await;
    let comment = scene.say(pull, "!testme").await;
    assert_eq!(eye.examine(comment, other).await.comment, None, "it stands under another pull request");
    assert!(eye.examine(comment, pull).await.comment.is_some());
    scene.delete_comment(comment).await;
    let examined = eventually("loss of the comment", || async {
        Some(eye.examine(comment, pull).await).filter(|examined| examined.comment.is_none())
    })
    .await;
    assert!(examined.pull.is_some());
    assert_eq!(examined.order, Order::Unproven);
}

pub async fn a_review_has_its_place_in_the_record(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let eye = scene.watch().await;
    let review = site.review(&scene.owner, &scene.repository, pull, "COMMENT", "!testme").await;
    let number = review["id"].as_u64().unwrap();
    let question = Question::default();
    let examine = || eye.examine_kind(CommentKind::Review, number, pull, &question);
    let examined = examine().await;
    assert_eq!(examined.order, Order::HeadFirst);
    let comment = examined.comment.unwrap();
    assert_eq!((comment.body.as_str(), comment.is_edited), ("!testme", false));
    crate::scene::another_second().await;
    let second = scene.push("fix", "two").await;
    scene.recorded(pull, &second).await;
    assert_eq!(examine().await.order, Order::CommentFirst);
}
