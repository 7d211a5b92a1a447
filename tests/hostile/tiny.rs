//! An image of two megabytes, made here from Debian's static busybox: nothing is pulled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docent::executor::Access;
use docent::executor::container::{Container, image};
use docent::executor::rootfs::{self, Description};

pub const TINY: &str = "docent-test/tiny:1";

/// The state directory in which the root filesystem of the image is kept between test runs.
pub fn state() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("executors")
}

/// Makes the root filesystem unless it is there. Only one process at a time makes it; the others wait for it.
pub fn ensure_root() -> Result<PathBuf, String> {
    let state = state();
    std::fs::create_dir_all(&state).map_err(|error| error.to_string())?;
    let lock = std::fs::File::create(state.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let root = rootfs::directory(&state, TINY);
    if root.join("bin/sh").exists() {
        return Ok(root);
    }
    let description =
        Description { image: TINY.into(), packages: vec!["busybox-static".into()], ..Default::default() };
    let root = rootfs::make(&description, &state, &Access::default(), &mut |line| println!("{line}"))
        .map_err(|error| error.to_string())?;
    let busybox = root.join("bin/busybox");
    let list =
        std::process::Command::new(&busybox).arg("--list").output().map_err(|error| error.to_string())?;
    for name in
        String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox" && *name != "sh")
    {
        let _ = std::os::unix::fs::symlink("busybox", root.join("bin").join(name));
    }
    // Last, because it says that all the others are there.
    std::os::unix::fs::symlink("busybox", root.join("bin/sh")).map_err(|error| error.to_string())?;
    Ok(root)
}

/// Imports it into the engine unless it is there.
pub async fn ensure_image(engine: &Container) -> Result<(), String> {
    static ONCE: tokio::sync::OnceCell<Arc<Result<(), String>>> = tokio::sync::OnceCell::const_new();
    let made = ONCE.get_or_init(|| async {
        let made = async {
            if engine.image_exists(TINY).await.map_err(|error| error.to_string())? {
                return Ok(());
            }
            let root =
                tokio::task::spawn_blocking(ensure_root).await.map_err(|error| error.to_string())??;
            image::import(engine, &root, TINY).await.map_err(|error| error.to_string())
        };
        Arc::new(made.await)
    });
    made.await.as_ref().clone()
}
