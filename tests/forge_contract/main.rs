//! What docent relies on in a forge, as one table of cases: against the embedded forge, against the real Gitea, and (`live`)
//! against any forge of the world that the environment names.
//!
//! The same cases run against both so that the embedded forge, which all other tests trust, cannot drift from the real
//! thing. A case uses docent's drivers as the daemon does, through `AnyForge` and `AnyReporter`; everything else happens
//! over the forge's own API and with `git push`, as people do it.

#[path = "../support/mod.rs"]
mod support;

mod branches;
mod examining;
mod eye;
mod heads;
mod lookup;
mod permissions;
mod proof;
mod reporting;
mod scene;
mod site;
mod watching;

/// Runs every case once per site. Those of `alone` need one account only, so that they can run against any forge; those of
/// `together` need strangers, narrow tokens or an administrator.
macro_rules! contract {
    (alone { $($group:ident :: $case:ident,)* } together { $($both:ident :: $other:ident,)* }) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { crate::$group::$case(&crate::site::Site::embedded().await).await })*
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $other() { crate::$both::$other(&crate::site::Site::embedded().await).await })*
        }
        mod gitea {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let Some(site) = crate::site::Site::gitea().await else { return };
                crate::$group::$case(&site).await;
            })*
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $other() {
                let Some(site) = crate::site::Site::gitea().await else { return };
                crate::$both::$other(&site).await;
            })*
        }
        mod live {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let Some(site) = crate::site::Site::live().await else { return };
                crate::$group::$case(&site).await;
            })*
        }
    };
}

contract! {
    alone {
        lookup::a_repository_is_found,
        lookup::a_renamed_repository_is_found_by_its_old_name,
        lookup::a_missing_repository_is_not_found,
        lookup::a_commit_is_fetched_by_its_sha,
        watching::the_first_poll_observes_pulls_and_reports_no_old_comment,
        watching::a_new_comment_is_seen_as_it_is,
        watching::an_edit_is_seen_as_edited,
        watching::seventy_comments_between_two_polls_are_all_seen,
        watching::comments_in_the_second_of_a_poll_are_not_lost,
        watching::a_review_is_seen,
        watching::a_quiet_poll_is_cheap,
        watching::the_slow_lane_reads_a_repository_whole,
        watching::a_rename_is_noticed_while_watching,
        branches::a_push_to_a_watched_branch_is_seen,
        branches::a_force_push_and_a_deletion_of_a_branch_are_seen,
        branches::a_quiet_poll_with_branches_is_cheap,
        branches::a_branch_of_a_renamed_repository_is_still_seen,
        branches::a_pull_request_tells_where_it_left_its_base,
        heads::a_push_is_seen_as_the_new_head,
        heads::a_force_push_is_seen_as_the_new_head,
        heads::closing_and_reopening_is_seen,
        heads::a_deleted_head_branch_closes,
        examining::a_comment_after_the_push_proves_the_head,
        examining::a_push_after_the_comment_is_known,
        examining::a_comment_in_the_breath_of_a_push_is_judged_by_the_record,
        examining::a_long_record_still_shows_the_newest_push,
        examining::a_force_push_is_on_the_record,
        examining::a_deleted_comment_is_gone,
        reporting::the_comment_is_made_once_and_edited,
        reporting::the_comment_is_found_by_its_marker,
        reporting::a_deleted_comment_is_made_anew,
        reporting::a_status_is_set,
    }
    together {
        lookup::a_private_repository_does_not_exist_for_strangers,
        lookup::a_private_repository_is_fetched_with_a_read_token,
        proof::a_token_that_reads_is_proven,
        proof::a_token_that_writes_is_named,
        proof::a_token_for_everything_is_named,
        proof::an_administrator_is_named,
        proof::a_bad_token_is_refused,
        watching::one_poll_serves_all_repositories_of_an_owner,
        branches::code_pushed_for_review_is_a_strangers,
        heads::a_fork_is_seen_and_fetched,
        heads::a_deleted_fork_closes,
        examining::a_review_has_its_place_in_the_record,
        permissions::the_owner_may_ask_for_permissions_and_a_reader_may_not,
        permissions::membership_of_a_team_is_told_to_members_only,
        reporting::a_token_that_may_only_comment_is_enough,
        reporting::a_copied_marker_is_not_taken_over,
        reporting::a_locked_pull_request_refuses,
        reporting::a_status_needs_more_than_a_comment,
    }
}
