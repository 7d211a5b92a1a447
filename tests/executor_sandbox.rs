//! The sandbox executor, without any engine, with everything that a stranger may bring.

mod hostile;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use docent::executor::sandbox::{Sandbox, Settings};
use docent::executor::{Executor, Inventory, Observation, rootfs};

use hostile::{Bench, cases, not_run, processes, tiny, until};

/// A state directory that the user of the sandbox can reach, with the image in it.
fn state() -> Result<tempfile::TempDir, String> {
    let root = tiny::ensure_root()?;
    let state = tempfile::tempdir().map_err(|error| error.to_string())?;
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let place = rootfs::directory(state.path(), tiny::TINY);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").args([&root, &place]).status().unwrap().success());
    Ok(state)
}

fn settings(state: &Path) -> Settings {
    // The state directory's own name, so that another process with the same state is the same installation.
    let instance = state.file_name().unwrap().to_string_lossy().trim_start_matches(".tmp").to_owned();
    Settings {
        grace: Duration::from_secs(1),
        images: vec![tiny::TINY.into()],
        gate: hostile::gate(),
        ..Settings::new(instance, state)
    }
}

fn connect(state: &Path) -> Option<Bench<Sandbox>> {
    match Sandbox::connect(settings(state)) {
        Ok(sandbox) => Some(Bench::new(sandbox)),
        Err(error) => {
            not_run("sandbox", &error.to_string());
            None
        }
    }
}

async fn nothing_left(bench: &Bench<Sandbox>, state: &Path) {
    assert_eq!(bench.executor.list().await.unwrap(), Inventory::default());
    assert_eq!(std::fs::read_dir(state.join("sandbox")).unwrap().count(), 0);
    assert_eq!(processes(&state.display().to_string()), Vec::<String>::new());
    let instance = settings(state).instance;
    for entry in walkdir::WalkDir::new("/sys/fs/cgroup").max_depth(6).into_iter().flatten() {
        assert!(!entry.file_name().to_string_lossy().contains(&instance), "{}", entry.path().display());
    }
}

macro_rules! against_sandbox {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let state = match state() {
                Ok(state) => state,
                Err(why) => return not_run("sandbox", &why),
            };
            let Some(bench) = connect(state.path()) else { return };
            cases::$name(&bench).await;
            nothing_left(&bench, state.path()).await;
        }
    )*};
}

against_sandbox!(
    endings,
    never_began,
    logs,
    live_log,
    time,
    orphans,
    greed,
    disk,
    cancel,
    adoption,
    collect,
    confinement,
    secrets,
    no_network,
    only_the_gate,
    environment,
    crowd,
    identity_outside,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_limit_binds_but_those_that_bubblewrap_lacks() {
    let state = match state() {
        Ok(state) => state,
        Err(why) => return not_run("sandbox", &why),
    };
    let Some(bench) = connect(state.path()) else { return };
    let probe = bench.executor.probe().await.unwrap();
    if probe.limits.values().any(|it| format!("{it:?}").contains("no control group can be made")) {
        return not_run("sandbox", &format!("this process may not make control groups: {probe:#?}"));
    }
    cases::probe(&bench, &["system-calls"]).await;
}

/// Indexes that the operator names, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_indexes() {
    let state = match state() {
        Ok(state) => state,
        Err(why) => return not_run("sandbox", &why),
    };
    let (ports, hosts) = cases::own_indexes();
    let mut settings = settings(state.path());
    settings.gate.hosts = hosts;
    let bench = match Sandbox::connect(settings) {
        Ok(sandbox) => Bench::new(sandbox),
        Err(error) => return not_run("sandbox", &error.to_string()),
    };
    cases::named_indexes(&bench, ports).await;
    nothing_left(&bench, state.path()).await;
}

/// What another process is told to do: the name of the state directory, and which part.
const STATE: &str = "DOCENT_TEST_STATE";
const PART: &str = "DOCENT_TEST_PART";

/// This test binary again, doing a part of a test in a process of its own.
fn another(state: &Path, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "part_of_another_test", "--ignored", "--nocapture"]);
    command.env(STATE, state).env(PART, part).stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "only run by other tests, in a process of its own"]
async fn part_of_another_test() {
    let state = std::env::var(STATE).unwrap();
    let bench = connect(Path::new(&state)).expect("works for the other test");
    match std::env::var(PART).unwrap().as_str() {
        "hold" => {
            let job =
                cases::index_job(&bench, "setsid sleep 22360 & trap '' TERM; while :; do sleep 22360; done");
            bench.executor.submit(&job).await.unwrap();
            bench.wait(&job).await;
        }
        "ordinary" => {
            assert!(!nix::unistd::geteuid().is_root());
            cases::confinement(&bench).await;
            cases::secrets(&bench).await;
            cases::endings(&bench).await;
            cases::cancel(&bench).await;
            cases::environment(&bench).await;
            cases::disk(&bench).await;
            cases::greed_without_a_group(&bench).await;
            cases::no_network(&bench).await;
            cases::only_the_gate(&bench).await;
            nothing_left(&bench, Path::new(&state)).await;
        }
        part => panic!("no such part: {part}"),
    }
}

/// Processes of docent's own program in sandboxes of this state.
fn relays(state: &Path) -> usize {
    let state = state.file_name().unwrap().to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let read = |path: std::path::PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    };
    processes
        .filter(|process| read(process.join("cmdline")).starts_with("/in/gate/program"))
        .filter(|process| read(process.join("mountinfo")).contains(&state))
        .count()
}

/// With docent dies what it ran, whatever that thinks of TERM; what is left are files, and they are found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_docent_leaves_no_process() {
    let state = match state() {
        Ok(state) => state,
        Err(why) => return not_run("sandbox", &why),
    };
    let Some(bench) = connect(state.path()) else { return };
    let mut docent = another(state.path(), "hold").spawn().unwrap();
    until("both programs", || {
        processes("sleep 22360").iter().filter(|it| it.starts_with("sleep")).count() == 2
    })
    .await;
    assert_eq!(relays(state.path()), 1);
    docent.kill().unwrap();
    docent.wait().unwrap();
    until("their end", || processes("22360").is_empty() && relays(state.path()) == 0).await;

    let list = bench.executor.list().await.unwrap();
    let [attempt] = list.attempts.as_slice() else { panic!("{list:?}") };
    assert_eq!(bench.executor.observe(attempt).await.unwrap(), Observation::Unknown);
    assert!(bench.executor.wait(attempt, &hostile::LIMITS, &bench.path("log")).await.is_err());
    bench.executor.release(attempt.run).await.unwrap();
    nothing_left(&bench, state.path()).await;
}

/// No root, no control groups: all the rest holds.
#[test]
fn an_ordinary_user_can_do_it_too() {
    let state = match state() {
        Ok(state) => state,
        Err(why) => return not_run("sandbox", &why),
    };
    if !nix::unistd::geteuid().is_root() {
        return println!("not run: the whole of this test binary runs as an ordinary user already");
    }
    if connect(state.path()).is_none() {
        return;
    }
    let user = 12345;
    let binary = std::env::current_exe().unwrap();
    let can = Command::new("setpriv")
        .args([&format!("--reuid={user}"), "--clear-groups", "test", "-x"])
        .arg(&binary)
        .status();
    if !can.is_ok_and(|it| it.success()) {
        return not_run("sandbox", "the test binary cannot be reached by another user");
    }
    for entry in walkdir::WalkDir::new(state.path()) {
        std::os::unix::fs::lchown(entry.unwrap().path(), Some(user), Some(user)).unwrap();
    }
    use std::os::unix::process::CommandExt;
    let output = another(state.path(), "ordinary").uid(user).gid(user).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Who cannot reach the directory is told which and what to do.
#[test]
fn a_closed_state_directory_is_named() {
    let state = tempfile::tempdir().unwrap();
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    match Sandbox::connect(settings(state.path())) {
        Err(error) if error.to_string().contains("chmod") => {}
        Err(error) => not_run("sandbox", &error.to_string()),
        Ok(_) => assert!(!nix::unistd::geteuid().is_root(), "root's sandboxes are another user's"),
    }
}

/// Without a root filesystem of its own an attempt runs on this machine's programs, if the operator says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_this_machine_serve_where_that_is_allowed() {
    let state = tempfile::tempdir().unwrap();
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let sandbox = match Sandbox::connect(Settings { host_root: true, ..settings(state.path()) }) {
        Ok(sandbox) => sandbox,
        Err(error) => return not_run("sandbox", &error.to_string()),
    };
    let bench = Bench::new(sandbox);
    let told = bench
        .run_once(&bench.job(
            "for d in / /usr /etc /in /recipe; do (: >$d/x) 2>/dev/null && echo writable $d; done; \
             for d in /root /home /var /run /etc/passwd /etc/shadow; do [ -e $d ] && echo visible $d; done; cat /repo/here",
        ))
        .await;
    assert_eq!(told.text(), "repo", "{told:?}");
    nothing_left(&bench, state.path()).await;
}
