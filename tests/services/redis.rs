//! A small real server, from Debian's packages, in an image that is built here.

use std::path::{Path, PathBuf};
use std::process::Command;

use docent::executor::container::{Container, Settings};

use crate::hostile::not_run;

/// The default tier leaves something in one server, which the opt-in tier looks for. The other has the same port.
pub const RECIPE: &str = r#"
name = "slow"
detect = []
image = "docent-test/redis:1"

[build]
packages = ["base-files", "coreutils", "dash", "libc-bin", "redis-server", "redis-tools"]

[limits]
memory = "128MiB"
disk = "64MiB"

[[service]]
name = "other-cache"
image = "docent-test/redis:1"
run = ["redis-server", "--save", "", "--protected-mode", "no"]
port = 6379
after = ["cache"]
memory = "128MiB"
disk = "64MiB"

[[service]]
name = "cache"
image = "docent-test/redis:1"
run = ["redis-server", "--save", "", "--protected-mode", "no"]
port = 6379
health = ["redis-cli", "ping"]
memory = "128MiB"
disk = "64MiB"

[[tier]]
name = "first"
run = ["sh", "-c", "echo $DOCENT_SERVICE_OTHER_CACHE; sleep 0.3; redis-cli -h cache -p 6379 incr built"]

[[tier]]
name = "second"
opt_in = true
run = ["sh", "-c", "test \"$(redis-cli -h cache get built)\" = 1 && test -z \"$(redis-cli -h other-cache get built)\""]
"#;

/// A configuration with that recipe, in this folder.
pub fn configure(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder.join("recipes/slow")).unwrap();
    std::fs::write(folder.join("recipes/slow/recipe.toml"), RECIPE).unwrap();
    let (place, file) = (folder.display(), folder.join("docent.toml"));
    let text = format!("state_dir = \"{place}/state\"\nrecipe_path = [\"{place}/recipes\"]\n");
    std::fs::write(&file, text).unwrap();
    file
}

/// Whether there is an engine; then with the image, built by docent as an operator builds it, unless it is there.
pub fn has_image() -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = match runtime.block_on(Container::connect(Settings::new("services"))) {
        Ok(engine) => engine,
        Err(error) => {
            not_run("engine", &error.to_string());
            return false;
        }
    };
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("services");
    std::fs::create_dir_all(&state).unwrap();
    // One test makes it, the others wait for it.
    let lock = std::fs::File::create(state.join("lock")).unwrap();
    lock.lock().unwrap();
    if runtime.block_on(engine.image_exists("docent-test/redis:1")).unwrap() {
        return true;
    }
    let config = configure(&state);
    let built = Command::new(env!("CARGO_BIN_EXE_docent"))
        .args(["recipe", "build", "slow", "--executor", "container", "--config"])
        .arg(config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stdout);
    assert!(built.status.success(), "{said}{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(said.lines().last(), Some("docent-test/redis:1 is ready"));
    true
}
