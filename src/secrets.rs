//! Credentials: named in the configuration, read from files, never shown.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

/// More than any token or key has.
const MAX_BYTES: u64 = 64 << 10;

/// Why a credential cannot be used. Never holds any part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its name is none.
    #[error("{name:?} is no name of a credential: it is the name of a file, without folders")]
    NoName { name: String },
    /// It is not where it should be.
    #[error("the credential {name} is missing: there is no {tried}")]
    Missing { name: String, tried: String },
    /// It is there and cannot be read.
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
    /// Each with whether its permissions are the operator's business.
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
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(SecretError::NoName { name: name.to_owned() });
        }
        let mut tried = Vec::new();
        for (folder, is_ours) in &self.folders {
            let file = folder.join(name);
            match read(name, &file, *is_ours) {
                Err(SecretError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    tried.push(file.display().to_string());
                }
                result => return result,
            }
        }
        Err(match tried.is_empty() {
            true => SecretError::Nowhere { name: name.to_owned() },
            false => SecretError::Missing { name: name.to_owned(), tried: tried.join(" or ") },
        })
    }
}

fn read(name: &str, file: &Path, is_ours: bool) -> Result<SecretString, SecretError> {
    let unreadable =
        |source| SecretError::Unreadable { name: name.to_owned(), file: file.to_owned(), source };
    let unfit = |why| SecretError::Unfit { name: name.to_owned(), file: file.to_owned(), why };
    // Opening anything else could wait for ever.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(unfit("it is no file"));
    }
    let open = fs::File::open(file).map_err(unreadable)?;
    let mode = open.metadata().map_err(unreadable)?.permissions().mode();
    let mut bytes = Zeroizing::new(Vec::new());
    open.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unfit("it is larger than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unfit("it is not text"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(unfit("it is empty"));
    }
    let is_key = text.starts_with("-----BEGIN ");
    let is_fit = |b: u8| b.is_ascii_graphic() || (is_key && matches!(b, b'\n' | b'\r' | b' '));
    if !text.bytes().all(is_fit) {
        return Err(unfit(
            "a token is one line of letters, digits and signs, without spaces; a key begins with -----BEGIN",
        ));
    }
    if is_ours && mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "others on this machine can read this credential: chmod 600 it");
    }
    Ok(SecretString::from(text))
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
        for bad in [
            &b""[..],
            b"\n",
            b"two\nlines",
            b"s3cret \n",
            b"s3cret\xff",
            "s3cret\u{feff}".as_bytes(),
            &[b'a'; 70_000],
        ] {
            let error = try_with(bad).unwrap_err();
            assert!(error.to_string().contains("cannot be one"), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
        assert_eq!(try_with(&[b'a'; 65_536]).unwrap().len(), 65_536);
        let absent = secrets.read("y").unwrap_err().to_string();
        assert!(absent.starts_with("the credential y is missing: there is no /"), "{absent}");
        assert!(Secrets::default().read("x").unwrap_err().to_string().contains("credentials_dir"));
    }

    #[test]
    fn systemd_comes_first_and_names_have_no_folders() {
        let (systemd, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secrets = Secrets::new(Some(systemd.path().to_owned()), Some(ours.path().to_owned()));
        fs::write(ours.path().join("x"), "ours").unwrap();
        assert_eq!(secrets.read("x").unwrap().expose_secret(), "ours");
        fs::write(systemd.path().join("x"), "systemd's").unwrap();
        assert_eq!(secrets.read("x").unwrap().expose_secret(), "systemd's");
        fs::create_dir(ours.path().join("folder")).unwrap();
        assert!(secrets.read("folder").unwrap_err().to_string().contains("it is no file"));
        assert!(secrets.read("z").unwrap_err().to_string().contains(" or "));
        for name in ["../x", "a/b", "", "..", ".x", "a\0"] {
            assert!(
                secrets.read(name).unwrap_err().to_string().contains("no name of a credential"),
                "{name}"
            );
        }
    }
}
