//! Whether a change of a file changes what it means. Running a notebook changes its bytes, and so does tidying a spec;
//! neither is a reason to test anything.

use super::notebook;
use super::spec::{Mode, Spec};

/// Whether `path` can be changed without changing what it means, so that its content has to be looked at.
pub fn has_meaning_free_parts(path: &str) -> bool {
    is_notebook(path) || is_spec(path)
}

/// Whether the change of `path` from `before` to `after` (none: not there) changes what it means. What cannot be understood
/// is judged by its bytes.
pub fn is_meaningful(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return before.is_some() || after.is_some() };
    if before == after {
        return false;
    }
    if is_notebook(path) {
        return differ(notebook::meaning(before).ok(), notebook::meaning(after).ok());
    }
    if is_spec(path) {
        return differ(spec_digest(before), spec_digest(after));
    }
    true
}

/// Two meanings that are known and equal are the same; everything else may differ.
fn differ<T: PartialEq>(before: Option<T>, after: Option<T>) -> bool {
    before.is_none() || after.is_none() || before != after
}

fn is_notebook(path: &str) -> bool {
    path.ends_with(".ipynb")
}

fn is_spec(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// The identity of what a spec means; none for a file that is no spec.
fn spec_digest(spec: &[u8]) -> Option<String> {
    // What its overrides say counts whether or not they apply to a run.
    let mode = Mode { dev: Some(false), ..Mode::default() };
    Some(Spec::read(std::str::from_utf8(spec).ok()?, "", &mode).spec?.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notebook(source: &str, rest: &str) -> Vec<u8> {
        format!(
            r#"{{"cells":[{{"cell_type":"code","source":{source},{rest}}},{{"cell_type":"markdown","source":"Prose.","metadata":{{}}}}],
            "metadata":{{"kernelspec":{{"name":"python3"}}}},"nbformat":4,"nbformat_minor":5}}"#
        )
        .into_bytes()
    }

    fn is_change(before: &[u8], after: &[u8]) -> bool {
        is_meaningful("n/a.ipynb", Some(before), Some(after))
    }

    #[test]
    fn running_a_notebook_changes_nothing_that_it_says() {
        let clean = notebook(r#""a = 1\nb""#, r#""outputs":[],"execution_count":null,"metadata":{}"#);
        for (source, rest) in [
            (r#""a = 1\nb""#, r#""outputs":[{"text":"NaN"}],"execution_count":7,"metadata":{}"#),
            (
                r#"["a = 1\n","b"]"#,
                r#""outputs":[],"execution_count":1,"metadata":{"collapsed":true},"id":"x""#,
            ),
            (
                r#""a = 1\nb""#,
                r#""outputs":[{"data":NaN}],"execution_count":null,"metadata":{"tags":["hide"]}"#,
            ),
        ] {
            assert!(!is_change(&clean, &notebook(source, rest)), "{source} {rest}");
        }
    }

    #[test]
    fn what_a_notebook_says_or_how_it_is_run_is_a_change() {
        let plain = r#""outputs":[],"execution_count":null,"metadata":{}"#;
        let before = notebook(r#""a""#, plain);
        let text = |from: &str, to: &str| String::from_utf8(before.clone()).unwrap().replace(from, to);
        assert!(is_change(&before, &notebook(r#""b""#, plain)), "code");
        assert!(is_change(&before, text("Prose.", "Other prose.").as_bytes()), "prose");
        assert!(is_change(&before, text("python3", "julia").as_bytes()), "kernel");
        assert!(
            is_change(&before, &notebook(r#""a""#, r#""outputs":[],"metadata":{"tags":["docent-extra"]}"#)),
            "whether it is an extra notebook"
        );
        assert!(is_change(&before, text("\"code\"", "\"raw\"").as_bytes()), "kind of a cell");
    }

    #[test]
    fn what_is_not_understood_is_judged_by_its_bytes() {
        assert!(is_change(b"{", b"{ "));
        assert!(!is_change(b"{", b"{"));
        assert!(is_meaningful("a.py", Some(b"1"), Some(b"2")));
        assert!(is_meaningful("spec.yaml", Some(b"image_spec_header: 1"), Some(b"image_spec_header: 2")));
        for (before, after) in [(None, Some(&b"x"[..])), (Some(&b"x"[..]), None)] {
            assert!(is_meaningful("n/a.ipynb", before, after), "a file that comes or goes");
        }
    }
}
