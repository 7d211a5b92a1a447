//! The scripted executor keeps the same promises, as far as it can: tests that stand on it stand on the contract.

mod hostile;

use docent::executor::any::AnyExecutor;
use docent::executor::scripted::{Part, Scripted};
use docent::executor::{Ending, Environment, Executor, ExecutorError, Inventory, Observation};

use hostile::Bench;

fn bench() -> (Scripted, Bench<AnyExecutor>) {
    let scripted = Scripted::new();
    (scripted.clone(), Bench::new(AnyExecutor::Scripted(scripted)))
}

#[tokio::test]
async fn attempts_end_as_the_table_says() {
    let (scripted, bench) = bench();
    scripted.script(
        "tier",
        Part::exits(3).writing("hello").leaving("junit.xml", "<x/>").leaving("../escape", "bad"),
    );
    scripted.script("tier-2", Part::ends(Ending::OutOfMemory));
    let mut job = bench.job("");
    let told = bench.run(&job).await;
    assert_eq!((told.ending.clone(), told.text().as_str()), (Ending::Exited { code: 3 }, "hello"));
    let into = bench.path("into");
    bench.executor.collect(&job.attempt, &into, 100).await.unwrap();
    assert_eq!(hostile::files(&into), ["docent-left-out.txt", "junit.xml"]);
    assert!(!bench.path("escape").exists());
    job.attempt.number = 2;
    assert_eq!(bench.run(&job).await.ending, Ending::OutOfMemory);
    job.attempt.tier = "other".into();
    assert_eq!(bench.run(&job).await.ending, Ending::Exited { code: 0 });
    assert_eq!(scripted.submissions().len(), 3);
}

#[tokio::test]
async fn held_attempts_run_until_let_end_or_cancelled() {
    let (scripted, bench) = bench();
    scripted.otherwise(Part::exits(0).held());
    let (one, two) = (bench.job(""), bench.job(""));
    bench.executor.submit(&one).await.unwrap();
    bench.executor.submit(&two).await.unwrap();
    bench.executor.submit(&two).await.unwrap();
    assert_eq!(scripted.submitted(2).await.len(), 2);
    assert_eq!(bench.executor.observe(&one.attempt).await.unwrap(), Observation::Running);
    assert!(bench.executor.collect(&one.attempt, &bench.path("x"), 1).await.is_err());
    let (first, second, ()) = tokio::join!(bench.wait(&one), bench.wait(&two), async {
        scripted.let_end(&one.attempt);
        bench.executor.cancel(&two.attempt).await.unwrap();
        bench.executor.cancel(&one.attempt).await.unwrap();
    });
    assert_eq!((first.ending, second.ending), (Ending::Exited { code: 0 }, Ending::Cancelled));
}

#[tokio::test]
async fn everything_can_go_wrong_and_everything_goes_away() {
    let (scripted, bench) = bench();
    let mut job = bench.job("");
    job.environment = Environment::Write;
    scripted.refuse(ExecutorError::Broken("no".into()));
    assert!(bench.executor.submit(&job).await.is_err());
    assert_eq!(bench.executor.list().await.unwrap(), Inventory::default());
    scripted.set_down(true);
    assert!(matches!(bench.executor.submit(&job).await, Err(ExecutorError::Unreachable(_))));
    scripted.set_down(false);
    bench.executor.submit(&job).await.unwrap();
    scripted.lose(&job.attempt);
    assert_eq!(bench.executor.observe(&job.attempt).await.unwrap(), Observation::Unknown);
    assert_eq!(bench.executor.list().await.unwrap().environments, [job.attempt.run]);
    bench.executor.release(job.attempt.run).await.unwrap();
    assert_eq!(bench.executor.list().await.unwrap().environments, [job.attempt.run], "it outlives its run");
    bench.executor.drop_environment(job.attempt.run).await.unwrap();
    assert_eq!(bench.executor.list().await.unwrap(), Inventory::default());
}
