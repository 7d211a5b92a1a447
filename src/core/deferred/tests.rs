use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::core::mistake::lines;
use crate::core::plan::Plan;
use crate::core::verdict::Verdict;

mod closing;
mod property;

/// As the maintainers of cc-ci write it.
pub(super) const SAMPLE: &str = "\
# DEFERRED — items parked for operator input

## Conventions

- **Append-only.** Either side may file.

## Format (one item per entry)

```
### YYYY-MM-DD — <slug>
- [ ] **What:** <concrete description>
```

---

## Open deferrals

### 2026-05-28 — matrix-synapse `compress_state.sh` port

- [ ] **What:** Port `recipe-info/compress_state.sh` to
      `tests/matrix-synapse/functional/`. The original creates state groups.

  It runs for an hour:
  - in a room of its own.
- **Filed by:** Builder, phase 2
- **Reason for deferral:** more than needed for default CI
- **Re-entry trigger:** the `--extra-tests` flag
- **Linked IDEA / BACKLOG:** IDEAS.md

### 2026-05-29 - closed-in-place

- [x] **What:** a thing.
- **Filed by:** Adversary, phase 2
- **Reason for deferral:** dependency
- 2026-06-11: done in abc1234.

---

## Closed deferrals

(none yet)
";

pub(super) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub(super) fn mistakes(text: &str) -> String {
    lines(&read(text, "D.md").mistakes)
}

#[test]
fn the_format_is_read_as_it_is_written() {
    assert_eq!(mistakes(SAMPLE), "");
    let register = read(SAMPLE, "D.md");
    let found: Vec<_> = register.deferrals().map(|it| (it.slug.as_str(), it.is_closed)).collect();
    assert_eq!(found, [("matrix-synapse-compress-state-sh-port", false), ("closed-in-place", true)]);
    let first = register.entry("matrix-synapse `compress_state.sh` port").unwrap();
    assert_eq!((first.line, first.deferral.since), (18, day("2026-05-28")));
    assert_eq!(
        first.deferral.what,
        "Port `recipe-info/compress_state.sh` to `tests/matrix-synapse/functional/`. The original creates state groups.\n\n\
         It runs for an hour: - in a room of its own."
    );
    assert_eq!(first.deferral.filed_by, "Builder, phase 2");
    assert_eq!(first.deferral.trigger.as_deref(), Some("the `--extra-tests` flag"));
    assert_eq!(first.deferral.linked.as_deref(), Some("IDEAS.md"));
    assert_eq!(first.deferral.tests, ["recipe-info/compress_state.sh", "tests/matrix-synapse/functional/"]);
}

#[test]
fn our_own_file_is_right() {
    let text = include_str!("../../../DEFERRED.md");
    assert_eq!(mistakes(text), "");
    let register = read(text, FILE);
    assert!(register.entries.len() >= 7);
    let headings = text.lines().filter(|line| line.starts_with("### ")).count();
    assert_eq!(register.entries.len(), headings, "every entry is read");
    assert!(register.deferrals().any(|it| it.is_closed) && register.deferrals().any(|it| !it.is_closed));
}

/// A file with one entry that is right.
const GOOD: &str = "\
## Open deferrals

### 2026-11-27 load-test

- [ ] **What**: a
- **Filed by**: b
- **Reason for deferral**: c

## Closed deferrals
";

#[test]
fn every_mistake_is_told_with_its_place() {
    assert_eq!(mistakes(GOOD), "");
    let table = [
        ("## Closed deferrals\n", "", "D.md:9:1: there is no section `## Closed deferrals`: add it"),
        (
            "## Closed d",
            "## Closd d",
            "D.md:9:1: unknown section «Closd deferrals» (did you mean \"Closed deferrals\"?)\n\
           D.md:10:1: there is no section `## Closed deferrals`: add it",
        ),
        (
            "## Closed d",
            "## Open deferrals\n## Closed d",
            "D.md:9:1: there is a section «Open deferrals» already: move the entries there",
        ),
        (
            "### 2026-11-27 load",
            "### load",
            "D.md:3:1: an entry is headed `### 2026-11-27 slug`, and not «load-test»",
        ),
        ("11-27", "11-31", "D.md:3:1: 2026-11-31 is no day"),
        (" load-test", " — ", "D.md:3:1: the heading names nothing behind 2026-11-27: add a slug"),
        ("### 2026", "## 2026", "D.md:3:1: entries are headed with `###`"),
        ("### 2026", "#### 2026", "D.md:3:1: entries are headed with `###`"),
        ("[ ] ", "", "D.md:5:1: «What» has no box: write `- [ ] **What**: …`"),
        ("**: b", "**:", "D.md:6:5: «Filed by» says nothing"),
        ("- **Filed by**: b\n", "", "D.md:3:1: the entry has no «Filed by»"),
        (
            "Reason for deferral",
            "Raeson for deferral",
            "D.md:7:5: unknown field «Raeson for deferral» (did you mean \"Reason for deferral\"?)",
        ),
        ("**: b\n", "**: b\n- **Filed by**: d\n", "D.md:7:5: «Filed by» stands twice; first in line 6"),
        ("[ ]", "[x]", "D.md:5:9: the box is ticked, and nothing says what closed it: add `- **Closed**: …`"),
        (
            "**: c\n",
            "**: c\n- **Closed**: d\n",
            "D.md:8:5: this line closes the entry, whose box is not ticked: tick it",
        ),
        (
            "## Open deferrals\n",
            "## Open deferrals\n## Closed deferrals\n",
            "D.md:6:9: stands among the closed ones, and its box is not ticked: tick it, or move it to the open ones\n\
          D.md:10:1: there is a section «Closed deferrals» already: move the entries there",
        ),
        (
            "## Open deferrals\n",
            "### 2026-01-02 lost\n\n## Open deferrals\n",
            "D.md:1:1: this entry stands in neither section: move it below `## Open deferrals`",
        ),
        (
            "## Closed",
            "### 2026-11-28 Load  test\n- [ ] **What:** a\n- **Filed by:** b\n\
          - **Reason for deferral:** c\n\n## Closed",
            "D.md:9:1: there is an entry load-test already, in line 3: choose another",
        ),
        (
            "### 2026-11-27 load-test\n",
            "",
            "D.md:4:9: «What» stands below no heading of an entry\n\
           D.md:5:5: «Filed by» stands below no heading of an entry\n\
           D.md:6:5: «Reason for deferral» stands below no heading of an entry",
        ),
    ];
    let broken = table.map(|(from, to, _)| GOOD.replacen(from, to, 1));
    assert!(broken.iter().all(|broken| broken != GOOD));
    assert_eq!(broken.map(|broken| mistakes(&broken)), table.map(|(.., expected)| expected));
    let strange = read_bytes(b"## Open deferrals\n\xff", "D.md");
    assert_eq!(lines(&strange.mistakes), "D.md:2:1: is no UTF-8 from here on; save the file as UTF-8");
    assert_eq!(read_bytes(&vec![b'a'; MAX_BYTES + 1], "D.md").mistakes.len(), 1);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let broken = GOOD.replace("11-27", "13-40").replace("**: b", "**:").replace("[ ] ", "");
    assert_eq!(mistakes(&broken).lines().count(), 3);
}

#[test]
fn what_is_clear_is_taken_as_it_is_meant() {
    for (from, to) in [
        ("2026-11-27 load-test", "2026-11-27 — `load`-test"),
        ("2026-11-27 load-test", "2026-11-27: Load test ###"),
        ("## Open deferrals", "## OPEN deferrals"),
        ("- [ ] **What**:", "* [ ]  __What__ :"),
        ("**Filed by**:", "**filed by:**"),
        ("**: b", "**:\n  b"),
        ("**: c\n", "**: c\n- **Severity**: low\n\nAnd a remark.\n"),
        ("\n## Closed", "\n#### Notes\n\n- nothing\n\n---\n\n## Closed"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        assert_eq!(mistakes(&text), "", "{to}");
        let register = read(&text, "D.md");
        let deferral = &register.entry("load-test").unwrap().deferral;
        assert_eq!(
            (deferral.what.as_str(), deferral.filed_by.as_str(), deferral.reason.as_str()),
            ("a", "b", "c"),
            "{to}"
        );
    }
    let windows = GOOD.replace('\n', "\r\n");
    assert_eq!(mistakes(&windows), "");
    assert_eq!(read(&windows, "").entries[0].deferral, read(GOOD, "").entries[0].deferral);
}

#[test]
fn an_entry_is_added_to_the_end_of_the_open_ones() {
    let new = NewDeferral {
        slug: "soak".to_owned(),
        what: "`extra/test_soak.py::test_a_day`\nruns.\n\nFor a day.".to_owned(),
        filed_by: "me".to_owned(),
        reason: "# time".to_owned(),
        trigger: Some("a weekend".to_owned()),
        linked: None,
    };
    let added = add(SAMPLE, &new, day("2026-11-27")).unwrap();
    let expected = "\
### 2026-11-27 - soak

- [ ] **What:** `extra/test_soak.py::test_a_day` runs.

  For a day.
- **Filed by:** me
- **Reason for deferral:** # time
- **Re-entry trigger:** a weekend

---

## Closed";
    assert!(added.contains(expected), "{added}");
    assert_eq!(added.replacen(expected.strip_suffix("---\n\n## Closed").unwrap(), "", 1), SAMPLE);
    assert!(add(GOOD, &new, day("2026-11-27")).unwrap().contains("### 2026-11-27 soak\n\n- [ ] **What**: "));

    let refused = |change: fn(&mut NewDeferral)| {
        let mut new = new.clone();
        change(&mut new);
        add(SAMPLE, &new, day("2026-11-27")).unwrap_err()
    };
    assert_eq!(
        refused(|new| new.slug = "closed-in-place".to_owned()),
        "there is an entry closed-in-place already, in line 30"
    );
    assert_eq!(
        refused(|new| new.slug = "Load test".to_owned()),
        "\"Load test\" is no slug: take load-test (lower case, digits and hyphens)"
    );
    assert_eq!(refused(|new| new.reason = " \n ".to_owned()), "«Reason for deferral» says nothing");
    assert_eq!(
        refused(|new| new.reason = "a\u{7}".to_owned()),
        "«Reason for deferral» holds a control character"
    );
    assert!(
        add("# Nothing\n", &new, day("2026-11-27"))
            .unwrap_err()
            .starts_with("correct this first:\nDEFERRED.md:2:1")
    );
}

#[test]
fn a_failure_is_known_by_its_exact_name_and_only_while_the_entry_is_open() {
    let text =
        GOOD.replacen("**: a", "**: `extra/test_load.py::TestAll::test_a[x.y]` and `n/heavy.ipynb`", 1);
    let plan = |text: &str, is_own_word| Plan {
        deferred: Known::of(&read(text, ""), is_own_word),
        ..Plan::default()
    };
    let base = plan(&text, false);
    for name in
        ["extra/test_load.py::TestAll::test_a[x.y]", "extra.test_load.TestAll.test_a[x.y]", "n/heavy.ipynb"]
    {
        let words = known::in_plan(&base, name).map(Known::words);
        assert_eq!(words.as_deref(), Some("known: deferred as load-test since 2026-11-27"), "{name}");
    }
    for name in
        ["heavy.ipynb", "n/heavy", "extra/test_load.py::TestAll::test_a", "extra/test_load.py", "a", ""]
    {
        assert_eq!(known::in_plan(&base, name), None, "{name}");
    }
    let own = plan(&text, true);
    assert_eq!(
        known::in_plan(&own, "n/heavy.ipynb").map(Known::words).as_deref(),
        Some("known: deferred as load-test since 2026-11-27, as this commit itself says")
    );
    let closed = close(&text, "load-test", day("2026-11-28"), "done").unwrap();
    assert_eq!(known::in_plan(&plan(&closed, false), "n/heavy.ipynb"), None);
}
