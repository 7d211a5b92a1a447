//! What a lock says, and what has changed since the lock before it. Two texts are enough: it does not matter whether a lock has
//! hashes, remarks, or stands in the `out` of a spec that somebody else has curated.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::environment;
use super::id::RunId;
use super::recipe::Recipe;
use super::run::Run;

/// Packages of one kind of change that are remembered; how many more there are is counted.
const MOST: usize = 500;
/// Packages of one lock that are read.
const MOST_PACKAGES: usize = 20_000;
/// Characters of a name or a version.
const LONGEST: usize = 200;
/// Stands behind the name of what comes from a conda channel: pip may bring a package of the same name.
const OF_CHANNEL: &str = " (conda)";

/// Which lock came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Since {
    /// That of the latest trusted run.
    Run {
        /// The run.
        run: RunId,
    },
    /// What the spec itself has from an earlier curation.
    Spec,
}

/// A package at a version; a stranger's texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name, as it is normalised.
    pub name: String,
    /// Its version, or where it is taken from; several where that differs by platform.
    pub version: String,
}

/// A package at another version than before; a stranger's texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Its name.
    pub name: String,
    /// Its version before.
    pub before: String,
    /// Its version now.
    pub after: String,
}

/// What a lock has that the one before it had not, each kind by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockChanges {
    /// Which one that is.
    pub since: Since,
    /// New packages.
    pub added: Vec<Package>,
    /// Packages that are gone.
    pub removed: Vec<Package>,
    /// Packages at another version.
    pub changed: Vec<Moved>,
    /// Changes beyond those that are named.
    #[serde(default)]
    pub more: usize,
}

impl LockChanges {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len() + self.more
    }
}

/// What has changed from one lock to the next.
pub fn compare(before: &str, after: &str, since: Since) -> LockChanges {
    let (mut before, mut after) = (packages(before), packages(after));
    // The spec keeps only what pip was told.
    if since == Since::Spec {
        for packages in [&mut before, &mut after] {
            packages.retain(|name, _| !name.ends_with(OF_CHANNEL));
        }
    }
    let package =
        |(name, version): (&String, &String)| Package { name: name.clone(), version: version.clone() };
    let mut added: Vec<Package> =
        after.iter().filter(|(name, _)| !before.contains_key(*name)).map(package).collect();
    let mut removed: Vec<Package> =
        before.iter().filter(|(name, _)| !after.contains_key(*name)).map(package).collect();
    let mut changed: Vec<Moved> = after
        .iter()
        .filter_map(|(name, version)| Some((name, before.get(name).filter(|old| *old != version)?, version)))
        .map(|(name, before, after)| Moved {
            name: name.clone(),
            before: before.clone(),
            after: after.clone(),
        })
        .collect();
    let all = added.len() + removed.len() + changed.len();
    added.truncate(MOST);
    removed.truncate(MOST);
    changed.truncate(MOST);
    let more = all - added.len() - removed.len() - changed.len();
    LockChanges { since, added, removed, changed, more }
}

/// Whether the lock of `earlier` is one that `run` can be compared with: of trusted code, of the branch that this run is of or would
/// merge into (or a commit of it that docent itself asked for), and of the same spec.
pub fn may_precede(earlier: &Run, run: &Run, base_branch: Option<&str>) -> bool {
    let spec = |run: &Run| run.plan.as_ref().map(|plan| plan.curation.as_ref().map(|it| it.spec.clone()));
    let recipe = |run: &Run| run.recipe.as_ref().map(|recipe| recipe.name.clone());
    let is_of_branch = match earlier.request.branch() {
        Some(branch) => base_branch.is_none_or(|base| base == branch.name),
        None => true,
    };
    earlier.id < run.id
        && !earlier.request.is_untrusted
        && earlier.request.pull.is_none()
        && earlier.request.repository() == run.request.repository()
        && is_of_branch
        && spec(earlier) == spec(run)
        && recipe(earlier) == recipe(run)
        && environment::lock(earlier).is_some()
}

/// Whether a resolution keeps to the lock before it as far as the requirements allow, instead of taking what is newest.
pub fn is_sticky(recipe: &Recipe) -> bool {
    recipe.settings.get("resolution").and_then(serde_json::Value::as_str) == Some("sticky")
}

/// Versions by the name of the package. What locks no version (options, remarks, hashes) says nothing here.
fn packages(lock: &str) -> BTreeMap<String, String> {
    let mut packages: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (name, version) in lock.lines().filter_map(package).take(MOST_PACKAGES) {
        packages.entry(name).or_default().insert(version);
    }
    let joined = |versions: BTreeSet<&str>| versions.into_iter().collect::<Vec<_>>().join(", ");
    packages.into_iter().map(|(name, versions)| (name, cut(&joined(versions)))).collect()
}

/// `name[extra]==version ; marker \`, `name @ address`, or a remark that names a package of a conda channel.
fn package(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if let Some(told) = line.strip_prefix("# conda ") {
        return of_channel(told);
    }
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(['-', '_', '.']) {
        return None;
    }
    rest = rest.trim_start();
    if let Some(extras) = rest.strip_prefix('[') {
        rest = extras.split_once(']')?.1.trim_start();
    }
    let version = match (rest.strip_prefix("=="), rest.strip_prefix('@')) {
        (Some(version), _) => version.trim_start().split([';', ' ', '\t', '\\']).next()?,
        (_, Some(address)) => address.split_whitespace().next()?,
        _ => return None,
    };
    (!version.is_empty()).then(|| (normal(name), version))
}

/// `linux-64 https://host/channel/linux-64/name-version-build.conda#checksum …`.
fn of_channel(told: &str) -> Option<(String, &str)> {
    let address = told.split(' ').nth(1)?.split('#').next()?;
    let mut parts = address.rsplit('/').next()?.rsplitn(3, '-');
    let (_, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    (!name.is_empty() && !version.is_empty()).then(|| (cut(name) + OF_CHANNEL, version))
}

/// A name as the index has it: `Zope.Interface` is `zope-interface`.
fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    cut(&parts.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHED: &str = "# Python 3.11\nnumpy==2.0.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nZope.Interface==7.0 \\\n    --hash=sha256:cc\ntzdata==2026.1 ; sys_platform == 'win32' \\\n    --hash=sha256:dd\nhere @ git+https://example.org/here@0123456789012345678901234567890123456789\n";
    const REMARKED: &str = "numpy==1.26.4\n    # via -r notebooks/requirements.txt\nzope-interface==7.0 ; python_version < '3.13'\n    # via\n    #   numpy==9\nold==1\n";

    #[test]
    fn a_lock_is_compared_with_another_of_whatever_form() {
        let changes = compare(REMARKED, HASHED, Since::Spec);
        let of = |packages: &[Package]| -> Vec<String> {
            packages.iter().map(|it| format!("{} {}", it.name, it.version)).collect()
        };
        assert_eq!(
            of(&changes.added),
            ["here git+https://example.org/here@0123456789012345678901234567890123456789", "tzdata 2026.1"]
        );
        assert_eq!(of(&changes.removed), ["old 1"]);
        let moved = Moved { name: "numpy".into(), before: "1.26.4".into(), after: "2.0.1".into() };
        assert_eq!(changes.changed, [moved]);
        assert_eq!((changes.count(), changes.more), (4, 0));
        assert_eq!(compare(HASHED, HASHED, Since::Spec).count(), 0);
    }

    #[test]
    fn lines_that_lock_nothing_say_nothing() {
        for (line, expected) in [
            ("numpy==2.0", Some(("numpy", "2.0"))),
            ("Foo__Bar.baz[x, y] == 1.0;python_version<'3'", Some(("foo-bar-baz", "1.0"))),
            ("a @ https://example.org/a.whl ; x", Some(("a", "https://example.org/a.whl"))),
            ("a==1 --hash=sha256:aa", Some(("a", "1"))),
            ("-e git+https://example.org/a", None),
            ("--hash=sha256:aa", None),
            ("# a==1", None),
            (
                "# conda linux-64 https://h/c/linux-64/lib-greet-1.0-h1_0.conda#aa sha256=bb",
                Some(("lib-greet (conda)", "1.0")),
            ),
            ("# conda linux-64 https://h/c/linux-64/x.conda#aa", None),
            ("# conda", None),
            ("a>=1", None),
            ("a", None),
            ("a==", None),
            ("a[b==1", None),
            ("==1", None),
            ("", None),
            ("é==1", None),
        ] {
            let found = package(line);
            assert_eq!(found.as_ref().map(|(name, version)| (name.as_str(), *version)), expected, "{line}");
        }
    }

    #[test]
    fn packages_of_channels_are_compared_with_those_of_a_run_only() {
        let lock = |version: &str| {
            format!("# conda noarch https://h/c/noarch/proj-{version}-0.conda#aa sha256=bb\nproj==3\n")
        };
        let since = Since::Run { run: RunId(3) };
        let moved = Moved { name: "proj (conda)".into(), before: "1".into(), after: "2".into() };
        assert_eq!(compare(&lock("1"), &lock("2"), since).changed, [moved]);
        assert_eq!(compare("proj==3\n", &lock("2"), Since::Spec).count(), 0, "a spec has no such lines");
    }

    #[test]
    fn several_versions_of_one_package_are_one_and_many_changes_are_counted() {
        let one = compare("a==1 ; x\na==2 ; y\n", "a==2 ; x\na==1 ; y\n", Since::Spec);
        assert_eq!(one.count(), 0, "only the platforms have changed places");
        let many: String = (0..600).map(|number| format!("p{number}==1\n")).collect();
        let changes = compare("", &many, Since::Run { run: RunId(3) });
        assert_eq!((changes.added.len(), changes.more, changes.count()), (500, 100, 600));
    }
}
