//! A machine that lets docent down: its engine does not answer, its disk is full. docent says what it waits for, loses nothing,
//! and goes on when the machine does.

use docent::executor::container::{Container, Settings};
use line::EngineLine;
use served::{Served, Sight};

#[path = "hostile/mod.rs"]
mod hostile;
#[allow(dead_code, reason = "another test uses the rest")]
#[path = "support/served.rs"]
mod served;

#[path = "support/line.rs"]
mod line;

const SOCKET: &str = "/var/run/docker.sock";

/// Whether there is an engine to come late.
fn has_engine() -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let there = runtime.block_on(async {
        let engine =
            Container::connect(Settings { host: Some(format!("unix://{SOCKET}")), ..Settings::new("late") })
                .await
                .map_err(|error| error.to_string())?;
        hostile::tiny::ensure_image(&engine).await
    });
    there.map_err(|why| hostile::not_run("engine", &why)).is_ok()
}

impl Served {
    fn engine_comes(&self) {
        std::os::unix::fs::symlink(SOCKET, self.folder.path().join("engine.sock")).unwrap();
    }

    fn until_sight(&self, what: &str, is_so: impl Fn(&Sight) -> bool) {
        self.until(what, |served| served.look().is_some_and(|sight| is_so(&sight)));
    }

    fn phase(&self, run: usize) -> String {
        self.look().unwrap().runs[run]["phase"].as_str().unwrap().to_owned()
    }
}

#[test]
fn commands_are_taken_while_the_engine_is_down_and_run_when_it_is_there() {
    if !has_engine() {
        return;
    }
    let served = Served::start_at("kind = \"container\"\nsocket = \"unix://ROOT/engine.sock\"", None);
    for page in [served.overview(), served.page("/health")] {
        assert!(page.contains("no engine has answered since"), "{page}");
    }
    assert!(served.log().contains("the engine does not answer: runs wait"), "{}", served.log());

    // Stopping what waits for the engine needs no engine.
    served.say("!testme");
    served.until_sight("attempt that waits", |sight| sight.is_open("execute/r1-first-1"));
    served.say("!cancel");
    served.until_sight("end of what waited", |sight| {
        sight.runs[0]["tiers"][0]["attempts"][0]["closed_at"].is_string()
    });

    served.say("!testme");
    served.until_sight("second run", |sight| sight.runs.len() == 2);
    // Neither a restart nor time makes anything else of it.
    served.kill();
    served.raise();
    served.until("word of the engine", |served| {
        served.log().matches("the engine does not answer").count() >= 3
    });
    assert_eq!(served.phase(1), "WAITING");

    served.engine_comes();
    served.until_sight("end of all", |sight| sight.has_ended() && sight.open.is_empty());
    assert_eq!((served.phase(0).as_str(), served.phase(1).as_str()), ("CANCELLED", "COMPLETED"));
    let overview = served.overview();
    assert!(
        !overview.contains("no engine has answered") && overview.contains("control group (tried)"),
        "{overview}"
    );
    assert!(!served.page("/health").contains("trouble"), "{}", served.page("/health"));
    assert_eq!(served.stop(), Some(0));
    assert!(served.leftovers().is_empty());
}

/// One tier that lasts long enough for the engine to go and come back.
const LONG: &str = r#"
name = "slow"
detect = []
image = "docent-test/tiny:1"
[[tier]]
name = "first"
run = ["sh", "-c", "echo begun; sleep 8; echo done"]
"#;

#[test]
fn a_run_outlives_an_engine_that_goes_away_for_a_moment() {
    if !has_engine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("engine.sock");
    let line = EngineLine::lay(&place, SOCKET);
    let executor = format!("kind = \"container\"\nsocket = \"unix://{}\"", place.display());
    let served = Served::start_with(&executor, None, LONG);
    served.until("trial", |served| served.log().contains("runs can begin"));
    served.say("!testme");
    served.until_sight("attempt that runs", |sight| sight.has_started("first"));

    line.cut();
    served.until("word of it", |served| served.log().contains("could not be done"));
    served.until("what is tried again", |served| served.overview().contains("Tried again"));
    let overview = served.overview();
    assert!(overview.contains("execute/r1-first-1"), "{overview}");
    let _line = EngineLine::lay(&place, SOCKET);

    served.until_sight("end of the run", |sight| sight.has_ended() && sight.open.is_empty());
    let sight = served.look().unwrap();
    let attempts = sight.runs[0]["tiers"][0]["attempts"].as_array().unwrap();
    assert_eq!((served.phase(0).as_str(), &sight.runs[0]["verdict"]), ("COMPLETED", &"pass".into()));
    assert_eq!(attempts.len(), 1, "it was taken up, not begun again: {attempts:#?}");
    assert_eq!(served.stop(), Some(0));
    assert!(served.leftovers().is_empty());
}

#[test]
fn auto_waits_for_the_engine_that_it_ran_with() {
    if !has_engine() {
        return;
    }
    let served = Served::start_at(&format!("kind = \"auto\"\nsocket = \"unix://{SOCKET}\""), None);
    served.until("trial", |served| served.log().contains("runs can begin"));
    assert_eq!(served.stop(), Some(0));

    let file = served.folder.path().join("docent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(SOCKET, "/nosuch/engine.sock")).unwrap();
    served.raise();
    served.until("advice", |served| served.log().contains("say kind = \\\"sandbox\\\" under [executor]"));
    served.until("ready docent", Served::is_ready);
    assert!(served.overview().contains("docent ran with an engine before"), "{}", served.overview());
    assert!(!served.log()[served.log().rfind("starting").unwrap()..].contains("bwrap"), "{}", served.log());
    assert_eq!(served.stop(), Some(0));
}

/// A small file system over the state of a docent that is not running.
struct SmallDisk<'a>(&'a Served);

impl<'a> SmallDisk<'a> {
    fn below(served: &'a Served) -> Result<Self, String> {
        let (state, kept) = (served.state(), served.folder.path().join("kept"));
        std::fs::rename(&state, &kept).unwrap();
        std::fs::create_dir(&state).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &state);
        run("cp", &["-a", &format!("{}/.", kept.display())], &state)?;
        mounted.map(|()| Self(served))
    }

    fn fill(&self) {
        let filler = std::fs::File::create(self.0.state().join("filler")).unwrap();
        let full = std::io::copy(&mut std::io::repeat(b'x'), &mut &filler).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    }

    fn clear(&self) {
        std::fs::remove_file(self.0.state().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy"], &self.0.state());
    }
}

fn run(program: &str, arguments: &[&str], place: &std::path::Path) -> Result<(), String> {
    let output = std::process::Command::new(program).args(arguments).arg(place).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_runs_go_on_when_there_is_room() {
    if !has_engine() {
        return;
    }
    let served = Served::start("container", None);
    assert_eq!(served.stop(), Some(0));
    let disk = match SmallDisk::below(&served) {
        Ok(disk) => disk,
        Err(why) => return hostile::not_run("mount", &why),
    };
    served.raise();
    served.until("ready docent", Served::is_ready);
    disk.fill();
    served.say("!testme");
    served.until("word of the full disk", |served| {
        let log = served.log();
        ["database or disk is full", "No space left on device"].iter().any(|words| log.contains(words))
    });
    // It may die of something else while there is no room: what it had taken is not lost either.
    served.kill();
    disk.clear();
    served.raise();
    served.until_sight("end of the run", |sight| sight.has_ended() && sight.open.is_empty());
    assert_eq!((served.look().unwrap().runs.len(), served.phase(0).as_str()), (1, "COMPLETED"));

    // And without a restart.
    disk.fill();
    served.say("!testme");
    let told = served.log().len();
    served.until("word of the full disk, again", |served| served.log()[told..].contains("full"));
    disk.clear();
    served.until_sight("end of the second run", |sight| {
        sight.runs.len() == 2 && sight.has_ended() && sight.open.is_empty()
    });
    assert_eq!(served.phase(1), "COMPLETED");
    assert_eq!(served.stop(), Some(0));
    assert!(served.leftovers().is_empty());
    drop(disk);
}
