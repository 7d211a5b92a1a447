//! Regular expressions mean here what they mean to Python.

use super::super::pattern::Pattern;
use std::process::Command;

/// Patterns with texts in which Python finds them, and texts in which it does not.
const PATTERNS: &[(&str, &[&str], &[&str])] = &[
    (".", &["a"], &[""]),
    (".*", &["", "a"], &[]),
    ("^a$", &["a"], &["ab", "ba"]),
    ("a|b", &["xb"], &["x"]),
    ("a{2}", &["aa"], &["a"]),
    ("a{,2}b", &["b", "aab"], &["a"]),
    ("^a{1,}$", &["aaa"], &[""]),
    ("a{x}", &["a{x}"], &["aa"]),
    ("a{}", &["a{}"], &["a"]),
    ("{a}", &["{a}"], &["a"]),
    ("a+?", &["a"], &["b"]),
    ("[a-c]", &["b"], &["d"]),
    ("[^a]", &["b"], &["a"]),
    ("[]a]", &["]"], &["b"]),
    ("[^]a]", &["b"], &["]", "a"]),
    ("[a-]", &["-"], &["b"]),
    ("[-a]", &["-"], &["b"]),
    ("[[a]", &["["], &["b"]),
    ("[a&&b]", &["&"], &["c"]),
    ("[a~~b]", &["~"], &["c"]),
    ("[\\d_]x", &["1x"], &["ax"]),
    ("[\\b]", &["\u{8}"], &["b"]),
    ("\\bx\\b", &["a x"], &["ax"]),
    ("a\\Z", &["ba"], &["ab"]),
    ("\\Aa", &["ab"], &["ba"]),
    ("\\.ipynb", &["a.ipynb"], &["aipynb"]),
    ("\\/", &["/"], &["a"]),
    ("\\<", &["<"], &["a"]),
    ("\\x41\\u0042", &["AB"], &["ab"]),
    ("\\0", &["\u{0}"], &["0"]),
    ("(?i)ABC", &["abc"], &["ab"]),
    ("(?i:A)b", &["ab"], &["aB"]),
    ("(?:ab)+", &["abab"], &["a"]),
    ("(?P<x>a)b", &["ab"], &["b"]),
    ("a(?#comment)b", &["ab"], &["a"]),
    ("}", &["}"], &["{"]),
    ("]", &["]"], &["["]),
    ("a#b c", &["a#b c"], &["abc"]),
    ("é+", &["éé"], &["e"]),
];

/// Patterns that Python refuses, or that cannot be said here; and at which character.
const REFUSED: &[(&str, usize)] = &[
    ("*a", 1),
    ("a**", 3),
    ("a{2}{3}", 5),
    ("^*", 2),
    ("(*a)", 2),
    ("a|+", 3),
    ("a*+", 3),
    ("a?+", 3),
    ("a{2}+", 5),
    ("(?=a)", 1),
    ("x(?!a)", 2),
    ("(?<=a)b", 1),
    ("(a)\\1", 4),
    ("(?P<n>a)(?P=n)", 9),
    ("(?>a)", 1),
    ("(a)(?(1)b)", 4),
    ("a(?i)", 2),
    ("(?x)a", 1),
    ("(?a)b", 1),
    ("(?#", 1),
    ("\\", 1),
    ("\\q", 1),
    ("\\p{L}", 1),
    ("\\N{DIGIT ONE}", 1),
    ("\\x4", 1),
    ("[", 1),
    ("[]", 1),
    ("[\\1]", 2),
    ("(a", 0),
    ("a)", 0),
    ("[b-a]", 0),
];

#[test]
fn patterns_find_what_python_finds() {
    for (pattern, inside, outside) in PATTERNS {
        let read = Pattern::new(pattern).unwrap_or_else(|fault| panic!("{pattern}: {fault}"));
        inside.iter().for_each(|text| assert!(read.is_in(text), "{pattern} in {text:?}"));
        outside.iter().for_each(|text| assert!(!read.is_in(text), "{pattern} not in {text:?}"));
    }
}

#[test]
fn what_cannot_be_said_is_refused_where_it_stands() {
    for (pattern, at) in REFUSED {
        match Pattern::new(pattern) {
            Ok(_) => panic!("{pattern} is taken"),
            Err(fault) => assert_eq!(fault.at, *at, "{pattern}: {fault}"),
        }
    }
    assert!(Pattern::new(&"a".repeat(5000)).is_err());
    assert!(Pattern::new(&"(".repeat(4000)).is_err());
}

/// The table itself is put before Python.
#[test]
fn python_agrees() {
    let mut script = "import re\ndef check(p, inside, outside):\n  r = re.compile(p)\n  for t in inside: assert r.search(t), (p, t)\n  for t in outside: assert not r.search(t), (p, t)\n".to_owned();
    let list = |texts: &[&str]| serde_json::to_string(texts).unwrap();
    for (pattern, inside, outside) in PATTERNS {
        let pattern = serde_json::to_string(pattern).unwrap();
        script += &format!("check({pattern}, {}, {})\n", list(inside), list(outside));
    }
    match Command::new("python3").args(["-W", "ignore", "-c", &script]).output() {
        Err(error) => println!("not run: python3: {error}"),
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
    }
}
