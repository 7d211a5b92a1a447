//! The promises of the container executor about services, and services that mean harm.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docent::core::id::RunId;
use docent::core::service::Service;
use docent::executor::container::{Container, Settings};
use docent::executor::{
    Deployment, Ending, Executor, ExecutorError, Inventory, Job, Limits, Network, Services,
};

use crate::hostile::{Bench, LIMITS, not_run, tiny};
use crate::{hostile, left_at_the_engine};

fn settings() -> Settings {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let instance = format!("{:05x}{:03x}-services", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let grace = Duration::from_secs(1);
    Settings { grace, images: vec![tiny::TINY.into()], gate: hostile::gate(), ..Settings::new(instance) }
}

async fn connect(settings: &Settings) -> Option<Bench<Container>> {
    match Container::connect(settings.clone()).await {
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

/// A service of the tiny image that runs this script.
fn service(name: &str, script: &str) -> Service {
    Service {
        name: name.into(),
        image: tiny::TINY.into(),
        run: ["sh", "-c", script].map(str::to_owned).to_vec(),
        port: 8000,
        variables: BTreeMap::from([("GREETING".to_owned(), format!("hello from {name}"))]),
        after: vec![],
        health: vec![],
        health_seconds: 60,
        is_opt_in: false,
        limits: Limits { disk_bytes: 8 << 20, timeout_seconds: 0, log_bytes: 64 << 10, ..LIMITS },
    }
}

/// A service that greets whoever connects.
fn greeter(name: &str) -> Service {
    service(name, "echo listening; while :; do echo $GREETING | nc -l -p 8000 >/dev/null; done")
}

fn deployment(run: RunId, services: &[Service]) -> Deployment {
    Deployment { run, recipe: "mine".into(), services: services.to_vec() }
}

/// A job of the run that may use these services.
fn job(bench: &Bench<Container>, run: RunId, services: &[&str], script: &str) -> Job {
    let mut job = bench.job(script);
    job.attempt.run = run;
    job.environment_of = run;
    job.services = services.iter().map(ToString::to_string).collect();
    job
}

async fn end(bench: &Bench<Container>, settings: &Settings, run: RunId) {
    bench.executor.release(run).await.unwrap();
    assert_eq!(bench.executor.list().await.unwrap(), Inventory::default());
    assert_eq!(left_at_the_engine(&format!("docent.instance={}", settings.instance)), "");
}

const REACH: &str = "exec 2>/dev/null; for a in 169.254.169.254 10.0.0.1 1.1.1.1 172.17.0.1; do timeout 2 nc $a 80 </dev/null 2>/dev/null && echo reached $a; done; \
    timeout 4 nslookup example.org 2>/dev/null | grep -q 'Address.*[0-9]$' && echo resolved; \
    (: >/here) 2>/dev/null && echo root-is-writable; grep -E '^(CapEff|NoNewPrivs|Uid)' /proc/self/status";
const CONFINED: &str = "Uid:\t65534\t65534\t65534\t65534\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n";

/// Ports of this machine that answer, tried by each of its addresses.
fn this_machine() -> String {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let _ = std::io::Write::write_all(&mut connection.unwrap(), b"reached this machine\n");
        }
    });
    let own = docent::executor::gate::own_addresses().unwrap();
    let own: Vec<String> = own.iter().filter(|it| it.is_ipv4()).map(ToString::to_string).collect();
    // The bridge of the network itself, were there an address on it, would be its first.
    let first = "$(ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\)\\.[0-9]*\\/.*/\\1.1/p')";
    format!("for a in {} {first}; do timeout 2 nc $a {port} </dev/null 2>/dev/null; done; ", own.join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_reach_the_services_of_their_run_and_nothing_else() {
    let settings = settings();
    let Some(bench) = connect(&settings).await else { return };
    let run = hostile::new_run();
    let mut asking = service("asking", "nc db 8000; exec nc -l -p 8000");
    asking.after = vec!["db".into()];
    asking.health = ["sh", "-c", "netstat -ltn | grep -q :8000"].map(str::to_owned).to_vec();
    let deployment = deployment(run, &[greeter("db"), asking]);
    bench.executor.deploy(&deployment).await.unwrap();
    assert_eq!(bench.executor.list().await.unwrap().runs, [run]);

    let names = ["db", "asking"];
    let script = format!("nc db 8000; {}{REACH}; ls /sys/class/net | grep -v lo", this_machine());
    let told = bench.run(&job(&bench, run, &names, &script)).await;
    assert_eq!(told.text(), format!("hello from db\n{CONFINED}eth0\n"), "{:?}", told.ending);
    bench.executor.release(RunId(999_999)).await.unwrap();

    // Beside a gate, both are there.
    let script = "nc db 8000; printf 'CONNECT 127.0.0.1:443 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | \
        nc -w 10 $(echo ${https_proxy#http://} | tr ':' ' ') | head -c 12";
    let mut indexed = job(&bench, run, &names, script);
    indexed.attempt.number = 2;
    indexed.network = Network::Index;
    let told = bench.run(&indexed).await;
    assert!(told.text().starts_with("hello from db\nHTTP/1.1 403\n"), "{told:?}");

    // Without services there is no network, whatever stands beside.
    let mut apart = job(&bench, run, &[], "ls /sys/class/net | grep -v lo; grep -c db /etc/hosts; exit 0");
    apart.attempt.number = 3;
    assert_eq!(bench.run(&apart).await.text(), "0\n");

    // What is there is adopted.
    let there = || left_at_the_engine(&format!("docent.instance={}", settings.instance));
    let before = there();
    bench.executor.deploy(&deployment).await.unwrap();
    assert_eq!(there(), before);
    let log = bench.path("service.log");
    assert!(bench.executor.service_log(run, "asking", &log, 1 << 20).await.unwrap());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "hello from db\n");
    assert!(!bench.executor.service_log(run, "nobody", &log, 1 << 20).await.unwrap());
    end(&bench, &settings, run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_means_harm_is_held() {
    let settings = settings();
    let Some(bench) = connect(&settings).await else { return };
    let run = hostile::new_run();
    let listen = "while :; do nc -l -p 8000 >/dev/null; done";
    let spy = service("spy", &format!("{}{REACH}; echo looked around; {listen}", this_machine()));
    let mut flood =
        service("flood", &format!("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo the end; {listen}"));
    flood.limits.log_bytes = 4 << 10;
    let mut bomb = service(
        "bomb",
        "b() { b | b & }; (while :; do b; done 2>/dev/null) & exec httpd -f -p 8000 -h /data",
    );
    bomb.limits.processes = 32;
    let filler =
        service("filler", &format!("head -c 100000000 /dev/zero >/data/x; wc -c </data/x; {listen}"));
    bench.executor.deploy(&deployment(run, &[spy, flood, bomb, filler])).await.unwrap();
    let names = ["spy", "flood", "bomb", "filler"].map(str::to_owned);
    assert_eq!(bench.executor.fallen(run, &names).await.unwrap(), []);
    let log = bench.path("service.log");
    let read = async |name: &str, most| {
        assert!(bench.executor.service_log(run, name, &log, most).await.unwrap());
        std::fs::read_to_string(&log).unwrap()
    };
    assert_eq!(read("spy", 1 << 20).await, format!("{CONFINED}looked around\n"));
    let text = read("flood", 4 << 10).await;
    assert!(text.starts_with("[docent: ") && text.ends_with("\nthe end\n"), "{:?}", &text[..60]);
    assert!(text.len() < (4 << 10) + 100, "{}", text.len());
    let text = read("filler", 1 << 20).await;
    assert!(text.ends_with(&format!("{}\n", 8 << 20)), "{text:?}");
    end(&bench, &settings, run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_does_not_come_up_is_named_and_nothing_is_left() {
    let settings = settings();
    let Some(bench) = connect(&settings).await else { return };
    let mut deaf = service("deaf", "echo one; echo warming up; exec sleep 600");
    deaf.health_seconds = 2;
    let ill = Service { health: vec!["false".into()], ..deaf.clone() };
    let unasked = Service { health: vec!["/no/such/program".into()], ..deaf.clone() };
    let hanging = Service { health: ["sleep", "600"].map(str::to_owned).to_vec(), ..deaf.clone() };
    let absent = Service { image: "docent-test/absent:1".into(), ..service("absent", "true") };
    let lost = Service { run: vec!["/no/such/program".into()], ..service("lost", "") };
    let greedy = service("greedy", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}");
    let slow = "the service deaf was not healthy within 2 s: one / warming up";
    for (service, wanted) in [
        (deaf, slow),
        (ill, slow),
        (unasked, slow),
        (hanging, slow),
        (
            service("brief", "echo no space; exit 3"),
            "the service brief ended with code 3 before it was healthy: no space",
        ),
        (lost, "the service lost did not begin: "),
        (greedy, "the service greedy was killed at its memory limit before it was healthy: it wrote nothing"),
        (absent, "the image docent-test/absent:1 is missing: make it with `docent recipe build mine`"),
    ] {
        let run = hostile::new_run();
        let error = bench.executor.deploy(&deployment(run, &[greeter("db"), service])).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(wanted), "{text}\n{wanted}");
        assert!(!matches!(error, ExecutorError::Unreachable(_)), "{error:?}");
        assert_eq!(left_at_the_engine(&format!("docent.instance={}", settings.instance)), "", "{wanted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_ends_a_deploy_and_leaves_nothing() {
    let settings = settings();
    let Some(bench) = connect(&settings).await else { return };
    let run = hostile::new_run();
    let services = [greeter("db"), service("deaf", "exec sleep 600")];
    let deployment = deployment(run, &services);
    let deploying = bench.executor.deploy(&deployment);
    let releasing = async {
        hostile::until("the second service", || {
            let label = format!("label=docent.instance={}", settings.instance);
            let words = ["ps", "--format", "{{.Names}}", "--filter", &label];
            let output = std::process::Command::new("docker").args(words).output().unwrap();
            String::from_utf8_lossy(&output.stdout).contains(".service.deaf")
        })
        .await;
        bench.executor.release(run).await
    };
    let (deployed, released) = tokio::join!(deploying, releasing);
    released.unwrap();
    assert!(deployed.unwrap_err().to_string().contains("was released"));
    end(&bench, &settings, run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_falls_is_told_and_one_that_is_gone() {
    let settings = settings();
    let Some(bench) = connect(&settings).await else { return };
    let run = hostile::new_run();
    let brief = service("brief", "nc -l -p 8000; nc -l -p 8000 >/dev/null; exit 4");
    let greedy = service(
        "greedy",
        "nc -l -p 8000; nc -l -p 8000 >/dev/null; x=$(head -c 200000000 /dev/zero | tr '\\0' x)",
    );
    bench.executor.deploy(&deployment(run, &[greeter("db"), brief, greedy])).await.unwrap();
    let names = ["db", "brief", "greedy", "nobody"].map(str::to_owned);
    let all = ["db", "brief", "greedy"];
    let told = bench
        .run(&job(&bench, run, &all, "for s in brief greedy; do echo x | nc $s 8000; done; sleep 3"))
        .await;
    assert_eq!(told.ending, Ending::Exited { code: 0 });
    let fallen = bench.executor.fallen(run, &names).await.unwrap();
    let words: Vec<String> = fallen.iter().map(docent::executor::Fallen::words).collect();
    assert_eq!(
        words,
        [
            "the service brief ended with code 4",
            "the service greedy was killed at its memory limit",
            "the service nobody is gone"
        ]
    );
    end(&bench, &settings, run).await;
}
