//! Images made here, without a registry of images, and what runs in them.

mod hostile;

use std::os::unix::fs::PermissionsExt;

use docent::executor::container::{Container, Settings, image};
use docent::executor::rootfs::{self, Description};
use docent::executor::{Access, Ending, Executor, Network, sandbox};

use hostile::{Bench, not_run, tiny};

fn settings() -> Settings {
    Settings { gate: hostile::gate(), ..Settings::new(format!("{:08x}-image", std::process::id())) }
}

async fn connect() -> Option<Container> {
    match Container::connect(settings()).await {
        Ok(container) => {
            tiny::ensure_image(&container).await.unwrap();
            Some(container)
        }
        Err(error) => {
            not_run("engine", &error.to_string());
            None
        }
    }
}

async fn remove_image(container: &Container, image: &str) {
    let docker = &container.engine().docker;
    docker.remove_image(image, None::<bollard::query_parameters::RemoveImageOptions>, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_containerfile_is_built_where_its_base_is_here() {
    let Some(container) = connect().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let containerfile = dir.path().join("Containerfile");
    std::fs::write(dir.path().join("added"), "added").unwrap();
    std::fs::write(
        &containerfile,
        format!("FROM {}\nCOPY added /added\nRUN echo built >/built\n", tiny::TINY),
    )
    .unwrap();
    let name = format!("docent-test/built:{}", std::process::id());
    let description =
        Description { image: name.clone(), containerfile: Some(containerfile), ..Default::default() };
    let mut said = Vec::new();
    image::build(&container, &description, dir.path(), &mut |line| said.push(line.to_owned())).await.unwrap();
    assert!(!said.is_empty());

    let bench = Bench::new(container.clone());
    let mut job = bench.job("cat /added /built");
    job.image = name.clone();
    let told = bench.run_once(&job).await;
    remove_image(&container, &name).await;
    assert_eq!(told.text(), "addedbuilt\n");
}

/// The base cannot be had, so the packages are unpacked: one root filesystem for the engine and for the sandbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_serve_where_the_base_cannot_be_had() {
    let Some(container) = connect().await else { return };
    let state = tempfile::tempdir().unwrap();
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let containerfile = state.path().join("Containerfile");
    std::fs::write(&containerfile, "FROM localhost:1/docent-test/absent:1\n").unwrap();
    let name = format!("docent-test/python:{}", std::process::id());
    let packages = [
        "base-files",
        "dash",
        "bash",
        "coreutils",
        "findutils",
        "grep",
        "python3-minimal",
        "libpython3-stdlib",
        "ca-certificates",
    ];
    let description = Description {
        image: name.clone(),
        packages: packages.map(str::to_owned).to_vec(),
        python: ["uv", "pytest"].map(str::to_owned).to_vec(),
        containerfile: Some(containerfile),
    };
    let mut said = Vec::new();
    if let Err(error) =
        image::build(&container, &description, state.path(), &mut |line| said.push(line.to_owned())).await
    {
        return not_run("packages", &error.to_string());
    }
    assert!(said.iter().any(|line| line.contains("cannot be pulled")), "{said:?}");

    let script = "python3 -c 'import ssl, sqlite3, ctypes, pytest; print(pytest.__name__)' && pytest --version >/dev/null && \
        uv --version | cut -d' ' -f1 && [ -z \"$(find / -xdev -perm /6000 2>/dev/null)\" ] && echo ok; ls -d /repo /recipe /in /out /env /tmp | tr '\\n' ' '";
    let expected = "pytest\nuv\nok\n/env /in /out /recipe /repo /tmp ";
    let bench = Bench::new(container.clone());
    let mut job = bench.job(script);
    job.image = name.clone();
    job.limits.memory_bytes = 512 << 20;
    let told = bench.run_once(&job).await;
    assert_eq!((told.text().as_str(), told.ending), (expected, Ending::Exited { code: 0 }));

    // An index is reached from inside, with the certificates of this machine.
    let mut job = bench.job("uv pip install --quiet --no-cache --target /tmp/x iniconfig 2>&1 && ls /tmp/x | grep -c '^iniconfig$'");
    job.image = name.clone();
    job.network = Network::Index;
    job.limits.memory_bytes = 512 << 20;
    let told = bench.run_once(&job).await;
    assert_eq!((told.text().as_str(), told.ending), ("1\n", Ending::Exited { code: 0 }));
    remove_image(&container, &name).await;

    let settings =
        sandbox::Settings { gate: hostile::gate(), ..sandbox::Settings::new("image-test", state.path()) };
    match sandbox::Sandbox::connect(settings) {
        Err(error) => not_run("sandbox", &error.to_string()),
        Ok(executor) => {
            assert!(executor.image_exists(&name));
            let bench = Bench::new(executor);
            let mut job = bench.job(script);
            job.image = name.clone();
            job.limits.memory_bytes = 512 << 20;
            assert_eq!(bench.run_once(&job).await.text(), expected);
            job.attempt.number = 2;
            job.network = Network::Index;
            job.command[2] = "uv pip install --quiet --no-cache --target /tmp/x iniconfig 2>&1 && ls /tmp/x | grep -c '^iniconfig$'".into();
            assert_eq!(bench.run_once(&job).await.text(), "1\n");
            assert_eq!(bench.executor.list().await.unwrap().runs, []);
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let state = tempfile::tempdir().unwrap();
    let make = |packages: &[&str], python: &[&str]| {
        let description = Description {
            image: "docent-test/x".into(),
            packages: packages.iter().map(|it| (*it).to_owned()).collect(),
            python: python.iter().map(|it| (*it).to_owned()).collect(),
            containerfile: None,
        };
        rootfs::make(&description, state.path(), &Access::default(), &mut |_| {}).unwrap_err().to_string()
    };
    let text = make(&["no-such-package-of-debian"], &[]);
    assert!(text.contains("no-such-package-of-debian") || text.contains("is missing"), "{text}");
    assert!(!rootfs::directory(state.path(), "docent-test/x").exists());
    let left = std::fs::read_dir(state.path().join("images/docent-test_x")).unwrap().count();
    assert_eq!(left, 0, "what was being made is gone");
}
