//! The log of an attempt as a file with a cap. What is beyond the cap is counted, and the count is the last line.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A log file that stops growing at its limit.
#[derive(Debug)]
pub struct CappedLog {
    file: File,
    limit: u64,
    written: u64,
    dropped: u64,
    ends_line: bool,
}

impl CappedLog {
    /// An empty log, in place of what was there.
    pub fn create(path: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, limit, written: 0, dropped: 0, ends_line: true })
    }

    /// Goes on behind what is there, after a line that says why it may not fit together.
    pub fn resume(path: &Path, limit: u64, why: &str) -> io::Result<Self> {
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let written = file.metadata()?.len().min(limit);
        file.set_len(written)?;
        let mut last = [b'\n'];
        if written > 0 {
            file.seek(SeekFrom::Start(written - 1))?;
            file.read_exact(&mut last)?;
        }
        let line = if last == *b"\n" { "" } else { "\n" };
        writeln!(file, "{line}[docent: {why}]")?;
        Ok(Self { file, limit, written, dropped: 0, ends_line: true })
    }

    /// Appends as much as fits.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.limit - self.written).unwrap_or(usize::MAX);
        let (fits, beyond) = bytes.split_at(bytes.len().min(room));
        if let Some(last) = fits.last() {
            self.file.write_all(fits)?;
            self.ends_line = *last == b'\n';
            self.written += fits.len() as u64;
        }
        self.dropped += beyond.len() as u64;
        Ok(())
    }

    /// Something had to be dropped.
    pub fn is_full(&self) -> bool {
        self.dropped > 0
    }

    /// Nothing more comes: says how much was left out, if anything was.
    pub fn finish(mut self) -> io::Result<()> {
        if self.dropped > 0 {
            let line = if self.ends_line { "" } else { "\n" };
            writeln!(self.file, "{line}[docent: {} bytes left out]", self.dropped)?;
        }
        self.file.flush()
    }
}

/// Adds lines of docent's own to a log that is finished.
pub fn add_lines(path: &Path, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut file = File::options().read(true).append(true).open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let line = if last == *b"\n" { "" } else { "\n" };
    let lines: String = lines.iter().map(|line| format!("[{line}]\n")).collect();
    file.write_all(format!("{line}{lines}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = CappedLog::create(&path, 7).unwrap();
        log.append(b"one\n").unwrap();
        log.append(b"two\nthree").unwrap();
        log.append(b"four").unwrap();
        log.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n[docent: 10 bytes left out]\n");
        std::fs::write(&path, "no newline").unwrap();
        add_lines(&path, &[]).unwrap();
        add_lines(&path, &["a".to_owned(), "b".to_owned()]).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "no newline\n[a]\n[b]\n");
    }
    #[test]
    fn what_is_resumed_keeps_its_beginning_and_says_where_it_may_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "one\ntw").unwrap();
        let mut log = CappedLog::resume(&path, 12, "a gap").unwrap();
        log.append(b"three\nfour\n").unwrap();
        log.finish().unwrap();
        let expected = "one\ntw\n[docent: a gap]\nthree\n[docent: 5 bytes left out]\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        // A log that is full stays as it is; what stood behind it is said anew.
        let mut log = CappedLog::resume(&path, 6, "a gap").unwrap();
        log.append(b"five").unwrap();
        log.finish().unwrap();
        let expected = "one\ntw\n[docent: a gap]\n[docent: 4 bytes left out]\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }
}
