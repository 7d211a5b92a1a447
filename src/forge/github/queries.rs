//! The GraphQL that docent asks. All of it are queries; the watch client refuses anything else.

use std::sync::LazyLock;

const PULLS: &str = "nodes{id number updatedAt} pageInfo{hasNextPage endCursor}";
const ACTOR: &str = "__typename login ... on User{databaseId} ... on Bot{databaseId} ... on Mannequin{databaseId} \
    ... on Organization{databaseId}";

/// Which pull requests of many repositories changed last, and where so many branches are: one question for all repositories,
/// so each is asked for the branches of all; a reference costs GitHub nothing. The names are `$b0`, `$b1`, …, with
/// `refs/heads/`.
pub fn changed(branches: usize) -> String {
    use std::fmt::Write as _;
    let (mut names, mut tips) = (String::new(), String::new());
    for index in 0..branches {
        let _ = write!(names, ",$b{index}:String!");
        let _ = write!(tips, " b{index}:ref(qualifiedName:$b{index}){{target{{oid}}}}");
    }
    format!(
        "query($ids:[ID!]!,$first:Int!,$states:[PullRequestState!]{names}){{nodes(ids:$ids){{... on Repository{{id \
         databaseId nameWithOwner pullRequests(first:$first,states:$states,orderBy:{{field:UPDATED_AT,direction:DESC}})\
         {{{PULLS}}}{tips}}}}} rateLimit{{cost remaining resetAt}}}}"
    )
}

/// More of them, of one repository.
pub static CHANGED_BEFORE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "query($id:ID!,$states:[PullRequestState!],$after:String!){{node(id:$id){{... on Repository{{id databaseId \
         nameWithOwner pullRequests(first:100,after:$after,states:$states,orderBy:{{field:UPDATED_AT,direction:DESC}})\
         {{{PULLS}}}}}}}}}"
    )
});

/// Pull requests with their last comments and reviews.
pub static PULL_REQUESTS: LazyLock<String> = LazyLock::new(|| {
    let texts = texts("last:30", "last:10");
    format!(
        "query($ids:[ID!]!){{nodes(ids:$ids){{... on PullRequest{{id number title state updatedAt url headRefOid \
         headRefName isCrossRepository headRepository{{nameWithOwner}} baseRefOid baseRefName repository{{databaseId}} \
         author{{{ACTOR}}} {texts}}}}} rateLimit{{cost remaining resetAt}}}}"
    )
});

/// Earlier comments of one pull request.
pub static COMMENTS_BEFORE: LazyLock<String> = LazyLock::new(|| before("comments", "createdAt"));

/// Earlier reviews of one pull request.
pub static REVIEWS_BEFORE: LazyLock<String> =
    LazyLock::new(|| before("reviews", "createdAt submittedAt state"));

/// Whether a review's text was changed.
pub const EDITED: &str = "query($id:ID!){node(id:$id){... on PullRequestReview{lastEditedAt}}}";

fn texts(comments: &str, reviews: &str) -> String {
    let text = format!("fullDatabaseId body updatedAt lastEditedAt url author{{{ACTOR}}}");
    let page = "pageInfo{hasPreviousPage startCursor}";
    format!(
        "comments({comments}){{nodes{{{text} createdAt}} {page}}} \
         reviews({reviews}){{nodes{{{text} createdAt submittedAt state}} {page}}}"
    )
}

fn before(what: &str, fields: &str) -> String {
    format!(
        "query($id:ID!,$before:String!){{node(id:$id){{... on PullRequest{{texts:{what}(last:100,before:$before){{nodes{{\
         fullDatabaseId body updatedAt lastEditedAt url author{{{ACTOR}}} {fields}}} \
         pageInfo{{hasPreviousPage startCursor}}}}}}}}}}"
    )
}
