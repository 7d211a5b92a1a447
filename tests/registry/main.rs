//! Spec images in a real registry: what docent publishes others read, and what others published docent reads.

#[path = "../support/mod.rs"]
mod support;

mod hostile;
mod listing;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use docent::core::image_name::{Tag, Which};
use docent::publish::{Access, Credential, Place, PublishErrorKind, Registry, build};
use secrecy::SecretString;
use support::not_run;
use support::registry::{LOGIN, PASSWORD, RegistryServer};

const SPEC: &str = "image_spec_header:\n  image_name: Röman # a comment\n\n";

/// Answers with a running registry, or ends the calling test as «not run».
macro_rules! registry_or_return {
    ($has_password:expr) => {
        match RegistryServer::start($has_password).await {
            Some(server) => server,
            None => return,
        }
    };
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

fn place(server: &RegistryServer) -> Place {
    Place { registry: server.address.clone(), repository: "astro/images".to_owned() }
}

fn access(secret: Option<&str>) -> Access {
    let credential = secret.map(|secret| Credential::read(&SecretString::from(secret)));
    Access { credential, ..Access::default() }
}

fn open(server: &RegistryServer, secret: Option<&str>) -> Registry {
    Registry::new(place(server), &access(secret)).unwrap()
}

fn image(spec: &str) -> docent::publish::SpecImage {
    build(spec.as_bytes(), &BTreeMap::new()).unwrap()
}

/// Runs docent in a folder; answers its exit code, what it printed and what it complained.
fn docent(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_docent"))
        .arg("spec")
        .args(arguments)
        .current_dir(folder)
        .env_remove("CREDENTIALS_DIRECTORY")
        .env_remove("NBW_IMAGE_REGISTRY")
        .env_remove("NBW_IMAGE_PROJECT")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (ran.status.code().unwrap(), text(&ran.stdout), text(&ran.stderr))
}

fn docker(arguments: &[&str]) -> Option<Output> {
    let ran = Command::new("docker").args(arguments).env("DOCKER_BUILDKIT", "0").output().ok()?;
    assert!(ran.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Some(ran)
}

fn has_engine() -> bool {
    let there = Command::new("docker").arg("version").output().is_ok_and(|ran| ran.status.success());
    if !there {
        not_run("engine", "no container engine answers");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_numbered_and_the_same_image_is_published_once() {
    let server = registry_or_return!(false);
    let registry = open(&server, None);
    assert_eq!(registry.tags().await.unwrap(), [], "a repository that is not there has no tags");
    let name = tag("nbs_a");

    let first = registry.publish(&image(SPEC), &name).await.unwrap();
    assert_eq!((first.tag.as_str(), first.is_known), ("nbs_a_1", false));
    assert_eq!(first.digest, image(SPEC).manifest.digest);
    let again = registry.publish(&image(SPEC), &name).await.unwrap();
    assert_eq!((again.tag.as_str(), again.is_known), ("nbs_a_1", true));

    registry.publish_as(&image("nine: 9\n"), tag("nbs_a_9")).await.unwrap();
    let tenth = registry.publish(&image("ten: 10\n"), &name).await.unwrap();
    assert_eq!(tenth.tag.as_str(), "nbs_a_10");
    let eleventh = registry.publish(&image("nine: 9\n"), &name).await.unwrap();
    assert_eq!(eleventh.tag.as_str(), "nbs_a_11", "only the last run is one that may be done again");

    // A name that stands is never given to something else.
    let taken = registry.publish_as(&image("other: 1\n"), tag("nbs_a_9")).await.unwrap_err();
    assert_eq!(taken.kind, PublishErrorKind::Taken);
    assert_eq!(registry.spec(&Which::Tag(tag("nbs_a_9"))).await.unwrap().spec, b"nine: 9\n");

    // An alias sends no blob: nothing new is stored but a link.
    let blobs = || walkdir::WalkDir::new(server.storage().join("blobs")).into_iter().count();
    let before = blobs();
    registry.alias(&image("ten: 10\n"), &tag("latest")).await.unwrap();
    assert_eq!(blobs(), before);
    let found = registry.spec(&Which::Tag(tag("latest"))).await.unwrap();
    assert_eq!((found.spec.as_slice(), found.digest), (&b"ten: 10\n"[..], tenth.digest.clone()));
    assert_eq!(registry.spec(&Which::Digest(tenth.digest)).await.unwrap().spec, b"ten: 10\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_publishes_lists_and_reads() {
    let server = registry_or_return!(true);
    let desk = tempfile::tempdir().unwrap();
    let at = &server.address;
    std::fs::write(desk.path().join("spec.yaml"), SPEC).unwrap();
    std::fs::write(desk.path().join("secret"), format!("{LOGIN}:{PASSWORD}\n")).unwrap();
    let to = format!("{at}/astro/images:nbs_a");
    let run = |arguments: &[&str]| docent(desk.path(), arguments);
    let with = |arguments: &[&str]| run(&[arguments, &["--credential", "./secret"]].concat());

    let (code, out, told) = run(&["publish", "spec.yaml", "--to", &to]);
    assert_eq!((code, out.as_str()), (3, ""), "{told}");
    assert!(told.contains(at) && told.contains("wants a credential, and none was given"), "{told}");

    let arguments = ["publish", "spec.yaml", "--to", &to, "--alias", "latest", "--json"];
    let (code, out, told) = with(&arguments);
    assert_eq!(code, 0, "{told}");
    let published: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(published["image"], format!("{to}_1"));
    assert_eq!(published["aliases"], serde_json::json!(["latest"]));

    for (name, code_wanted) in [("nbs_a_1", 0), ("latest", 0), ("a_1", 2), ("*", 0), ("nothing", 2)] {
        let (code, out, told) = with(&["cat", &format!("{at}/astro/images:{name}")]);
        assert_eq!(code, code_wanted, "{name}: {told}");
        assert_eq!(out, if code == 0 { SPEC } else { "" }, "{name}");
    }
    // Short names, where registry and project are at home.
    let home = ["--registry", at, "--project", "astro/images"];
    for name in ["_1", "a*", "images:latest", "nbs_a_1"] {
        assert_eq!(with(&[&["cat", name][..], &home].concat()).1, SPEC, "{name}");
    }
    assert_eq!(with(&[&["list"][..], &home].concat()), (0, "nbs_a_1\n".to_owned(), String::new()));

    let (code, out, told) = with(&[&["pull", "_1", "there/below"][..], &home].concat());
    assert_eq!(code, 0, "{told}");
    assert!(out.contains("there/below/nbw-wrangler-spec.yaml"), "{out}");
    assert_eq!(
        std::fs::read_to_string(desk.path().join("there/below/nbw-wrangler-spec.yaml")).unwrap(),
        SPEC
    );
    let (code, _, told) = with(&[&["pull", "_1", "there/below"][..], &home].concat());
    assert!(code == 2 && told.contains("exists already"), "{told}");

    // Without a name it has its own, which says whether it is for development.
    let named =
        "image_spec_header:\n  image_name: Nova 1\n  valid_on: 2026-04-06\ndev_overrides:\n  system: {}\n";
    std::fs::write(desk.path().join("named.yaml"), named).unwrap();
    let place = format!("{at}/astro/images");
    for (flags, name) in
        [(&[][..], "nbs_Nova-1_prod_20260406-undef_1"), (&["--dev"][..], "nbs_Nova-1_dev_20260406-undef_1")]
    {
        let (code, out, told) = with(&[&["publish", "named.yaml", "--to", &place][..], flags].concat());
        assert_eq!(code, 0, "{told}");
        assert!(out.starts_with(&format!("{place}:{name} (sha256:")), "{out}");
    }
    let (code, _, told) = with(&["publish", "spec.yaml", "--to", &place]);
    assert!(code == 2 && told.contains("spec.yaml: ") && told.contains("must begin with two"), "{told}");

    std::fs::write(desk.path().join("wrong"), format!("{LOGIN}:another-password")).unwrap();
    let (code, _, told) = run(&["cat", &format!("{to}_1"), "--credential", "./wrong"]);
    assert!(code == 3 && told.contains("the credential is refused"), "{told}");
    assert!(!told.contains("another-password"), "{told}");
    let (code, _, told) = run(&["cat", &format!("{to}_1"), "--credential", "./absent"]);
    assert!(code == 2 && told.contains("absent"), "{told}");
    let (code, _, told) = with(&["publish", "spec.yaml", "--to", &to, "--alias", "a b"]);
    assert!(code == 2 && told.contains("cannot be a tag"), "{told}");
    std::fs::write(desk.path().join("other.yaml"), "a: 1\n").unwrap();
    let (code, _, told) = with(&["publish", "other.yaml", "--to", &format!("{to}_1"), "--exact"]);
    assert!(code == 4 && told.contains("names another image already"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_reads_what_docent_publishes() {
    let server = registry_or_return!(true);
    let registry = open(&server, Some(&format!("{LOGIN}:{PASSWORD}")));
    let published = registry.publish(&image(SPEC), &tag("nbs_a")).await.unwrap();
    let name = format!("docker://{}/astro/images:nbs_a_1", server.address);
    let credential = format!("{LOGIN}:{PASSWORD}");
    let arguments = ["inspect", "--tls-verify=false", "--creds", &credential, &name];
    let Ok(ran) = Command::new("skopeo").args(arguments).output() else {
        return not_run("skopeo", "no skopeo (scripts/setup registry installs it)");
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let seen: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(seen["Digest"], published.digest);
    assert_eq!(seen["Layers"], serde_json::json!([image(SPEC).layer.digest]));
    assert_eq!((&seen["Os"], &seen["Created"]), (&"linux".into(), &serde_json::Value::Null));
    // And all of it, digests checked, into a place of its own.
    let copy = tempfile::tempdir().unwrap();
    let into = format!("oci:{}:x", copy.path().join("layout").display());
    let ran = Command::new("skopeo")
        .args(["copy", "--src-tls-verify=false", "--src-creds", &credential, &name, &into])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_gives_back_what_docent_published() {
    let server = registry_or_return!(false);
    if !has_engine() {
        return;
    }
    open(&server, None).publish(&image(SPEC), &tag("nbs_a")).await.unwrap();
    let name = format!("{}/astro/images:nbs_a_1", server.address);
    docker(&["pull", "--quiet", &name]).unwrap();
    let made = docker(&["create", &name, "/bin/true"]).unwrap();
    let container = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy").display().to_string();
    docker(&["cp", &format!("{container}:/nbw-wrangler-spec.yaml"), &to]).unwrap();
    docker(&["rm", &container]).unwrap();
    docker(&["rmi", &name]).unwrap();
    assert_eq!(std::fs::read_to_string(to).unwrap(), SPEC);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_made_the_originals_way_are_read() {
    let server = registry_or_return!(false);
    if !has_engine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let build_and_push = |name: &str, files: &[(&str, &str)], dockerfile: &str| {
        let name = format!("{}/astro/images:{name}", server.address);
        let place = folder.path().join(name.replace(['/', ':'], "-"));
        std::fs::create_dir(&place).unwrap();
        for (file, text) in [files, &[("Dockerfile", dockerfile)]].concat() {
            std::fs::write(place.join(file), text).unwrap();
        }
        docker(&["build", "--quiet", "--tag", &name, place.to_str().unwrap()]).unwrap();
        docker(&["push", "--quiet", &name]).unwrap();
        docker(&["rmi", &name]).unwrap();
    };
    build_and_push("one", &[("s", SPEC)], "FROM scratch\nCOPY s /nbw-wrangler-spec.yaml\n");
    build_and_push(
        "both",
        &[("s", "old name\n"), ("t", "new name\n")],
        "FROM scratch\nCOPY t /nbw-wrangler-spec.yaml\nCOPY s /spec.yaml\n",
    );
    build_and_push(
        "layers",
        &[("s", "lower\n"), ("t", "upper\n")],
        "FROM scratch\nCOPY s /spec.yaml\nCOPY s /other\nCOPY t /spec.yaml\n",
    );
    build_and_push("none", &[("s", "lower\n")], "FROM scratch\nCOPY s /folder/spec.yaml\n");
    let registry = open(&server, None);
    for (name, spec) in [("one", SPEC), ("both", "old name\n"), ("layers", "upper\n")] {
        let found = registry.spec(&Which::Tag(tag(name))).await.unwrap();
        assert_eq!(String::from_utf8(found.spec).unwrap(), spec, "{name}");
    }
    let none = registry.spec(&Which::Tag(tag("none"))).await.unwrap_err();
    assert_eq!(none.kind, PublishErrorKind::NoSpec);
    assert!(none.to_string().contains("none holds neither /spec.yaml nor"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nb_wrangler_prints_what_docent_published() {
    let server = registry_or_return!(false);
    let Some(wrangler) = support::wrangler() else { return };
    if !has_engine() {
        return;
    }
    open(&server, None).publish(&image(SPEC), &tag("nbs_a")).await.unwrap();
    let name = format!("{}/astro/images:nbs_a_1", server.address);
    let home = tempfile::tempdir().unwrap();
    let ran = Command::new(wrangler)
        .args(["--docker-cat", &name])
        .current_dir(home.path())
        .env("HOME", home.path())
        .output()
        .unwrap();
    docker(&["rmi", &name]).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), SPEC);
}
