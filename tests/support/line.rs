//! A line to the engine that can be cut: what goes through it does so byte for byte.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A socket that leads to another one.
pub struct EngineLine {
    place: PathBuf,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl EngineLine {
    /// Listens at `place`, and connects whoever comes with `engine`.
    pub fn lay(place: &Path, engine: &'static str) -> Self {
        let listener = UnixListener::bind(place).unwrap();
        let open = Arc::<Mutex<Vec<UnixStream>>>::default();
        let connections = Arc::clone(&open);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = UnixStream::connect(engine) else { continue };
                let ends = [&near, &far].map(|end| end.try_clone().unwrap());
                connections.lock().unwrap().extend(ends);
                carry(near.try_clone().unwrap(), far.try_clone().unwrap());
                carry(far, near);
            }
        });
        Self { place: place.to_owned(), open }
    }

    /// Nobody is connected any more, and nobody can connect.
    pub fn cut(self) {
        std::fs::remove_file(&self.place).unwrap();
        for end in self.open.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
