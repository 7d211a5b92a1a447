//! The table: each case is one promise of the trait, broken on purpose by what runs.

use std::time::Duration;

use docent::executor::{Ending, Environment, Executor, ExecutorError, Limits, Observation};

#[allow(unused_imports, reason = "not every test binary runs attempts")]
pub use super::networks::{index_job, named_indexes, no_network, only_the_gate, own_indexes};
use super::{Bench, LIMITS, files, new_run, processes, until};

#[expect(non_snake_case, reason = "reads as the ending that it makes")]
pub fn EXITED(code: i32) -> Ending {
    Ending::Exited { code }
}

/// Codes, streams and the last line.
pub async fn endings<E: Executor>(bench: &Bench<E>) {
    for (script, ending, log) in [
        ("exit 0", EXITED(0), ""),
        ("exit 77", EXITED(77), ""),
        // Two streams are two pipes: who wants an order between them must leave time between them.
        (
            "echo out; sleep 0.5; echo err >&2; sleep 0.5; echo out again; printf 'no newline'; exit 3",
            EXITED(3),
            "out\nerr\nout again\nno newline",
        ),
        ("kill -9 $$", EXITED(137), ""),
        ("nosuchprogram 2>/dev/null; exit 127", EXITED(127), ""),
        ("sleep 1; printf late", EXITED(0), "late"),
    ] {
        let told = bench.run_once(&bench.job(script)).await;
        assert_eq!((told.ending, String::from_utf8(told.log).unwrap().as_str()), (ending, log), "{script}");
    }
    let told = bench.run_once(&bench.job(r"printf 'caf\351\n\377'")).await;
    assert_eq!(told.ending, EXITED(0));
    assert!(told.text().starts_with("caf"), "{:?}", told.text());
}

/// What never began is no failure of the author's.
pub async fn never_began<E: Executor>(bench: &Bench<E>) {
    for command in [&["nosuchprogram"][..], &["/etc/passwd"], &["/nosuch/program", "x"]] {
        let told = bench.run_once(&bench.command(command)).await;
        assert!(matches!(told.ending, Ending::NotStarted { .. }), "{command:?}: {told:?}");
    }
    let mut job = bench.job("exit 0");
    job.image = "docent-test/absent:9".into();
    let refused = bench.executor.submit(&job).await.unwrap_err();
    assert!(matches!(refused, ExecutorError::MissingImage { .. }), "{refused}");
    assert!(refused.to_string().contains("docent recipe build absent"), "{refused}");
    job.command.clear();
    assert!(bench.executor.submit(&job).await.is_err());
    assert_eq!(bench.executor.observe(&job.attempt).await.unwrap(), Observation::Unknown);
}

/// Order is kept, the cap holds, and who reads again reads the same.
pub async fn logs<E: Executor>(bench: &Bench<E>) {
    let job = bench.job("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; printf end");
    let told = bench.run(&job).await;
    let expected: String = (0..5000).map(|n| format!("line {n}\n")).chain(["end".to_owned()]).collect();
    assert_eq!(told.text(), expected);
    assert_eq!(bench.wait(&job).await.text(), expected);
    bench.executor.release(job.attempt.run).await.unwrap();

    let job = bench.job("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last");
    let told = bench.run_once(&job).await;
    assert_eq!(told.ending, EXITED(0));
    let text = told.text();
    let (kept, note) = text.split_once('\n').unwrap();
    assert_eq!(kept.len() as u64, LIMITS.log_bytes);
    let left_out = 5_000_006 - LIMITS.log_bytes;
    assert_eq!(note, format!("[docent: {left_out} bytes left out]\n"));
}

/// What was written is there to be read before the end.
pub async fn live_log<E: Executor>(bench: &Bench<E>) {
    let job = bench.job("echo first; while [ ! -e /tmp/never ]; do sleep 1; done");
    bench.executor.submit(&job).await.unwrap();
    tokio::join!(bench.wait(&job), async {
        bench.until_log(&job, "first\n").await;
        assert_eq!(bench.executor.observe(&job.attempt).await.unwrap(), Observation::Running);
        bench.executor.cancel(&job.attempt).await.unwrap();
    });
    bench.executor.release(job.attempt.run).await.unwrap();
}

/// Time: also for who does not hear TERM. Nothing runs on.
pub async fn time<E: Executor>(bench: &Bench<E>) {
    let limits = Limits { timeout_seconds: 2, ..LIMITS };
    for script in [
        "sleep MARK",
        "trap '' TERM; echo deaf; while :; do sleep MARK; done",
        "trap 'echo heard; exit 0' TERM; sleep MARK & wait; sleep MARK",
        "setsid sh -c 'trap \"\" TERM; while :; do sleep MARK; done' & (sleep MARK &); while :; do sleep 1; done",
    ] {
        let job = docent::executor::Job { limits, ..bench.job(script) };
        let told = bench.run_once(&job).await;
        assert_eq!(told.ending, Ending::TimedOut, "{script}");
        assert_eq!(told.text().contains("heard"), script.contains("heard"), "{script}");
        assert_eq!(processes(&bench.mark), Vec::<String>::new(), "{script}");
    }
}

/// The program ends; what it left running ends too.
pub async fn orphans<E: Executor>(bench: &Bench<E>) {
    let job = bench.job("setsid sleep MARK & (sleep MARK & ) ; nohup sleep MARK >/dev/null 2>&1 & exit 5");
    assert_eq!(bench.run(&job).await.ending, EXITED(5));
    assert_eq!(processes(&bench.mark), Vec::<String>::new());
    bench.executor.release(job.attempt.run).await.unwrap();
}

/// Processes, memory and disk run out for the attempt, and for nobody else.
pub async fn greed<E: Executor>(bench: &Bench<E>) {
    let bomb = "i=0; while [ $i -lt 300 ]; do sleep MARK & i=$((i+1)); done; echo all; exit 0";
    let told = bench.run_once(&bench.job(bomb)).await;
    assert!(!told.text().contains("all"), "300 processes under a limit of 64: {told:?}");
    assert_eq!(processes(&bench.mark), Vec::<String>::new());
    let limits = Limits { timeout_seconds: 4, ..LIMITS };
    let bomb = docent::executor::Job { limits, ..bench.job("b() { b | b & }; b; b; sleep MARK; exit 0") };
    let told = bench.run_once(&bomb).await;
    assert_ne!(told.ending, EXITED(0), "{}", told.text());
    assert_eq!(processes(&bench.mark), Vec::<String>::new());

    let told = bench.run_once(&bench.job("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}")).await;
    assert_eq!(told.ending, Ending::OutOfMemory, "{}", told.text());
    let told = bench
        .run_once(
            &bench.job("sh -c 'x=$(head -c 200000000 /dev/zero | tr \"\\0\" x)'; echo child $?; exit 4"),
        )
        .await;
    assert_eq!(told.ending, EXITED(4), "only a child died: {}", told.text());
    let told = bench.run_once(&bench.job("head -c 200000000 /dev/zero >/tmp/x || exit 9")).await;
    assert_eq!(told.ending, EXITED(9), "/tmp has a size: {}", told.text());
    let told = bench
        .run_once(&bench.job("mkdir /dev/shm/x; head -c 200000000 /dev/zero >/dev/shm/x/y; echo $?; exit 9"))
        .await;
    assert!(matches!(told.ending, Ending::Exited { code: 9 } | Ending::OutOfMemory), "{told:?}");
}

/// The same where no control group can be made: limits of each process and of its user hold, though nobody can tell memory that
/// ran out from another failure.
pub async fn greed_without_a_group<E: Executor>(bench: &Bench<E>) {
    let limits = Limits { timeout_seconds: 8, ..LIMITS };
    for bomb in [
        "i=0; while [ $i -lt 300 ]; do sleep MARK & i=$((i+1)); done; echo all; exit 0",
        "b() { b | b & }; b; b; sleep MARK; echo all; exit 0",
    ] {
        let told = bench.run_once(&docent::executor::Job { limits, ..bench.job(bomb) }).await;
        assert!(told.ending != EXITED(0) && !told.text().contains("all"), "{bomb}: {told:?}");
        assert_eq!(processes(&bench.mark), Vec::<String>::new(), "{bomb}");
    }
    let hog = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo all ${#x}";
    let told = bench.run_once(&bench.job(hog)).await;
    assert!(told.ending != EXITED(0) && !told.text().contains("all"), "{told:?}");
}

/// Disk: in many files, in one, in none that has a size.
pub async fn disk<E: Executor>(bench: &Bench<E>) {
    let limits = Limits { disk_bytes: 16 << 20, ..LIMITS };
    for script in [
        "i=0; while :; do head -c 4000000 /dev/zero >/repo/f$i; i=$((i+1)); sleep 0.1; done",
        "i=0; while :; do head -c 4000000 /dev/zero >>/out/f$i; i=$((i+1)); sleep 0.1; done",
        "d=/out; while :; do i=0; d=$d/dddddddddddddddddddddddddddddddd; mkdir $d || exit 3; \
         while [ $i -lt 2000 ]; do : >$d/$i; i=$((i+1)); done; done",
    ] {
        let job = docent::executor::Job { limits, ..bench.job(script) };
        let told = bench.run_once(&job).await;
        assert_eq!(told.ending, Ending::OutOfDisk, "{script}: {}", told.text());
    }
    let job = docent::executor::Job {
        limits,
        ..bench.job("trap '' XFSZ; head -c 40000000 /dev/zero >/repo/one; echo $(($(wc -c </repo/one)))")
    };
    let told = bench.run_once(&job).await;
    assert_eq!(told.text().lines().last(), Some("16777216"), "{told:?}");
}

/// Cancelled is cancelled, for who hears and who does not; what has ended stays as it ended.
pub async fn cancel<E: Executor>(bench: &Bench<E>) {
    for script in ["sleep MARK", "trap '' TERM; echo deaf; while :; do sleep MARK; done"] {
        let job = bench.job(script);
        bench.executor.submit(&job).await.unwrap();
        let (told, ()) = tokio::join!(bench.wait(&job), async {
            until("the program", || !processes(&bench.mark).is_empty()).await;
            bench.executor.cancel(&job.attempt).await.unwrap();
            assert_eq!(processes(&bench.mark), Vec::<String>::new(), "{script}");
            bench.executor.cancel(&job.attempt).await.unwrap();
        });
        assert_eq!(told.ending, Ending::Cancelled, "{script}");
        assert_eq!(
            bench.executor.observe(&job.attempt).await.unwrap(),
            Observation::Ended(Ending::Cancelled)
        );
        bench.executor.release(job.attempt.run).await.unwrap();
    }
    let job = bench.job("exit 6");
    assert_eq!(bench.run(&job).await.ending, EXITED(6));
    bench.executor.cancel(&job.attempt).await.unwrap();
    assert_eq!(bench.executor.observe(&job.attempt).await.unwrap(), Observation::Ended(EXITED(6)));
    bench.executor.release(job.attempt.run).await.unwrap();
    bench.executor.cancel(&job.attempt).await.unwrap();
}

/// Submitting again adopts, running or ended, and starts nothing.
pub async fn adoption<E: Executor>(bench: &Bench<E>) {
    let job = bench.job("echo once; echo x >>/out/runs; while [ ! -e /tmp/never ]; do sleep 1; done");
    bench.executor.submit(&job).await.unwrap();
    bench.executor.submit(&job).await.unwrap();
    tokio::join!(bench.wait(&job), async {
        bench.until_log(&job, "once\n").await;
        bench.executor.cancel(&job.attempt).await.unwrap();
    });
    bench.executor.submit(&job).await.unwrap();
    let told = bench.wait(&job).await;
    assert_eq!((told.ending.clone(), told.text().as_str()), (Ending::Cancelled, "once\n"));
    let into = bench.path("adopted");
    bench.executor.collect(&job.attempt, &into, 1000).await.unwrap();
    assert_eq!(std::fs::read_to_string(into.join("runs")).unwrap(), "x\n");
    bench.executor.remove(&job.attempt).await.unwrap();
    assert_eq!(bench.executor.observe(&job.attempt).await.unwrap(), Observation::Unknown);
    // Removed is forgotten: the same name may begin again.
    let again =
        docent::executor::Job { command: ["sh", "-c", "echo anew"].map(str::to_owned).to_vec(), ..job };
    assert_eq!(bench.run_once(&again).await.text(), "anew\n");
}

/// Only honest files come out.
pub async fn collect<E: Executor>(bench: &Bench<E>) {
    let job = bench.job(
        "mkdir -p /out/artifacts/a; echo report >/out/junit.xml; echo deep >/out/artifacts/a/b; cd /out; \
         ln -s /etc/passwd link; ln -s / root; mkfifo fifo; ln junit.xml hard; \
         head -c 3000000 /dev/zero >large; truncate -s 30000000 sparse; mkdir -m 000 closed; chmod 000 junit.xml; \
         echo odd >\"$(printf 'new\\nline')\"; exit 0",
    );
    assert_eq!(bench.run(&job).await.ending, EXITED(0));
    let into = bench.path("collected");
    std::fs::create_dir(&into).unwrap();
    std::fs::write(into.join("old"), "from before").unwrap();
    bench.executor.collect(&job.attempt, &into, 1_000_000).await.unwrap();
    let there = files(&into);
    for name in ["artifacts/a/b", "docent-left-out.txt", "junit.xml"] {
        assert!(
            there.iter().any(|it| it == name) || there.contains(&"hard".to_owned()),
            "{name} of {there:?}"
        );
    }
    for name in ["link", "root", "fifo", "large", "sparse", "old"] {
        assert!(!there.iter().any(|it| it == name), "{name} of {there:?}");
    }
    assert!(std::fs::symlink_metadata(into.join("root")).is_err());
    let told = std::fs::read_to_string(into.join("docent-left-out.txt")).unwrap();
    assert!(told.contains("link") && told.contains("large"), "{told}");
    assert!(bench.executor.collect(&job.attempt, &into, 0).await.is_ok());
    bench.executor.release(job.attempt.run).await.unwrap();
    assert!(bench.executor.collect(&job.attempt, &into, 0).await.is_err());
}

/// What may be written, what not, and who one is.
pub async fn confinement<E: Executor>(bench: &Bench<E>) {
    let told = bench
        .run_once(&bench.job(
            "for d in / /etc /usr /bin /recipe /in /proc /sys /dev /opt /root /var /run; do \
               (: >$d/x) 2>/dev/null && echo writable $d; done; \
             (echo x >/in/plan.json) 2>/dev/null && echo writable plan; \
             (echo x >/recipe/here) 2>/dev/null && echo writable recipe; \
             for d in /repo /out /tmp /dev/shm; do (: >$d/x) || echo closed $d; done; \
             cp /bin/busybox /tmp/true && /tmp/true true || echo noexec; \
             cat /in/plan.json /repo/here /recipe/here; echo; [ -L /repo/link ] || echo no link; \
             [ -e /repo/fifo ] && echo fifo; [ -e /env ] && (: >/env/x) 2>/dev/null && echo writable /env; \
             mount -t tmpfs none /tmp 2>/dev/null && echo mounted; \
             unshare -U true 2>/dev/null && echo user namespace; \
             echo x | tee /proc/sys/kernel/core_pattern >/dev/null 2>&1 && echo core pattern; \
             (mknod /tmp/d b 8 0) 2>/dev/null && echo device; \
             awk '$2 ~ \"^/(recipe|in)?$\" && $4 !~ \"^ro,\" {print \"mounted writable\", $2}' /proc/mounts; ulimit -c",
        ))
        .await;
    assert_eq!(told.text(), "{\"a\": 1}reporecipe\n0\n", "{:?}", told.ending);

    let told = bench
        .run_once(&bench.job("grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status; pwd; hostname"))
        .await;
    let lines: Vec<String> =
        told.text().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let ids = "65534 65534 65534 65534";
    for line in [
        format!("Uid: {ids}"),
        format!("Gid: {ids}"),
        "NoNewPrivs: 1".into(),
        "/repo".into(),
        "docent".into(),
    ] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(lines.contains(&format!("{set}: 0000000000000000")), "{set}: {lines:?}");
    }
    let groups = lines.iter().find(|line| line.starts_with("Groups:")).unwrap();
    assert!(["Groups:", "Groups: 65534"].contains(&groups.as_str()), "{groups}");
}

/// Seen from this machine it is nobody as well: a breakout would not be root.
pub async fn identity_outside<E: Executor>(bench: &Bench<E>) {
    let job = bench.job("sleep MARK");
    bench.executor.submit(&job).await.unwrap();
    until("the program", || processes(&bench.mark).iter().any(|line| line.starts_with("sleep"))).await;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if line.replace('\0', " ").trim() == format!("sleep {}", bench.mark) {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap();
            for name in ["Uid:", "Gid:"] {
                let ids = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                assert!(ids.split_whitespace().all(|id| id != "0"), "{name} {ids}");
            }
        }
    }
    bench.executor.release(job.attempt.run).await.unwrap();
    assert_eq!(processes(&bench.mark), Vec::<String>::new(), "released while it ran");
}

/// There is nothing to steal: no variable, no file, no socket, no process of this machine.
pub async fn secrets<E: Executor>(bench: &Bench<E>) {
    let told = bench.run_once(&bench.job("env | sort")).await;
    let names: Vec<String> =
        told.text().lines().filter_map(|it| Some(it.split_once('=')?.0.to_owned())).collect();
    let known = [
        "DOCENT_OUT",
        "DOCENT_TIER",
        "HOME",
        "HOSTNAME",
        "LANG",
        "PATH",
        "PWD",
        "SHLVL",
        "TERM",
        "container",
    ];
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
    let value = |line: &str| told.text().lines().any(|it| it == line);
    assert!(value("HOME=/tmp") && value("DOCENT_OUT=/out") && value("DOCENT_TIER=tier"), "{}", told.text());

    // The variables of this process stand for docent's: the value of one of them must be nowhere. It is written
    // backwards, so that the search does not find itself.
    let value: String = std::env::var("CARGO_MANIFEST_DIR").unwrap().chars().rev().collect();
    let told = bench
        .run_once(&bench.job(&format!(
            "v=$(echo {value} | rev); for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/cwd/*; do \
               (tr '\\0' '\\n' <$f) 2>/dev/null | while read -r line; do case $line in *\"$v\"*) echo leak $f;; esac; done; done; \
             find / -xdev -type s 2>/dev/null; find / -name '*.sock' -not -path '/proc/*' -not -path '/sys/*' 2>/dev/null; \
             ls /var/run/docker.sock /run/docker.sock /run/podman /etc/shadow /root/.ssh /home 2>/dev/null; \
             grep -l . /proc/1/root/etc/shadow 2>/dev/null; cat /repo/link 2>/dev/null; \
             n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; [ $n -lt 16 ] || echo $n processes; exit 0"
        )))
        .await;
    assert_eq!((told.text().as_str(), told.ending), ("", Ending::Exited { code: 0 }));
}

/// The environment stays with the run, and is what the attempt was promised.
pub async fn environment<E: Executor>(bench: &Bench<E>) {
    let run = new_run();
    let mut job = bench.job("echo built >/env/marker; mkdir /env/bin; echo ok");
    (job.attempt.run, job.environment_of) = (run, run);
    job.environment = Environment::Write;
    assert_eq!(bench.run(&job).await.text(), "ok\n");
    bench.executor.remove(&job.attempt).await.unwrap();

    for (number, environment, expected) in [
        (2, Environment::Read, "built\nread-only\n"),
        (3, Environment::Write, "built\n"),
        (4, Environment::None, ""),
    ] {
        let mut job = bench.job("cat /env/marker 2>/dev/null; [ -d /env/bin ] && { (: >/env/x) 2>/dev/null || echo read-only; }; exit 0");
        (job.attempt.run, job.environment_of) = (run, run);
        job.attempt.number = number;
        job.environment = environment;
        assert_eq!(bench.run(&job).await.text(), expected, "{environment:?}");
        bench.executor.remove(&job.attempt).await.unwrap();
    }
    bench.executor.release(run).await.unwrap();
    let list = bench.executor.list().await.unwrap();
    assert_eq!(
        (list.runs.contains(&run), list.environments.contains(&run)),
        (false, true),
        "it outlives its run"
    );

    // A later run reads what this one has built, and cannot change it.
    let mut job = bench.job("cat /env/marker; (: >/env/x) 2>/dev/null || echo read-only");
    (job.environment, job.environment_of) = (Environment::Read, run);
    assert_eq!(bench.run_once(&job).await.text(), "built\nread-only\n");
    bench.executor.drop_environment(run).await.unwrap();
    bench.executor.drop_environment(run).await.unwrap();
    assert!(!bench.executor.list().await.unwrap().environments.contains(&run));

    // One that is gone is not taken for an empty one.
    let mut job = bench.job("echo ran without its environment");
    (job.environment, job.environment_of) = (Environment::Read, run);
    let refused = bench.executor.submit(&job).await.unwrap_err().to_string();
    assert!(refused.contains("is gone"), "{refused}");

    let mut job = bench.job("[ ! -e /env/marker ] && echo fresh");
    job.environment = Environment::Read;
    assert_eq!(bench.run_once(&job).await.text(), "fresh\n");
    bench.executor.drop_environment(job.environment_of).await.unwrap();
}

/// Eight at once end as they should, each with its own files.
pub async fn crowd<E: Executor>(bench: &Bench<E>) {
    let run = new_run();
    let jobs: Vec<_> = (1..=8)
        .map(|number| {
            let mut job = bench.job(&format!("echo {number} >/out/n; sleep 1; cat /out/n; exit {number}"));
            (job.attempt.run, job.environment_of) = (run, run);
            job.attempt.number = number;
            job.environment = Environment::Read;
            job
        })
        .collect();
    let told = futures_util::future::join_all(jobs.iter().map(|job| bench.run(job))).await;
    for (job, told) in jobs.iter().zip(told) {
        let number = job.attempt.number;
        assert_eq!((told.ending.clone(), told.text()), (EXITED(number as i32), format!("{number}\n")));
    }
    let list = bench.executor.list().await.unwrap();
    assert_eq!(list.attempts.iter().filter(|attempt| attempt.run == run).count(), 8);
    bench.executor.release(run).await.unwrap();
    let list = bench.executor.list().await.unwrap();
    assert!(!list.runs.contains(&run) && !list.attempts.iter().any(|attempt| attempt.run == run));
    bench.executor.release(run).await.unwrap();
    bench.executor.drop_environment(run).await.unwrap();
}

/// Every limit is said to bind, by trial.
pub async fn probe<E: Executor>(bench: &Bench<E>, unbound: &[&str]) {
    let probe =
        tokio::time::timeout(Duration::from_secs(120), bench.executor.probe()).await.unwrap().unwrap();
    let loose: Vec<&String> = probe
        .limits
        .iter()
        .filter(|(_, binding)| matches!(binding, docent::executor::Binding::Unbound { .. }))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(loose, unbound, "{probe:#?}");
    for name in ["memory", "cpus", "processes", "disk", "time", "log", "capabilities", "root", "network-none"]
    {
        assert!(probe.limits.contains_key(name), "{name}");
    }
    assert!(bench.executor.list().await.unwrap().attempts.iter().all(|it| !it.tier.starts_with("probe")));
}
