//! The access log, for asserting what a client sent and, above all, what it did not.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

/// The most requests that are remembered: a demonstration may run for days.
const LIMIT: usize = 20_000;

/// One request that reached the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// `GET`, `POST`, ….
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Login of the account whose credential was taken; none for an anonymous request or a refused credential.
    pub account: Option<String>,
    /// When it arrived, by the machine's clock.
    pub at: DateTime<Utc>,
    /// What was answered; none while it is under way, and for one that was never answered.
    pub status: Option<u16>,
    /// `git-upload-pack` (fetch) or `git-receive-pack` (push), for git's requests.
    pub service: Option<String>,
}

impl RecordedRequest {
    /// Whether it could only read: a GET or HEAD of anything but a push's advertisement, or git's fetch.
    pub fn is_reading(&self) -> bool {
        match self.service.as_deref() {
            Some(service) => service == "git-upload-pack",
            None => self.method == "GET" || self.method == "HEAD",
        }
    }
}

#[derive(Default)]
pub(super) struct Record {
    first: u64,
    requests: VecDeque<RecordedRequest>,
}

impl Record {
    /// Writes down a request; the number is for its answer.
    pub fn begin(&mut self, request: RecordedRequest) -> u64 {
        self.requests.push_back(request);
        if self.requests.len() > LIMIT {
            self.requests.pop_front();
            self.first += 1;
        }
        self.first + self.requests.len() as u64 - 1
    }

    pub fn end(&mut self, number: u64, status: u16) {
        let index = number.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
        if let Some(request) = index.and_then(|i| self.requests.get_mut(i)) {
            request.status = Some(status);
        }
    }

    pub fn all(&self) -> Vec<RecordedRequest> {
        self.requests.iter().cloned().collect()
    }

    pub fn forget(&mut self) {
        self.first += self.requests.len() as u64;
        self.requests.clear();
    }
}
