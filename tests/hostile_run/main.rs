//! What strangers bring, the whole way: `docent run` as a process of its own, from a folder to `result.json`, on both
//! executors. The executors' own promises stand in `tests/hostile`; here it is what a person would read.

mod asking;
mod bench;
mod curating;
mod extra;
#[path = "../hostile/mod.rs"]
mod hostile;
mod killed;
mod notebooks;
mod remembering;
mod report;
mod tiers;
mod unsolvable;

#[test]
fn hostile_tiers_in_containers() {
    tiers::are_contained_and_named("container");
}

#[test]
fn hostile_tiers_in_sandboxes() {
    tiers::are_contained_and_named("sandbox");
}

#[test]
fn hostile_notebooks_in_containers() {
    notebooks::are_contained_and_named("container");
}

#[test]
fn hostile_notebooks_in_sandboxes() {
    notebooks::are_contained_and_named("sandbox");
}

#[test]
fn extra_tests_are_one_request_in_four_ways() {
    asking::is_one_request_in_four_ways("sandbox");
}

#[test]
fn extra_tests_as_the_document_has_them() {
    extra::the_document_is_carried_out(if has_engine() { "container" } else { "sandbox" });
}

#[test]
fn a_spec_is_curated_in_containers() {
    curating::a_spec_becomes_a_curated_spec("container", true);
}

#[test]
fn a_spec_is_curated_in_sandboxes() {
    curating::a_spec_becomes_a_curated_spec("sandbox", !has_engine());
}

#[test]
fn a_second_run_makes_only_what_has_changed() {
    remembering::only_what_has_changed_is_made_again(if has_engine() { "container" } else { "sandbox" });
}

#[test]
fn a_killed_run_in_containers_goes_with_the_next() {
    killed::goes_with_the_next_run("container");
}

#[test]
fn a_killed_run_in_sandboxes_goes_with_the_next() {
    killed::goes_with_the_next_run("sandbox");
}

#[test]
fn unsolvable_requirements_are_named_in_containers() {
    unsolvable::is_named("container");
}

#[test]
fn unsolvable_requirements_are_named_in_sandboxes() {
    unsolvable::is_named("sandbox");
}

/// What does not depend on the executor is looked at on one of them.
fn has_engine() -> bool {
    std::process::Command::new("docker").arg("version").output().is_ok_and(|output| output.status.success())
}
