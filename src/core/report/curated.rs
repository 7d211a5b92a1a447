//! What a curator takes home.

use std::fmt::Write as _;

use super::{View, page_of};
use crate::core::neutral;
use crate::core::run::Run;

pub(super) fn write_curated(text: &mut String, view: &View<'_>, run: &Run) {
    let curation = run.plan.as_ref().and_then(|plan| plan.curation.as_ref());
    let Some(curation) = curation.filter(|_| run.phase.is_ended()) else { return };
    let (spec, name) = (neutral::path(&curation.spec), neutral::inline(&curation.artifact_name, 128));
    let Some(curated) = &run.curated else {
        let _ = writeln!(text, "\nSpec {spec} is not curated as {name}: not all of it is proven.");
        return;
    };
    let digest = curated.digest.get(..12).unwrap_or_default();
    let page = page_of(view, run).map(|page| format!(": [download]({page}/artifacts/{})", curated.digest));
    let _ =
        writeln!(text, "\nSpec {spec} is curated as {name}, sha256 `{digest}`{}", page.unwrap_or_default());
    write_pull(text, view, &curation.artifact_name);
}

/// How it can be had once it is published, which no pull request does.
fn write_pull(text: &mut String, view: &View<'_>, artifact_name: &str) {
    let Some(publish) = view.publish else { return };
    let Some(command) = publish.pull_command(artifact_name) else { return };
    let branches: Vec<String> = publish.branches.iter().map(|branch| neutral::path(branch)).collect();
    let _ = writeln!(
        text,
        "\nA pull request publishes nothing. Once this has passed on {} too, it can be had by\n\n```sh\n{command}\n```",
        branches.join(" or ")
    );
}
