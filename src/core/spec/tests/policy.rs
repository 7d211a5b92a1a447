//! What policy refuses, and where.

use super::super::policy::SpecPolicy;
use super::{GOOD, changed, good};

#[track_caller]
fn refused(text: &str) -> Vec<String> {
    SpecPolicy::default().judge(&good(text)).iter().map(ToString::to_string).collect()
}

/// Addresses of clones, and the begin of why not.
const ADDRESSES: &[(&str, &str)] = &[
    ("http://github.com/a/b", "may not be reached by \"http\", only by https"),
    ("ssh://git@github.com/a/b", "may not be reached by \"ssh\""),
    ("git://github.com/a/b", "may not be reached by \"git\""),
    ("file:///srv/b", "may not be reached by \"file\""),
    ("ext::sh/b", "may not be reached by \"ext\""),
    ("/srv/git/b", "is no address"),
    ("../b", "is no address"),
    ("git@github.com:a/b", "is no address"),
    ("https://user:word@github.com/a/b", "carries a name or a password"),
    ("https://token@github.com/a/b", "carries a name or a password"),
    ("https://evil.example/a/b", "is on \"evil.example\", which the operator does not list"),
    ("https://github.com.evil.example/a/b", "is on \"github.com.evil.example\""),
    ("https://notgithub.com/a/b", "is on \"notgithub.com\""),
    ("https://github.com:8443/a/b", "is on \"github.com:8443\""),
    ("https://127.0.0.1/a/b", "is on \"127.0.0.1\""),
    ("https://[::1]/a/b", "is on \"[::1]\""),
];

#[test]
fn clones_come_from_listed_hosts_by_https_only() {
    assert_eq!(refused(GOOD), Vec::<String>::new());
    for (address, why) in ADDRESSES {
        let told = refused(&changed("https://github.com/example/notes.git", &format!("'{address}'")));
        assert_eq!(told.len(), 1, "{address}: {told:?}");
        assert!(told[0].starts_with(&format!("s:11:10: url {address:?} {why}")), "{told:?}");
        let told = refused(&changed("https://github.com/example/images.git", &format!("'{address}'")));
        assert!(told[0].starts_with(&format!("s:24:11: repo {address:?} {why}")), "{told:?}");
    }
    assert!(refused(&changed("github.com/example/notes", "GitHub.com/example/notes")).is_empty());
}

#[test]
fn the_operator_lists_hosts_and_schemes() {
    let mut policy = SpecPolicy::default();
    policy.hosts.extend(["*.example.org".to_owned(), "git.test:8443".to_owned()]);
    policy.schemes.insert("http".to_owned());
    for fine in [
        "https://git.example.org/a",
        "https://a.b.example.org/a",
        "https://git.test:8443/a",
        "http://github.com/a",
    ] {
        assert_eq!(policy.refuses_address(fine), None, "{fine}");
    }
    for not in ["https://example.org/a", "https://badexample.org/a", "https://git.test/a"] {
        assert!(policy.refuses_address(not).is_some(), "{not}");
    }
}

/// Lines of packages for pip, and what of them is refused; nothing: they are fine.
const LINES: &[(&str, &str)] = &[
    ("numpy", ""),
    ("healpy>=1.20.b1", ""),
    ("jdaviz >= 5.0 # motorcycle", ""),
    ("a[b, c]>=1,<2 ; python_version < '3.12'", ""),
    ("a (>=1)", ""),
    ("bqplot==0.13.*", ""),
    ("git+https://github.com/a/b.git@main", ""),
    ("a @ git+https://github.com/a/b@v1#subdirectory=x", ""),
    ("a@https://github.com/a/b/a-1.whl ; os_name == 'posix'", ""),
    ("# only a comment", ""),
    ("-r other.txt", "the option \"-r\""),
    ("--index-url=https://evil.example", "the option \"--index-url\""),
    ("-e .", "the option \"-e\""),
    ("-e git+https://github.com/a/b", "the option \"-e\""),
    ("numpy --config-settings=x=y", "the option \"--config-settings\""),
    ("./local", "nothing is installed from paths"),
    ("../up", "nothing is installed from paths"),
    ("/abs/a.whl", "nothing is installed from paths"),
    ("a.whl", "nothing is installed from paths"),
    ("a-1.tar.gz", "nothing is installed from paths"),
    (".", "nothing is installed from paths"),
    ("a @ ./local", "nothing is installed from paths"),
    ("a @ file:///srv/a", "nothing is installed from paths"),
    ("file:a", "nothing is installed from paths"),
    ("git@github.com:a/b", "nothing is installed from paths"),
    ("dir/name", "nothing is installed from paths"),
    ("https://evil.example/a.whl", "is on \"evil.example\""),
    ("git+https://evil.example/a/b", "is on \"evil.example\""),
    ("git+ssh://git@github.com/a/b", "may not be reached by \"git+ssh\"|may not be reached by \"ssh\""),
    ("git+file:///srv/b", "may not be reached by \"file\""),
    ("git+http://github.com/a/b", "may not be reached by \"http\""),
    ("hg+https://github.com/a/b", "may not be reached by \"hg+https\""),
    ("git+https://github.com/a/b@--upload-pack=x", "a ref that begins with `-`"),
    ("git+https://x@github.com/a/b", "carries a name"),
    ("a @ https://github.com/${TOKEN}", "holds a variable"),
    ("`id`", "nothing is installed from paths"),
];

#[test]
fn lines_of_packages_name_packages() {
    for (line, why) in LINES {
        let quoted = format!("'{}'", line.replace('\'', "''"));
        let told = refused(&changed("- numpy", &format!("- {quoted}")));
        if why.is_empty() {
            assert_eq!(told, Vec::<String>::new(), "{line}");
        } else {
            assert_eq!(told.len(), 1, "{line}: {told:?}");
            assert!(told[0].starts_with("s:20:5: the line "), "{told:?}");
            assert!(why.split('|').any(|why| told[0].contains(why)), "{line}: {told:?}");
        }
        let file = SpecPolicy::default().judge_requirements(&format!("scipy\n{line}\n"), "r.txt");
        assert_eq!(file.is_empty(), why.is_empty(), "{line}: {file:?}");
        assert!(file.iter().all(|refusal| refusal.place.line == 2));
    }
}

#[test]
fn requirement_files_cannot_hide_options_behind_line_ends() {
    let judged = SpecPolicy::default()
        .judge_requirements("\u{feff}# x \\\nnumpy \\\n  --hash=sha256:x\r\n-\\\nr x\n", "r.txt");
    let told: Vec<String> = judged.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("r.txt:2:1: ") && told[0].contains("--hash"), "{told:?}");
    assert!(told[1].starts_with("r.txt:4:1: ") && told[1].contains("\"-r\""), "{told:?}");
    let allowed =
        SpecPolicy { package_options: ["-r".into(), "--hash".into()].into(), ..SpecPolicy::default() };
    assert!(allowed.judge_requirements("numpy --hash=sha256:x\n-r x\n", "r.txt").is_empty());
}

#[test]
fn mamba_and_apt_lines_channels_commands_and_data_are_judged() {
    let with = |section: &str| {
        refused(&changed("extra_pip_packages:\n", &format!("{section}\nextra_pip_packages:\n")))
    };
    for (section, why) in [
        ("extra_mamba_packages: ['nodejs>=22.0', 'python=3.11', 'conda-forge::pkg']", ""),
        ("extra_mamba_packages: ['-c evil']", "the option \"-c\""),
        ("extra_mamba_packages: ['@EXPLICIT']", "the option \"@EXPLICIT\""),
        ("extra_mamba_packages: [./x.conda]", "from paths"),
        ("extra_mamba_packages: ['x[channel=/repo/chan]']", "from paths"),
        ("common_mamba_packages: ['https://evil.example/x.conda']", "evil.example"),
        ("common_mamba_packages: [$HOME]", "a variable"),
        ("apt_packages: [libgl1, 'gcc=4:12.2.0']", ""),
        ("apt_packages: ['-o=Dpkg::Pre-Invoke::=sh']", "the option"),
        ("apt_packages: [./x.deb]", "from paths"),
        ("apt_packages: ['x; id']", "from paths"),
        ("commands: {pip: /tmp/evil}", "the command \"/tmp/evil\" for pip"),
        ("override_pip_versions: ['-r x']", "the option"),
        ("assets: [{repo: 'https://evil.example/a', source: a, destination: /opt}]", "evil.example"),
        (
            "assets: [{repo: 'https://github.com/a/b', ref: -x, source: -y, destination: /opt}]",
            "begins with `-`",
        ),
    ] {
        let told = with(section);
        assert_eq!(told.is_empty(), why.is_empty(), "{section}: {told:?}");
        assert!(
            told.iter().all(|told| told.contains(why) && told.starts_with("s:19:")),
            "{section}: {told:?}"
        );
    }
    assert!(
        refused(&changed("  spec_version", "  commands: {mamba: bash, pip: uv pip}\n  spec_version"))[0]
            .contains("bash")
    );
    let without = changed("  kernel_name: alpha\n", "").replace("  python_version: '3.12'\n", "");
    let inline = |channel: &str| refused(&format!("{without}---\nname: x\nchannels: ['{channel}']\n"));
    assert!(inline("conda-forge").is_empty());
    assert!(inline("https://evil.example/c")[0].starts_with("s:25:12: channel "));
    assert!(inline("file:///c")[0].contains("\"file\""));
    assert!(inline("../c")[0].contains("is no name of a channel"));
    let uri =
        without.replace("repositories:", "environment_spec: {uri: 'http://github.com/e.yml'}\nrepositories:");
    assert!(refused(&uri)[0].contains("\"http\""));
}
