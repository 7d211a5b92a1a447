//! Trying limits out: small attempts that run into them, the same for every executor. Asking an engine what it
//! supports is not enough: some say yes and bind nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::core::id::{AttemptId, RunId};

use super::gate::{self, Policy};
use super::{Binding, Ending, Environment, Executor, ExecutorError, Job, Limits, Network, io_error};

/// The run that trials belong to: no other has this number. What is left of one is removed before the next.
pub const RUN: RunId = RunId(0);

const SMALL: Limits = Limits {
    memory_bytes: 64 << 20,
    cpus: 1.0,
    processes: 64,
    disk_bytes: 64 << 20,
    log_bytes: 64 << 10,
    timeout_seconds: 20,
};

const IDENTITY: &str = "while read line; do case $line in Uid:*|CapEff:*|NoNewPrivs:*) echo $line;; esac; done \
    </proc/self/status; (: >/docent-probe) 2>/dev/null && echo root-is-writable; \
    (: >/in/docent-probe) 2>/dev/null && echo in-is-writable; \
    while read name rest; do case $name in lo:*|Inter*|face*) ;; *:*) echo interface $name;; esac; done </proc/net/dev";
const MEMORY: &str = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}";
const PROCESSES: &str = "i=0; while [ $i -lt 60 ]; do sleep 3 & i=$((i+1)); done; exit 0";
const CPU: &str = "read from rest </proc/uptime; from=${from%.*}; to=$((from+2)); while [ ${from%.*} -lt $to ]; do \
    read from rest </proc/uptime; done; read line </proc/$$/stat; set -- ${line##*)}; echo $((${12}+${13}))";

/// What was found out, by the name of the limit.
pub async fn try_out<E: Executor>(
    executor: &E,
    image: &str,
) -> Result<BTreeMap<String, Binding>, ExecutorError> {
    let mut limits = BTreeMap::new();
    let mut found = |name: &str, binding: Binding| limits.insert(name.to_owned(), binding);

    let shell = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
    let run = async |number, script: &str, limits| {
        run(executor, image, number, shell(script), Network::None, limits).await
    };
    let (ending, text) = run(1, IDENTITY, SMALL).await?;
    let says = |words: &str| text.lines().any(|line| line == words);
    let shown = format!("{ending:?}; {}", text.lines().collect::<Vec<_>>().join("; "));
    let began = matches!(ending, Ending::Exited { .. }) && text.contains("CapEff:");
    let bind = |is_bound: bool, by: &str| {
        if is_bound { bound(by) } else { unbound(format!("a trial shows: {shown}")) }
    };
    found("capabilities", bind(says("CapEff: 0000000000000000"), "none are left (tried)"));
    found("privileges", bind(says("NoNewPrivs: 1"), "no new privileges (tried)"));
    found("user", bind(says("Uid: 65534 65534 65534 65534"), "runs as 65534 (tried)"));
    found("root", bind(began && !says("root-is-writable") && !says("in-is-writable"), "read-only (tried)"));
    found("network-none", bind(began && !text.contains("interface"), "an empty network namespace (tried)"));

    let limits_here = Limits { memory_bytes: 32 << 20, ..SMALL };
    let (ending, _) = run(2, MEMORY, limits_here).await?;
    found(
        "memory",
        match ending {
            Ending::OutOfMemory => bound("control group (tried)"),
            Ending::Exited { code: 137 } => {
                bound("control group (tried); the engine does not tell it from other kills")
            }
            other => unbound(format!("a program that takes more than its limit ended with {other:?}")),
        },
    );

    let (ending, _) = run(3, PROCESSES, Limits { processes: 24, ..SMALL }).await?;
    found(
        "processes",
        match ending {
            Ending::Exited { code: 0 } => {
                unbound("60 processes could be started under a limit of 24".to_owned())
            }
            _ => bound("fork fails beyond the limit (tried)"),
        },
    );

    let (ending, text) = run(4, CPU, Limits { cpus: 0.2, ..SMALL }).await?;
    found(
        "cpus",
        match text.trim().parse::<u32>() {
            // Two to three seconds of wall time: 300 ticks without a limit, 60 with it.
            Ok(ticks) if ticks < 120 => bound("control group (tried)"),
            Ok(ticks) => unbound(format!(
                "under a fifth of a core, {ticks} hundredths of a second were used in two seconds"
            )),
            Err(_) => unbound(format!("the trial did not tell: {ending:?} {text:?}")),
        },
    );
    Ok(limits)
}

/// Whether an attempt with `network = "index"` reaches the gate and nothing else. `program` starts docent's own program
/// within it, which tries: this machine by its addresses, with something that listens there, the metadata of clouds, and
/// the name servers of this machine.
pub async fn try_index<E: Executor>(
    executor: &E,
    image: &str,
    program: Vec<String>,
    policy: &Policy,
) -> Result<Binding, ExecutorError> {
    let cannot = |error| io_error("listening for a trial", error);
    let listener =
        std::net::TcpListener::bind("[::]:0").or_else(|_| std::net::TcpListener::bind("0.0.0.0:0"));
    let port = listener.as_ref().map_err(std::io::Error::kind).map(std::net::TcpListener::local_addr);
    let port = port.map_err(|kind| cannot(kind.into()))?.map_err(cannot)?.port();
    let servers = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = servers.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok());
    let own =
        gate::own_addresses().map_err(|error| io_error("listing the addresses of this machine", error))?;
    let own = own.into_iter().map(|address| SocketAddr::new(address, port));
    let places = own
        .chain(servers.map(|server: IpAddr| SocketAddr::new(server, 53)))
        .chain([SocketAddr::from(([169, 254, 169, 254], 80))]);
    let mut command = program;
    command.extend(["gate", "try"].map(str::to_owned));
    command.push(port.to_string());
    command.extend(places.map(|place| place.to_string()));
    let limits = Limits { memory_bytes: 512 << 20, ..SMALL };
    let (ending, text) = run(executor, image, 5, command, Network::Index, limits).await?;
    drop(listener);
    let is_bound =
        ending == Ending::Exited { code: 0 } && text.lines().any(|line| line == "the gate answers");
    Ok(if is_bound && !text.contains("reached") {
        bound(&format!("a gate beside the attempt lets pass {} (tried)", policy.words()))
    } else {
        unbound(format!("a trial shows: {ending:?}; {}", text.lines().collect::<Vec<_>>().join("; ")))
    })
}

/// What docent enforces itself, wherever it runs.
pub fn own(disk: &str) -> BTreeMap<String, Binding> {
    BTreeMap::from([
        ("time".to_owned(), bound("docent's timer: TERM, a grace, KILL")),
        ("log".to_owned(), bound("docent stops storing at the limit and counts the rest")),
        ("disk".to_owned(), bound(disk)),
    ])
}

/// What is said where there is nothing to try with.
pub fn untried() -> BTreeMap<String, Binding> {
    let why = "not tried: no image of a recipe is here yet; make one with `docent recipe build NAME`";
    ["capabilities", "privileges", "user", "root", "network-none", "memory", "processes", "cpus"]
        .map(|name| (name.to_owned(), unbound(why.to_owned())))
        .into()
}

/// It binds, by this.
pub fn bound(by: &str) -> Binding {
    Binding::Bound { by: by.to_owned() }
}

/// It does not, for this reason.
pub fn unbound(why: String) -> Binding {
    Binding::Unbound { why }
}

async fn run<E: Executor>(
    executor: &E,
    image: &str,
    number: u32,
    command: Vec<String>,
    network: Network,
    limits: Limits,
) -> Result<(Ending, String), ExecutorError> {
    let scratch = tempfile::tempdir().map_err(|error| io_error("making a scratch directory", error))?;
    // The process id keeps a doctor's trial apart from a daemon's.
    let tier = format!("probe-{}", std::process::id());
    let attempt = AttemptId { run: RUN, tier, number };
    let job = Job {
        environment_of: attempt.run,
        attempt: attempt.clone(),
        image: image.to_owned(),
        command,
        variables: BTreeMap::new(),
        repo: scratch.path().join("repo"),
        recipe: scratch.path().join("recipe"),
        inputs: BTreeMap::new(),
        environment: Environment::None,
        network,
        services: Vec::new(),
        limits,
    };
    for directory in [&job.repo, &job.recipe] {
        std::fs::create_dir(directory).map_err(|error| io_error("making a scratch directory", error))?;
    }
    let log = scratch.path().join("log");
    let ending = match executor.submit(&job).await {
        Ok(()) => executor.wait(&attempt, &limits, &log).await,
        Err(error) => Err(error),
    };
    let removed = executor.remove(&attempt).await;
    let ending = ending?;
    removed?;
    let text = std::fs::read(&log).map_err(|error| io_error("reading the log of a trial", error))?;
    let text = String::from_utf8_lossy(&text);
    // `Uid:` and its values are separated by tabs, or by spaces after an `echo`: one form for both.
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok((ending, lines.collect::<Vec<_>>().join("\n")))
}
