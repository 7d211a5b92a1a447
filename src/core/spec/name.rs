//! Names that become parts of paths, of arguments and of image tags.

/// The longest tag of an image.
pub const LONGEST_TAG: usize = 128;

/// What can be a tag of an image: at most 128 of letters, digits, `_`, `.` and `-`, the first no `.` and no `-`.
pub fn is_tag(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.len() <= LONGEST_TAG && text.bytes().all(fits) && !text.starts_with(['.', '-'])
}

/// What can be one folder or file: nothing that leads elsewhere, and nothing that a program takes for an option.
pub fn is_part(text: &str) -> bool {
    is_tag(text)
}

/// Why a path does not stay below the folder that it starts from.
pub fn escape(path: &str) -> Option<&'static str> {
    if path.starts_with('/') || path.starts_with('~') || path.starts_with('\\') {
        Some("is no relative path")
    } else if path.split(['/', '\\']).any(|part| part == "..") {
        Some("leads out of its folder with `..`")
    } else if path.starts_with('-') {
        Some("begins with `-`, which programs take for an option")
    } else if path.chars().any(char::is_control) {
        Some("holds control characters")
    } else {
        None
    }
}

/// Why a text cannot be the name of a branch or tag, a commit, or the begin of a tag.
pub fn no_ref(text: &str) -> Option<&'static str> {
    let is_bad = |sign: char| sign.is_whitespace() || sign.is_control() || "~^:?*[\\".contains(sign);
    if text.is_empty() {
        Some("is empty")
    } else if text.starts_with('-') {
        Some("begins with `-`, which git takes for an option")
    } else if text.len() > 255 {
        Some("has more than 255 bytes")
    } else if text.chars().any(is_bad) || text.contains("..") || text.contains("@{") || text == "@" {
        Some("holds what git allows in no name")
    } else if text.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock"))
    {
        Some("has a part that git allows in no name")
    } else if text.ends_with('.') {
        Some("ends with `.`")
    } else {
        None
    }
}
