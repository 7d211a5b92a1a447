//! Files of two hundred entries, written in many ways, keep every byte that an edit does not own.

use super::*;

#[derive(Debug, Clone)]
struct Shape {
    end: &'static str,
    dash: &'static str,
    is_colon_inside: bool,
    has_rule: bool,
    has_final_end: bool,
    trailing: &'static str,
    entries: Vec<Body>,
}

#[derive(Debug, Clone)]
struct Body {
    what: String,
    is_wrapped: bool,
    has_note: bool,
    is_closed: bool,
}

fn body() -> impl Strategy<Value = Body> {
    ("[a-zé`*_<>&#.-]{1,30}", any::<[bool; 3]>()).prop_map(|(what, [is_wrapped, has_note, is_closed])| Body {
        what,
        is_wrapped,
        has_note,
        is_closed,
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    let ends = prop_oneof![Just("\n"), Just("\r\n")];
    let dashes = prop_oneof![Just(" "), Just(" — "), Just(" - "), Just(" – ")];
    let trailing = prop_oneof![Just(""), Just("  "), Just("\t")];
    let entries = proptest::collection::vec(body(), 200);
    (ends, dashes, any::<[bool; 3]>(), trailing, entries).prop_map(|(end, dash, flags, trailing, entries)| {
        let [is_colon_inside, has_rule, has_final_end] = flags;
        Shape { end, dash, is_colon_inside, has_rule, has_final_end, trailing, entries }
    })
}

impl Shape {
    fn text(&self) -> String {
        let name =
            |name: &str| if self.is_colon_inside { format!("**{name}:**") } else { format!("**{name}**:") };
        let mut text = "# Deferred\n\nProse.\n\n## Open deferrals\n".to_owned();
        for (at, body) in self.entries.iter().enumerate() {
            let tick = if body.is_closed { 'x' } else { ' ' };
            let wrap = if body.is_wrapped { "\n      wrapped" } else { "" };
            text += &format!("\n### 2026-01-02{}entry-{at}\n\n", self.dash);
            text += &format!("- [{tick}] {} w{}{wrap}\n", name("What"), body.what);
            text += &format!("- {} b{}\n", name("Filed by"), self.trailing);
            text += &format!("- {} r\n", name("Reason for deferral"));
            if body.is_closed {
                text += &format!("- {} 2026-02-03: done\n", name("Closed"));
            }
            if body.has_note {
                text += "\nA remark.\n";
            }
        }
        if self.has_rule {
            text += "\n---\n";
        }
        text += "\n## Closed deferrals\n\n(none yet)\n";
        if !self.has_final_end {
            text.pop();
        }
        text.replace('\n', self.end)
    }
}

/// What stands in `after` and not in `before`, if the rest is as it was.
fn inserted(before: &str, after: &str) -> String {
    let common = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let added = after.len() - before.len();
    let rest = [&after.as_bytes()[..common], &after.as_bytes()[common + added..]].concat();
    assert_eq!(String::from_utf8_lossy(&rest), before, "bytes that were there have changed");
    String::from_utf8_lossy(&after.as_bytes()[common..common + added]).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn adding_and_closing_own_their_lines_and_nothing_else(
        shape in shape(),
        what in "[a-z `*_\\[\\]<>&#|!~=é—.:+0-9-]{0,40}(\n|\r\n)?[a-z `*_<>&#~=+0-9-]{0,40}x",
        second in "[a-z `*_<>&#~=+0-9-]{0,30}y",
        pick in 0..200usize,
    ) {
        let before = shape.text();
        prop_assert_eq!(mistakes(&before), "");
        let register = read(&before, "");
        prop_assert_eq!(register.entries.len(), 200);
        let new = NewDeferral {
            slug: "new-one".to_owned(),
            what: format!("{what}\n\n{second}"),
            filed_by: what.clone(),
            reason: second.clone(),
            trigger: Some(what.clone()),
            linked: None,
        };
        let after = add(&before, &new, day("2026-11-27")).map_err(TestCaseError::fail)?;
        prop_assert!(inserted(&before, &after).contains("new-one"));
        let read_back = read(&after, "");
        prop_assert_eq!(&read_back.mistakes, &[]);
        let told = &read_back.entry("new-one").unwrap().deferral;
        let plain = |value: &str| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(&told.what, &format!("{}\n\n{}", plain(&what), plain(&second)));
        prop_assert_eq!(&told.trigger, &Some(plain(&what)));
        prop_assert_eq!(read_back.entries.len(), 201);

        let slug = format!("entry-{pick}");
        let entry = register.entry(&slug).unwrap();
        let closed = close(&before, &slug, day("2026-11-27"), &plain(&what));
        if entry.deferral.is_closed {
            prop_assert!(closed.is_err());
        } else {
            let mut closed = closed.map_err(TestCaseError::fail)?.into_bytes();
            let box_at = before.find(&format!("entry-{pick}{}", shape.end)).unwrap();
            let box_at = box_at + before[box_at..].find("- [ ]").unwrap() + 3;
            prop_assert_eq!(std::mem::replace(&mut closed[box_at], b' '), b'x');
            let line = inserted(&before, &String::from_utf8(closed).unwrap());
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(line.contains("2026-11-27: "));
        }
    }
}
