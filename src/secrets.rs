//! Credentials: named in the configuration, read from files, never shown.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// More than any token or key has.
const MAX_BYTES: u64 = 64 << 10;

/// Why a credential cannot be used. Never holds any part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is not where it should be.
    #[error("the credential {name} cannot be read: {file}: {source}", file = file.display())]
    Unreadable { name: String, file: PathBuf, source: io::Error },
    /// Nothing says where credentials are.
    #[error(
        "the credential {name} is nowhere to be found: set credentials_dir, or $CREDENTIALS_DIRECTORY (systemd's LoadCredential does)"
    )]
    Nowhere { name: String },
    /// Its content cannot be one.
    #[error("the credential {name} in {file} cannot be one: {why}", file = file.display())]
    Unfit { name: String, file: PathBuf, why: &'static str },
}

/// Where credentials are.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    folders: Vec<(PathBuf, bool)>,
}

impl Secrets {
    /// `$CREDENTIALS_DIRECTORY` first, as systemd sets it; then the folder of the configuration.
    pub fn new(credentials_directory: Option<PathBuf>, configured: Option<PathBuf>) -> Self {
        let systemd = credentials_directory.map(|folder| (folder, false));
        Self { folders: systemd.into_iter().chain(configured.map(|folder| (folder, true))).collect() }
    }

    /// Reads a credential. A file that others can read is used and warned about.
    pub fn read(&self, name: &str) -> Result<SecretString, SecretError> {
        let mut last = None;
        for (folder, is_ours) in &self.folders {
            let file = folder.join(name);
            match read(name, &file) {
                Ok(secret) => {
                    if *is_ours {
                        warn_if_open(&file);
                    }
                    return Ok(secret);
                }
                Err(SecretError::Unreadable { name, file, source })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    last = Some(SecretError::Unreadable { name, file, source });
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| SecretError::Nowhere { name: name.to_owned() }))
    }
}

fn read(name: &str, file: &Path) -> Result<SecretString, SecretError> {
    let unreadable =
        |source| SecretError::Unreadable { name: name.to_owned(), file: file.to_owned(), source };
    let unfit = |why| SecretError::Unfit { name: name.to_owned(), file: file.to_owned(), why };
    if fs::metadata(file).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(unfit("it is larger than 64 KiB"));
    }
    let bytes = fs::read(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| unfit("it is not text"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.trim().is_empty() {
        return Err(unfit("it is empty"));
    }
    let is_key = text.starts_with("-----BEGIN ");
    if text.chars().any(|c| c.is_control() && !(is_key && matches!(c, '\n' | '\r'))) {
        return Err(unfit("it holds control characters"));
    }
    Ok(SecretString::from(text))
}

fn warn_if_open(file: &Path) {
    let mode = fs::metadata(file).map(|meta| meta.permissions().mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "others can read this credential: chmod 600 it");
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_credential_is_one_line_of_text_or_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(None, Some(folder.path().to_owned()));
        let try_with = |content: &[u8]| {
            fs::write(folder.path().join("x"), content).unwrap();
            secrets.read("x").map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(try_with(b"token\n").unwrap(), "token");
        assert!(try_with(b"-----BEGIN KEY-----\nx\n-----END KEY-----\n").is_ok());
        for bad in [&b""[..], b"\n", b"two\nlines", b"\xff", &[b'a'; 70_000]] {
            let error = try_with(bad).unwrap_err().to_string();
            assert!(error.contains("cannot be one"), "{error}");
        }
        assert!(secrets.read("y").unwrap_err().to_string().contains("cannot be read"));
        assert!(Secrets::default().read("x").unwrap_err().to_string().contains("credentials_dir"));
    }
}
