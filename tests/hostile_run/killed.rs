//! What a `docent run` that was killed has left is put away by the next one.

use std::fs;

use crate::bench::Bench;
use crate::hostile::{not_run, tiny};

pub fn goes_with_the_next_run(executor: &'static str) {
    let bench = match Bench::new(executor, tiny::TINY) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    let repo = bench.path("repo");
    fs::create_dir(&repo).unwrap();
    let (long, short) = (format!("long-{}", bench.mark), format!("short-{}", bench.mark));
    recipe(&bench, "sleeper", &long, &format!("\"sleep\", \"{}\"", bench.mark));
    recipe(&bench, "quick", &short, "\"sleep\", \"3\"");
    let instance = bench.start(&repo, "sleeper", &long, "", &[]).die();
    let is_left = |name: &str| name.starts_with("run-");
    let left = || {
        fs::read_dir(bench.path("state"))
            .unwrap()
            .filter(|entry| is_left(&entry.as_ref().unwrap().file_name().to_string_lossy()))
            .count()
    };
    assert_eq!(left(), 1, "there is something to put away");
    let ran = bench.start(&repo, "quick", &short, "", &[]).wait(120);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert_eq!(left(), 0);
    if let Some(instance) = instance {
        assert_eq!(crate::bench::labelled(&format!("docent.instance={instance}")), Vec::<String>::new());
    }
    bench.assert_nothing_left(&[&ran]);
}

fn recipe(bench: &Bench, name: &str, tier: &str, words: &str) {
    let place = bench.path("recipes").join(name);
    fs::create_dir_all(&place).unwrap();
    let text =
        format!("name = {name:?}\nimage = {:?}\n[[tier]]\nname = {tier:?}\nrun = [{words}]\n", tiny::TINY);
    fs::write(place.join("recipe.toml"), text).unwrap();
}
