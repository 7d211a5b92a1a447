//! Services: servers that live beside the tiers of a run, on a network that is the run's own. They are brought up once, before the
//! first tier, and torn down with the run, so that later tiers find what earlier ones have left in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::outcome::Ending;
use super::recipe::Limits;
use super::run::Kept;

/// One service of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, and the name of its host on the run's network.
    pub name: String,
    /// The image in which it runs.
    pub image: String,
    /// Program and arguments; empty: the image's own.
    pub run: Vec<String>,
    /// Where it listens.
    pub port: u16,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Services that must be healthy before it is started.
    pub after: Vec<String>,
    /// Run in it; the exit code 0 says that it is healthy. Empty: it is when its port accepts a connection.
    pub health: Vec<String>,
    /// How long it may take to become healthy, in seconds.
    pub health_seconds: u64,
    /// Only where the opt-in tiers are asked for.
    pub is_opt_in: bool,
    /// Its limits, but for time: that is the run's.
    pub limits: Limits,
}

impl Service {
    /// Where it is found on the run's network.
    pub fn address(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }

    /// The variable that says so to a step.
    pub fn variable(&self) -> String {
        format!("DOCENT_SERVICE_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

/// A service of a run, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRun {
    /// What was asked for.
    pub service: Service,
    /// How it ended before its run did, for people.
    #[serde(default)]
    pub fell: Option<String>,
    /// What it wrote, the end of it.
    #[serde(default)]
    pub log: Option<Kept>,
}

impl ServiceRun {
    /// A service that is to be brought up.
    pub fn of(service: Service) -> Self {
        Self { service, fell: None, log: None }
    }
}

/// A service that has ended, though its run has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallen {
    /// Its name.
    pub name: String,
    /// How; none: it is gone, nobody knows how.
    pub ending: Option<Ending>,
}

impl Fallen {
    /// For people.
    pub fn words(&self) -> String {
        let how = match &self.ending {
            None => "is gone".to_owned(),
            Some(Ending::OutOfMemory) => "was killed at its memory limit".to_owned(),
            Some(Ending::Exited { code }) if *code > 128 => format!("was ended by signal {}", code - 128),
            Some(Ending::Exited { code }) => format!("ended with code {code}"),
            Some(Ending::NotStarted { why }) => format!("did not begin: {why}"),
            Some(Ending::TimedOut | Ending::OutOfDisk | Ending::Cancelled) => "was stopped".to_owned(),
        };
        format!("the service {} {how}", self.name)
    }
}

/// Why no tier may begin: one that fails against a service that is down says nothing of the author's work.
pub fn refusal(fallen: &[Fallen]) -> Option<String> {
    let words: Vec<String> = fallen.iter().map(Fallen::words).collect();
    (!words.is_empty()).then(|| format!("{}: no tier begins without it", words.join(", and ")))
}

/// The order in which services are brought up: as they stand, but each behind those that it comes after.
///
/// # Errors
/// The names of services that wait for each other in a circle, the first of them again at the end. Names that are not there
/// hold nobody back.
pub fn order(services: &[Service]) -> Result<Vec<usize>, Vec<String>> {
    let mut ordered = Vec::new();
    let mut path = Vec::new();
    for at in 0..services.len() {
        visit(services, at, &mut path, &mut ordered)?;
    }
    Ok(ordered)
}

fn visit(
    services: &[Service],
    at: usize,
    path: &mut Vec<usize>,
    ordered: &mut Vec<usize>,
) -> Result<(), Vec<String>> {
    if ordered.contains(&at) {
        return Ok(());
    }
    let name = |at: &usize| services[*at].name.clone();
    if let Some(begin) = path.iter().position(|before| *before == at) {
        return Err(path[begin..].iter().chain([&at]).map(name).collect());
    }
    path.push(at);
    for before in &services[at].after {
        if let Some(before) = services.iter().position(|service| service.name == *before) {
            visit(services, before, path, ordered)?;
        }
    }
    path.pop();
    ordered.push(at);
    Ok(())
}

#[cfg(test)]
pub(in crate::core) mod tests {
    use super::*;

    /// A service with nothing but a name and an order.
    pub fn service(name: &str, after: &[&str]) -> Service {
        Service {
            name: name.into(),
            image: "image".into(),
            run: vec![],
            port: 6379,
            variables: BTreeMap::new(),
            after: after.iter().map(ToString::to_string).collect(),
            health: vec![],
            health_seconds: 60,
            is_opt_in: false,
            limits: Limits {
                memory_bytes: 1,
                cpus: 1.0,
                processes: 1,
                disk_bytes: 1,
                log_bytes: 1,
                timeout_seconds: 1,
            },
        }
    }

    #[test]
    fn each_comes_behind_those_that_it_waits_for() {
        type Case<'a> = (&'a [(&'a str, &'a [&'a str])], Result<&'a [&'a str], &'a str>);
        let cases: [Case<'_>; 7] = [
            (&[], Ok(&[])),
            (&[("b", &[]), ("a", &[])], Ok(&["b", "a"])),
            (&[("a", &["b"]), ("b", &["c"]), ("c", &[])], Ok(&["c", "b", "a"])),
            (&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])], Ok(&["c", "b", "a"])),
            (&[("a", &["nobody"])], Ok(&["a"])),
            (&[("a", &["a"])], Err("a a")),
            (&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])], Err("a b c a")),
        ];
        for (given, wanted) in cases {
            let services: Vec<Service> = given.iter().map(|(name, after)| service(name, after)).collect();
            let found = order(&services)
                .map(|order| order.into_iter().map(|at| services[at].name.clone()).collect::<Vec<_>>());
            assert_eq!(
                found.map_err(|circle| circle.join(" ")),
                wanted.map(|names| names.iter().map(ToString::to_string).collect()).map_err(str::to_owned)
            );
        }
    }

    #[test]
    fn a_step_is_told_where_a_service_is() {
        let found = service("job-queue", &[]);
        assert_eq!(
            (found.variable().as_str(), found.address().as_str()),
            ("DOCENT_SERVICE_JOB_QUEUE", "job-queue:6379")
        );
    }

    #[test]
    fn no_tier_begins_against_a_service_that_is_down() {
        let fallen = |name: &str, ending| Fallen { name: name.into(), ending };
        assert_eq!(refusal(&[]), None);
        let words = refusal(&[
            fallen("db", Some(Ending::OutOfMemory)),
            fallen("cache", Some(Ending::Exited { code: 3 })),
            fallen("queue", Some(Ending::Exited { code: 137 })),
            fallen("app", None),
        ]);
        assert_eq!(
            words.as_deref(),
            Some(
                "the service db was killed at its memory limit, and the service cache ended with code 3, and the service \
                 queue was ended by signal 9, and the service app is gone: no tier begins without it"
            )
        );
    }
}
