//! `kill -9` in earnest: the real program, a real engine, a death at each boundary and at random moments. Whatever the
//! moment, the next start ends with one run, one comment, a pass, and nothing left anywhere.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use docent::executor::container::{Container, Settings};
use served::{Served, Sight};

#[path = "hostile/mod.rs"]
mod hostile;
#[path = "support/served.rs"]
mod served;

/// Programs at a time.
const AT_ONCE: usize = 6;
const SCENARIOS: usize = 5;
/// Random deaths of one scenario, one after the other: whether docent was ready by then, or still trying out its engine.
const DEATHS: [bool; 4] = [true, false, true, true];

/// Whether a moment has come.
type IsNow = fn(&Served, &Sight) -> bool;

/// The boundaries of the crash table, as they are seen from outside.
const MOMENTS: &[(&str, IsNow)] = &[
    ("the comment is on record", |_, sight| !sight.comments.is_empty()),
    ("the comment is to be examined", |_, sight| sight.is_open("examine/")),
    ("the commit is to be fetched", |_, sight| sight.is_open("prepare/")),
    ("the first attempt is to be started", |_, sight| {
        sight.is_open("execute/") && !sight.has_started("first")
    }),
    ("the first attempt runs", |_, sight| sight.has_started("first")),
    ("the second attempt is to be started", |_, sight| sight.is_open("execute/r1-second")),
    ("the second attempt runs", |_, sight| sight.has_started("second")),
    ("the run is to be torn down", |_, sight| sight.is_open("release/")),
    ("the comment is to be written", |_, sight| sight.is_open("report/")),
    ("the status is to be set", |_, sight| sight.is_open("status/")),
    ("the comment is on the forge", |served, _| served.has_been_told()),
    ("the run has ended", |_, sight| sight.has_ended()),
];

impl Served {
    fn has_been_told(&self) -> bool {
        let requests = self.forge.requests();
        requests
            .iter()
            .any(|request| request.method == "POST" && request.path.ends_with("/issues/1/comments"))
    }

    /// Waits until all is done, ends docent, and looks for what should not be there.
    fn end(self) {
        self.until("end of the run", |served| {
            let sight = served.look();
            sight.is_some_and(|sight| sight.has_ended() && sight.open.is_empty())
                && served.leftovers().is_empty()
        });
        // A poll more brings nothing more.
        let polls = |served: &Self| {
            served.forge.requests().iter().filter(|request| request.path.contains("/issues/search")).count()
        };
        let before = polls(&self);
        self.until("two more polls", |served| polls(served) >= before + 2);
        assert_eq!(self.stop(), Some(0));
        let sight = self.look().unwrap();
        let log = self.log();
        assert!(sight.open.is_empty(), "{:?}", sight.open);
        let runs: Vec<_> = sight.runs.iter().map(|run| (&run["phase"], &run["verdict"])).collect();
        assert!(runs.len() == 1 && runs[0].0 == "COMPLETED" && runs[0].1 == "pass", "{runs:?}\n{log}");
        let comments = self.forge.comments(self.sample.repository, self.sample.pull);
        let told: Vec<_> = comments.iter().filter(|comment| comment.author == "docent").collect();
        assert!(told.len() == 1 && told[0].body.contains("### ✔ pass"), "{told:#?}");
        let statuses = self.forge.statuses(self.sample.repository, &self.sample.head);
        assert_eq!(statuses.last().map(|status| status.state.as_str()), Some("success"));
        assert_eq!(self.leftovers(), Vec::<std::path::PathBuf>::new());
        assert_eq!(self.processes(), Vec::<String>::new());
        assert!(!log.contains("please report this"), "{log}");
        assert_eq!(left_at_the_engine(&self.instance()), "");
    }
}

/// Containers, volumes and networks of an installation.
fn left_at_the_engine(instance: &str) -> String {
    let label = format!("label=docent.instance={instance}");
    let lists: [&[&str]; 3] = [&["ps", "-aq"], &["volume", "ls", "-q"], &["network", "ls", "-q"]];
    let list = |words: &&[&str]| {
        let output = Command::new("docker").args(*words).args(["--filter", &label]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    lists.iter().map(list).collect()
}

/// Kills docent at the moment, if it comes to be seen, and lets the next one finish.
fn at(moment: &str, is_now: IsNow, start: &dyn Fn() -> Served) -> bool {
    let served = start();
    served.say("!testme");
    let has_died = std::cell::Cell::new(false);
    served.until(moment, |served| {
        let Some(sight) = served.look() else { return false };
        has_died.set(is_now(served, &sight));
        has_died.get() || (sight.has_ended() && sight.open.is_empty())
    });
    if has_died.get() {
        served.kill();
        served.raise();
    }
    println!("{}: {moment}", if has_died.get() { "died when" } else { "too quick to be seen" });
    served.end();
    has_died.get()
}

/// Most of the moments must be seen: a test that kills nothing shows nothing.
fn at_each(moments: Vec<(&'static str, IsNow)>, start: &(dyn Fn() -> Served + Sync)) {
    let (count, deaths) = (moments.len(), AtomicUsize::new(0));
    share(moments, |(moment, is_now)| {
        deaths.fetch_add(usize::from(at(moment, is_now, start)), Ordering::Relaxed);
    });
    let deaths = deaths.into_inner();
    assert!(deaths * 3 >= count * 2, "only {deaths} of {count} moments were seen");
}

/// Kills docent again and again, after times that `seed` gives.
fn at_random(seed: u64, start: &dyn Fn() -> Served) {
    println!("seed {seed}");
    let served = start();
    served.say("!testme");
    let mut state = seed;
    for is_ready in DEATHS {
        if is_ready {
            served.until("docent to be ready", Served::is_ready);
        }
        // Knuth's multiplier: enough chance for this.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((state >> 33) % 3000));
        served.kill();
        served.raise();
    }
    served.end();
}

/// Does all of `work`, some of it at a time.
fn share<T: Send>(work: Vec<T>, act: impl Fn(T) + Sync) {
    let work = Mutex::new(work);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(next) = { work.lock().unwrap().pop() } {
                    act(next)
                }
            });
        }
    });
}

fn has_engine() -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ready = runtime.block_on(async {
        let engine = Container::connect(Settings::new("kill")).await.map_err(|error| error.to_string())?;
        hostile::tiny::ensure_image(&engine).await
    });
    ready.map_err(|why| hostile::not_run("engine", &why)).is_ok()
}

fn in_containers() -> Served {
    Served::start("container", None)
}

fn has_sandbox() -> bool {
    let ready = match Command::new("bwrap").args(["--ro-bind", "/", "/", "true"]).status() {
        Ok(status) if status.success() => hostile::tiny::ensure_root().map(drop),
        Ok(status) => Err(format!("bwrap: {status}")),
        Err(error) => Err(format!("bwrap: {error}")),
    };
    ready.map_err(|why| hostile::not_run("sandbox", &why)).is_ok()
}

fn in_sandboxes() -> Served {
    Served::start("sandbox", Some(&hostile::tiny::state().join("images")))
}

#[test]
fn a_kill_at_each_boundary_loses_nothing_repeats_nothing_and_leaves_nothing() {
    if has_engine() {
        at_each(MOMENTS.to_vec(), &in_containers);
    }
}

#[test]
fn twenty_kills_at_random_moments_lose_nothing_repeat_nothing_and_leave_nothing() {
    if has_engine() {
        let seeds = (0..SCENARIOS).map(|_| rand::random()).collect();
        share(seeds, |seed| at_random(seed, &in_containers));
    }
}

#[test]
fn a_kill_while_a_sandbox_runs_leaves_no_process() {
    if has_sandbox() {
        let moments = ["the first attempt runs", "the second attempt runs", "the run is to be torn down"];
        let moments: Vec<_> =
            MOMENTS.iter().filter(|(moment, _)| moments.contains(moment)).copied().collect();
        at_each(moments, &in_sandboxes);
    }
}
