//! Listing and short names, with the original as judge: the same tags, but for its order of numbers.

use std::process::Command;

use docent::publish::Registry;

use super::support::registry::RegistryServer;
use super::{docent, image, open, support, tag};

/// Tags as curation makes them, and others that stand beside them.
const TAGS: [&str; 11] = [
    "nbs_RomanNexus-2026.1_dev_20260406-20261006_9",
    "nbs_RomanNexus-2026.1_dev_20260406-20261006_10",
    "nbs_RomanNexus-2026.1_dev_20260406-20261006_40",
    "nbs_RomanNexus-2026.1_prod_20260406-20261006_2",
    "nbs_Roman_prod_20260406-20261006_1",
    "nbs_TIKE_prod_20260406-undef_3",
    "nbs_TIKE_prod_20260406-undef_140",
    "nbs_TIKE_latest",
    "nbw_RomanNexus-2026.1_dev_20260406-20261006_41",
    "latest",
    "Roman",
];

/// Asks the original: what a pattern lists, and what a short name means.
const JUDGE: &str = "
import json, logging, sys
from nb_wrangler.registry import RegistryManager
tags, lists, names = json.loads(sys.argv[1])
class Judge(RegistryManager):
    def __init__(self):
        self.logger = logging.getLogger('judge')
    def _list_tags(self, registry, project):
        return list(tags)
judge = Judge()
print('JUDGED' + json.dumps([[judge.list_specs(one) for one in lists], [judge.resolve_image(one, 'nbs_') for one in names]]))
";

async fn fill(registry: &Registry) {
    for (at, name) in TAGS.iter().enumerate() {
        registry.publish_as(&image(&format!("number: {at}\n")), tag(name)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_lists_and_means_the_same() {
    let Some(server) = RegistryServer::start(false).await else { return };
    let Some(wrangler) = support::wrangler() else { return };
    fill(&open(&server, None)).await;
    let lists = [
        "*",
        "Roman*",
        "Roman",
        "RomanNexus*dev*",
        "_40",
        "*_1",
        "TIKE*_?",
        "nbs_R*",
        "Roman*_1?",
        "nothing",
    ];
    let names = ["_40", "Roman*_40", "TIKE*_1*", "RomanNexus*prod*", "images:TIKE*_3"];
    let asked = serde_json::json!([TAGS, lists, names]).to_string();
    let ran = Command::new(wrangler.with_file_name("python")).args(["-c", JUDGE, &asked]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let answer = said.lines().find_map(|line| line.strip_prefix("JUDGED"));
    let answer = answer.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&ran.stderr)));
    let (judged, meant): (Vec<Vec<String>>, Vec<String>) = serde_json::from_str(answer).unwrap();

    let desk = tempfile::tempdir().unwrap();
    let home = ["--registry", &server.address, "--project", "astro/images"];
    for (pattern, mut judged) in lists.iter().zip(judged) {
        let (code, out, told) = docent(desk.path(), &[&["list", *pattern][..], &home].concat());
        assert_eq!(code, 0, "{told}");
        let listed: Vec<&str> = out.lines().collect();
        judged.sort_by_key(|name| tag(name));
        assert_eq!(listed, judged, "{pattern}: the same, with numbers in the order of numbers");
    }
    let all = docent(desk.path(), &[&["list", "RomanNexus*dev*"][..], &home].concat()).1;
    let numbers: Vec<&str> = all.lines().map(|line| line.rsplit('_').next().unwrap()).collect();
    assert_eq!(numbers, ["9", "10", "40"]);
    for (name, meant) in names.iter().zip(meant) {
        let meant = meant.rsplit_once(':').unwrap().1.to_owned();
        let at = TAGS.iter().position(|tag| *tag == meant).unwrap();
        let (code, out, told) = docent(desk.path(), &[&["cat", *name][..], &home].concat());
        assert_eq!((code, out), (0, format!("number: {at}\n")), "{name} is {meant}: {told}");
    }
}
