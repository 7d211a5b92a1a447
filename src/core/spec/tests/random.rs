//! Nothing that can be written makes the reader panic, and reading is a function of the text.

use proptest::prelude::*;

use super::super::pattern::Pattern;
use super::super::policy::SpecPolicy;
use super::super::select::{Files, select};
use super::{GOOD, Mode, Spec, resolve_variables, yaml};

/// Everything there is to do with a text.
fn use_all(text: &str) {
    let tree = yaml::parse(text);
    for (span, _) in &tree.mistakes {
        assert!(span.line >= 1 && span.column >= 1);
    }
    for dev in [Some(true), Some(false)] {
        let mode = Mode { dev, ..Mode::default() };
        let reading = Spec::read(text, "s", &mode);
        assert_eq!(reading, Spec::read(text, "s", &mode));
        assert_eq!(reading.spec.is_some(), reading.mistakes.is_empty());
        if let Some(spec) = reading.spec {
            SpecPolicy::default().judge(&spec);
            assert!(spec.differences(&spec).is_empty());
            assert_eq!(spec.digest().len(), 64);
            let files: Files = [("notes".to_owned(), vec!["notebooks/a.ipynb".to_owned()])].into();
            select(&spec, &files);
        }
    }
    SpecPolicy::default().judge_requirements(text, "r");
    resolve_variables(text, &Default::default());
    let _ = Pattern::new(text);
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        use_all(&text);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use_all(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn anything_like_yaml_is_read(text in "([-?:,\\[\\]{}#&*!|>'\"%@` \n\t]|a: |- |<<: |\\*a|&a |---\n|!!str|~|\\$\\{|\r\n|\u{e9}){0,60}") {
        use_all(&text);
    }

    #[test]
    fn a_spec_with_a_part_replaced_is_read(at in 0..GOOD.len(), length in 0usize..40, new in "[ -~\n]{0,12}") {
        let end = (at + length).min(GOOD.len());
        use_all(&format!("{}{new}{}", &GOOD[..at], &GOOD[end..]));
    }
}
