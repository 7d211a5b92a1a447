//! The container executor against a real engine, with everything that a stranger may bring.

mod hostile;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docent::executor::container::{Container, Settings};
use docent::executor::{Ending, Executor, Observation};

use hostile::{Bench, cases, not_run, tiny};

fn settings() -> Settings {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The first eight characters name what is made: they must differ between tests and between processes.
    let instance = format!("{:05x}{:03x}-test", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Settings {
        grace: Duration::from_secs(1),
        images: vec![tiny::TINY.into()],
        gate: hostile::gate(),
        ..Settings::new(instance)
    }
}

async fn connect(settings: Settings) -> Option<Bench<Container>> {
    match Container::connect(settings).await {
        Ok(container) => {
            tiny::ensure_image(&container).await.unwrap();
            Some(Bench::new(container))
        }
        Err(error) => {
            not_run("engine", &error.to_string());
            None
        }
    }
}

/// Nothing of this installation may be left when a test is over.
async fn nothing_left(bench: &Bench<Container>, instance: &str) {
    let list = bench.executor.list().await.unwrap();
    assert_eq!(list, docent::executor::Inventory::default());
    for kind in [&["ps", "-a"][..], &["volume", "ls"], &["network", "ls"]] {
        // The engine's own client is asked as well, where there is one.
        let Ok(output) = std::process::Command::new("docker")
            .args(kind)
            .args(["-q", "--filter"])
            .arg(format!("name=docent-{}", &instance[..8]))
            .output()
        else {
            continue;
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{kind:?}");
    }
}

macro_rules! against_engine {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let settings = settings();
            let instance = settings.instance.clone();
            let Some(bench) = connect(settings).await else { return };
            cases::$name(&bench).await;
            nothing_left(&bench, &instance).await;
        }
    )*};
}

against_engine!(
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
async fn every_limit_binds() {
    let Some(bench) = connect(settings()).await else { return };
    cases::probe(&bench, &[]).await;
}

/// Docent restarts: the attempt runs on, is adopted with its limits, and its log is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_survives_docent() {
    let settings = settings();
    let Some(first) = connect(settings.clone()).await else { return };
    let mut timed = first.job("echo before; while :; do sleep 1; done");
    timed.limits.timeout_seconds = 6;
    let mut stopped = first.job("echo before; sleep 31");
    stopped.attempt.run = timed.attempt.run;
    stopped.attempt.number = 2;
    let mut done = first.job("sleep 1; printf over");
    done.attempt.run = timed.attempt.run;
    done.attempt.number = 3;
    for job in [&timed, &stopped, &done] {
        first.executor.submit(job).await.unwrap();
    }
    first.executor.cancel(&stopped.attempt).await.unwrap();
    drop(first);

    let second = connect(settings.clone()).await.unwrap();
    let list = second.executor.list().await.unwrap();
    assert_eq!(list.attempts, [timed.attempt.clone(), stopped.attempt.clone(), done.attempt.clone()]);
    assert_eq!(
        second.executor.observe(&stopped.attempt).await.unwrap(),
        Observation::Ended(Ending::Cancelled)
    );
    assert_eq!(second.executor.observe(&timed.attempt).await.unwrap(), Observation::Running);
    second.executor.submit(&timed).await.unwrap();
    let told = second.wait(&timed).await;
    assert_eq!((told.ending.clone(), told.text().as_str()), (Ending::TimedOut, "before\n"));
    let told = second.wait(&done).await;
    assert_eq!((told.ending.clone(), told.text().as_str()), (Ending::Exited { code: 0 }, "over"));
    second.executor.release(timed.attempt.run).await.unwrap();
    nothing_left(&second, &settings.instance).await;
}

/// Docent dies while a gate and its attempt run: the gate stays with the attempt, and goes with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_survives_docent_and_goes_with_its_attempt() {
    let settings = settings();
    let Some(first) = connect(settings.clone()).await else { return };
    let mut job = first.job(
        "echo begun; sleep 3; printf 'CONNECT 127.0.0.1:443 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | \
         nc -w 10 $(echo ${https_proxy#http://} | tr ':' ' ') | head -c 12",
    );
    job.network = docent::executor::Network::Index;
    first.executor.submit(&job).await.unwrap();
    drop(first);
    let second = connect(settings.clone()).await.unwrap();
    second.executor.submit(&job).await.unwrap();
    let told = second.wait(&job).await;
    assert!(told.text().starts_with("begun\nHTTP/1.1 403\n[docent's gate refused: "), "{told:?}");
    assert_eq!(told.log, second.wait(&job).await.log, "read again, it is the same");
    second.executor.remove(&job.attempt).await.unwrap();
    nothing_left(&second, &settings.instance).await;
}

/// Indexes that the operator names, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_indexes() {
    let (ports, hosts) = cases::own_indexes();
    let mut settings = settings();
    settings.gate.hosts = hosts;
    let instance = settings.instance.clone();
    let Some(bench) = connect(settings).await else { return };
    cases::named_indexes(&bench, ports).await;
    nothing_left(&bench, &instance).await;
}

/// Where volumes cannot be read from here, a container measures them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_is_measured_through_a_container_too() {
    let Some(bench) = connect(Settings { may_read_volumes: false, ..settings() }).await else { return };
    let mut job =
        bench.job("i=0; while :; do head -c 4000000 /dev/zero >/repo/f$i; i=$((i+1)); sleep 0.5; done");
    job.limits.disk_bytes = 16 << 20;
    assert_eq!(bench.run_once(&job).await.ending, Ending::OutOfDisk);
    let job = bench.job("head -c 4000000 /dev/zero >/repo/f; sleep 7; echo fine");
    assert_eq!(bench.run_once(&job).await.text(), "fine\n");
    assert_eq!(bench.executor.list().await.unwrap(), docent::executor::Inventory::default());
}

/// With a network there are certificates and a way out; two attempts of a run do not see each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_comes_with_certificates_and_goes_with_the_run() {
    let access = docent::executor::Access::from_variables([(
        "PIP_INDEX_URL".to_owned(),
        "https://user:secret@index.example.org/simple".to_owned(),
    )])
    .with_certificates(Some(b"PEM".to_vec()));
    let Some(bench) = connect(Settings { access, ..settings() }).await else { return };
    let mut job = bench.job("cat $SSL_CERT_FILE; echo; echo $PIP_CERT $PIP_INDEX_URL; ls /sys/class/net | grep -c eth; grep -c nameserver /etc/resolv.conf");
    job.network = docent::executor::Network::Index;
    let told = bench.run(&job).await;
    assert_eq!(
        told.text(),
        "PEM\n/in/ca-certificates.crt https://index.example.org/simple\n1\n1\n",
        "{:?}",
        told.ending
    );
    bench.executor.remove(&job.attempt).await.unwrap();
    let nothing = docent::executor::Inventory::default();
    assert_eq!(bench.executor.list().await.unwrap(), nothing, "a gate is the attempt's");

    let mut job = bench.job("ls /sys/class/net | grep -c eth; env | grep -c _proxy; exit 0");
    job.network = docent::executor::Network::Egress;
    let told = bench.run(&job).await;
    assert_eq!(told.text(), "1\n0\n", "{:?}", told.ending);
    bench.executor.remove(&job.attempt).await.unwrap();
    assert_eq!(bench.executor.list().await.unwrap().runs, [job.attempt.run]);
    bench.executor.release(job.attempt.run).await.unwrap();
    assert_eq!(bench.executor.list().await.unwrap(), nothing);
}

/// A failed submission leaves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_submission_leaves_nothing() {
    let settings = settings();
    let Some(bench) = connect(settings.clone()).await else { return };
    let mut job = bench.job("exit 0");
    job.repo = bench.path("absent");
    let error = bench.executor.submit(&job).await.unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
    let mut job = bench.job("exit 0");
    job.limits.memory_bytes = 1000;
    assert!(bench.executor.submit(&job).await.is_err());
    let mut job = bench.job("exit 0");
    job.inputs.insert("../escape".into(), Vec::new());
    assert!(bench.executor.submit(&job).await.is_err());
    nothing_left(&bench, &settings.instance).await;
}

/// No engine is told in words that help.
#[tokio::test]
async fn a_dead_engine_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    for host in [format!("unix://{}", socket.display()), "unix:///nosuch/docker.sock".to_owned()] {
        let error =
            Container::connect(Settings { host: Some(host.clone()), ..settings() }).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(host.trim_start_matches("unix://")) && text.contains("DOCKER_HOST"), "{text}");
    }
}

/// More than the engine's file holds, faster than it can be read: what was written first is there all the same. A docent
/// that comes later and has only the engine's file says that something may be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_outruns_the_engine_keeps_its_beginning() {
    const BEHIND: usize = 200_000_000;
    let settings = settings();
    let Some(bench) = connect(settings.clone()).await else { return };
    let mut job = bench.job(&format!("echo first; head -c {BEHIND} /dev/zero | tr '\\0' x"));
    job.limits.log_bytes = 64 << 10;
    let kept = job.limits.log_bytes as usize;
    let left_out = "first\n".len() + BEHIND - kept;
    let told = bench.run(&job).await;
    assert_eq!(told.ending, Ending::Exited { code: 0 });
    let text = told.text();
    assert!(text.starts_with("first\nxxx"), "{:?}", &text[..50]);
    assert_eq!(text[kept..], format!("\n[docent: {left_out} bytes left out]\n"));

    // It begins with what is there already, so that stays; the rest is what the engine has.
    let told = bench.wait(&job).await;
    assert_eq!(told.ending, Ending::Exited { code: 0 });
    assert_eq!(&told.text()[..kept], &text[..kept]);
    let note = "[docent: docent was restarted here, and the engine had thrown old parts of the log away:";
    assert!(told.text()[kept..].trim_start().starts_with(note), "{:?}", &told.text()[kept..]);
    std::fs::remove_file(bench.log(&job)).unwrap();
    let told = bench.wait(&job).await;
    assert!(told.text().starts_with(note), "{:?}", &told.text()[..50]);
    bench.executor.release(job.attempt.run).await.unwrap();
    nothing_left(&bench, &settings.instance).await;
}
