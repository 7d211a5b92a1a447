//! What docent's things are called at the engine, and by which labels they are found again.

use std::collections::HashMap;

use crate::core::id::{AttemptId, RunId};
use crate::core::outcome::Ending;
use crate::executor::{Inventory, Limits};

use super::profile::Place;

/// Whose it is: the random id of one installation.
pub const INSTANCE: &str = "docent.instance";
/// The run it belongs to.
pub const RUN: &str = "docent.run";
/// The attempt it belongs to.
pub const ATTEMPT: &str = "docent.attempt";
/// On an environment, which may outlive its run: the run that made it.
pub const ENVIRONMENT: &str = "docent.environment";
/// On the container that does the work: what docent enforces itself, so that it can after a restart.
const TIMEOUT: &str = "docent.timeout_seconds";
const DISK: &str = "docent.disk_bytes";
const OCCUPIED: &str = "docent.disk_occupied_bytes";
/// On a mark: why docent ended the attempt.
const ENDING: &str = "docent.ending";

/// What docent itself watches over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Seconds from the start of the container.
    pub timeout_seconds: u64,
    /// What may be written, in bytes.
    pub disk_bytes: u64,
    /// Bytes that were there before.
    pub occupied: u64,
}

impl Watched {
    /// As written on the container.
    pub fn from_labels(labels: &HashMap<String, String>) -> Option<Self> {
        let number = |name| labels.get(name).and_then(|value| value.parse().ok());
        Some(Self {
            timeout_seconds: number(TIMEOUT)?,
            disk_bytes: number(DISK)?,
            occupied: number(OCCUPIED)?,
        })
    }
}

/// The names of what a run has for its services. A dot stands in no name of a tier, so none of them is an attempt's.
#[derive(Debug, Clone)]
pub struct RunNames {
    instance: String,
    run: RunId,
}

impl RunNames {
    /// Of this run, in this installation.
    pub fn new(instance: &str, run: RunId) -> Self {
        Self { instance: instance.to_owned(), run }
    }

    /// The network of the services and of the attempts that reach them.
    pub fn network(&self) -> String {
        format!("{}-r{}.services", prefix(&self.instance), self.run)
    }

    /// The container of a service.
    pub fn service(&self, name: &str) -> String {
        format!("{}-r{}.service.{name}", prefix(&self.instance), self.run)
    }

    /// The container that looks whether a service accepts connections.
    pub fn reach(&self, name: &str) -> String {
        format!("{}-r{}.reach.{name}", prefix(&self.instance), self.run)
    }

    /// Labels of all of it.
    pub fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(INSTANCE.to_owned(), self.instance.clone()), (RUN.to_owned(), self.run.to_string())])
    }
}

/// The names of one attempt's things.
#[derive(Debug, Clone)]
pub struct Names {
    instance: String,
    attempt: AttemptId,
    environment_of: RunId,
}

impl Names {
    /// Of this attempt, in this installation.
    pub fn new(instance: &str, attempt: &AttemptId) -> Self {
        Self { instance: instance.to_owned(), attempt: attempt.clone(), environment_of: attempt.run }
    }

    /// The same, with the environment that this run has made.
    pub fn with_environment_of(self, run: RunId) -> Self {
        Self { environment_of: run, ..self }
    }

    /// The container that does the work.
    pub fn container(&self) -> String {
        format!("{}-{}", prefix(&self.instance), self.attempt)
    }

    /// The container through which its files come in.
    pub fn loader(&self) -> String {
        format!("{}-loader", self.container())
    }

    /// The container that measures its volumes.
    pub fn meter(&self) -> String {
        format!("{}-meter", self.container())
    }

    /// A volume: the attempt's, or for `/env` that of the run that made it.
    pub fn volume(&self, place: Place) -> String {
        match place {
            Place::Env { .. } => format!("{}-r{}-env", prefix(&self.instance), self.environment_of),
            _ => format!("{}-{}", self.container(), place.name()),
        }
    }

    /// The empty volume whose label says why docent ended the attempt. Labels of a container cannot be changed, and the
    /// reason has to outlive docent.
    pub fn mark(&self) -> String {
        format!("{}-mark", self.container())
    }

    /// The network of the run's tiers with `network = "egress"`.
    pub fn network(&self) -> String {
        format!("{}-r{}-net", prefix(&self.instance), self.attempt.run)
    }

    /// The network of the run's services.
    pub fn services(&self) -> String {
        RunNames::new(&self.instance, self.attempt.run).network()
    }

    /// The network between an attempt and its gate, with nobody else on it.
    pub fn inner(&self) -> String {
        format!("{}-inner", self.container())
    }

    /// The network on which its gate goes out, with nobody else on it.
    pub fn outer(&self) -> String {
        format!("{}-outer", self.container())
    }

    /// The container of the gate.
    pub fn gate(&self) -> String {
        format!("{}-gate", self.container())
    }

    /// Labels of what belongs to the run.
    pub fn labels_of_run(&self) -> HashMap<String, String> {
        RunNames::new(&self.instance, self.attempt.run).labels()
    }

    /// Labels of what belongs to the attempt.
    pub fn labels_of_part(&self) -> HashMap<String, String> {
        let mut labels = self.labels_of_run();
        labels.insert(ATTEMPT.to_owned(), self.attempt.to_string());
        labels
    }

    /// Labels of a volume.
    pub fn labels_of_volume(&self, place: Place) -> HashMap<String, String> {
        match place {
            Place::Env { .. } => HashMap::from([
                (INSTANCE.to_owned(), self.instance.clone()),
                (ENVIRONMENT.to_owned(), self.environment_of.to_string()),
            ]),
            _ => self.labels_of_part(),
        }
    }

    /// Labels of the container that does the work.
    pub fn labels_of_attempt(&self, limits: &Limits, occupied: u64) -> HashMap<String, String> {
        let mut labels = self.labels_of_part();
        labels.insert(TIMEOUT.to_owned(), limits.timeout_seconds.to_string());
        labels.insert(DISK.to_owned(), limits.disk_bytes.to_string());
        labels.insert(OCCUPIED.to_owned(), occupied.to_string());
        labels
    }

    /// Labels of the mark.
    pub fn labels_of_mark(&self, reason: Reason) -> HashMap<String, String> {
        let mut labels = self.labels_of_part();
        labels.insert(ENDING.to_owned(), reason.word().to_owned());
        labels
    }
}

fn prefix(instance: &str) -> String {
    format!("docent-{}", instance.chars().take(8).collect::<String>())
}

/// Why docent ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its time was up.
    TimedOut,
    /// It wrote too much.
    OutOfDisk,
    /// It was asked to.
    Cancelled,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::OutOfDisk => "out_of_disk",
            Self::Cancelled => "cancelled",
        }
    }

    /// As written on the mark.
    pub fn from_labels(labels: &HashMap<String, String>) -> Option<Self> {
        let word = labels.get(ENDING)?;
        [Self::TimedOut, Self::OutOfDisk, Self::Cancelled].into_iter().find(|reason| reason.word() == word)
    }

    /// What the attempt then ended of.
    pub fn ending(self) -> Ending {
        match self {
            Self::TimedOut => Ending::TimedOut,
            Self::OutOfDisk => Ending::OutOfDisk,
            Self::Cancelled => Ending::Cancelled,
        }
    }
}

/// Adds to the inventory what these labels say.
pub fn enter(inventory: &mut Inventory, labels: &HashMap<String, String>) {
    if let Some(attempt) = labels.get(ATTEMPT).and_then(|text| text.parse::<AttemptId>().ok())
        && !inventory.attempts.contains(&attempt)
    {
        inventory.attempts.push(attempt);
    }
    if let Some(run) = labels.get(RUN).and_then(|text| text.parse().ok()).map(RunId)
        && !inventory.runs.contains(&run)
    {
        inventory.runs.push(run);
    }
    if let Some(run) = labels.get(ENVIRONMENT).and_then(|text| text.parse().ok()).map(RunId) {
        inventory.environments.push(run);
    }
}
