//! The table of what passes and what does not.

use super::*;
use std::collections::BTreeMap;

fn named(hosts: &[&str]) -> Policy {
    Policy { hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(), ..Default::default() }
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn named_hosts_pass_and_no_other() {
    let policy = named(&[
        "index.example.org",
        "files.example.org:8443",
        "http://mirror:8080",
        "10.0.0.5",
        "[fd00::5]",
    ]);
    for (is_tunnel, host, port) in [
        (true, "index.example.org", 443),
        (true, "INDEX.example.org.", 443),
        (true, "files.example.org", 8443),
        (false, "mirror", 8080),
        (true, "10.0.0.5", 443),
        (true, "[fd00::5]", 443),
    ] {
        assert!(matches!(policy.way(is_tunnel, host, port), Ok(Way::Named { .. })), "{host}:{port}");
    }
    for (is_tunnel, host, port) in [
        (true, "index.example.org", 80),
        (false, "index.example.org", 443),
        (false, "index.example.org", 80),
        (true, "files.example.org", 443),
        (true, "mirror", 8080),
        (true, "mirror", 443),
        (true, "a.index.example.org", 443),
        (true, "index.example.org.evil.example", 443),
        (true, "xindex.example.org", 443),
        (true, "10.0.0.6", 443),
        (true, "localhost", 443),
    ] {
        let refusal = policy.way(is_tunnel, host, port).unwrap_err().to_string();
        assert!(refusal.contains("index.example.org, files.example.org:8443"), "{refusal}");
        assert!(refusal.contains("index_hosts") && !refusal.contains('\n'), "{refusal}");
    }
}

#[test]
fn unnamed_hosts_pass_by_https_alone() {
    let policy = Policy::default();
    let way = policy.way(true, "Index.Example.org", 443);
    assert_eq!(way, Ok(Way::Public { host: "index.example.org".to_owned(), port: 443 }));
    for (is_tunnel, port) in [(true, 80), (true, 22), (true, 8443), (false, 80), (false, 443)] {
        assert!(policy.way(is_tunnel, "index.example.org", port).is_err(), "{is_tunnel} {port}");
    }
    let long = policy.way(true, &"x".repeat(5000), 22).unwrap_err().to_string();
    assert!(long.len() < 300, "{long}");
}

#[test]
fn addresses_pass_only_if_all_of_them_may() {
    let policy = Policy { own: vec!["198.51.100.7".parse().unwrap()], ..Default::default() };
    let pass = |addresses: &[&str]| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        policy.pass_addresses("x.example", &addresses)
    };
    assert_eq!(pass(&["203.0.113.80"]), Ok(()));
    assert_eq!(pass(&["203.0.113.80", "2606:4700::1"]), Ok(()));
    for addresses in [
        &["127.0.0.1"][..],
        &["203.0.113.80", "10.0.0.1"],
        &["::ffff:10.0.0.1"],
        &["fd00::2"],
        &["198.51.100.7"],
        &["::ffff:198.51.100.7"],
        &["64:ff9b::198.51.100.7"],
    ] {
        assert!(pass(addresses).is_err(), "{addresses:?}");
    }
    let text = pass(&["169.254.169.254"]).unwrap_err().to_string();
    assert_eq!(
        text,
        "x.example has the address 169.254.169.254, which is not public; index_hosts under [executor] in docent.toml \
         names what may be"
    );
}

#[test]
fn the_operators_proxy_leads_to_named_hosts_but_the_excepted() {
    let upstream = Upstream::from_variables(&variables(&[
        ("https_proxy", "http://proxy.example.org:3128"),
        ("no_proxy", "localhost, .near.example.org,*.other.example"),
    ]));
    let policy = Policy {
        upstream,
        ..named(&["index.example.org", "a.near.example.org", "other.example", "http://m"])
    };
    let upstream_to = |is_tunnel, host, port| match policy.way(is_tunnel, host, port) {
        Ok(Way::Named { upstream, .. }) => upstream,
        other => panic!("{other:?}"),
    };
    let proxy = Some(("proxy.example.org".to_owned(), 3128));
    assert_eq!(upstream_to(true, "index.example.org", 443), proxy);
    assert_eq!(upstream_to(true, "a.near.example.org", 443), None);
    assert_eq!(upstream_to(true, "other.example", 443), None);
    assert_eq!(upstream_to(false, "m", 80), None, "there is none for http");
    assert_eq!(Upstream::from_variables(&variables(&[("no_proxy", "*")])), None);
    assert_eq!(Upstream::from_variables(&variables(&[("https_proxy", "socks5://x:1")])), None);
    let bare = Upstream::from_variables(&variables(&[("all_proxy", "proxy:8080")])).unwrap();
    assert_eq!((bare.https, bare.http.unwrap().1), (Some(("proxy".to_owned(), 8080)), 8080));
}

#[test]
fn variables_of_indexes_name_hosts() {
    let hosts = hosts_of(&variables(&[
        ("PIP_INDEX_URL", "https://index.example.org/simple"),
        ("UV_INDEX", "own=https://a.example.org:8443/x http://b.example.org/y"),
        ("PIP_EXTRA_INDEX_URL", "https://index.example.org/other"),
        ("CONDA_CHANNEL_ALIAS", "https://channels.example.org/"),
        ("https_proxy", "http://proxy.example.org:3128"),
    ]));
    let shown: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["a.example.org:8443", "http://b.example.org", "channels.example.org", "index.example.org"]
    );
}
