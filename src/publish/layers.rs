//! Finding one file in the layers of an image that somebody else may have made.
//!
//! Nothing is unpacked to disk: of every layer only the few names that matter are looked at. Layers are read from the top
//! down, as a container would see them, so what an upper layer removed stays removed.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::image::MAX_SPEC;

/// All layers of an image together, unpacked: enough for any spec image, too little for a bomb.
pub const MAX_UNPACKED: u64 = 64 << 20;
/// Files in all layers.
const MAX_ENTRIES: usize = 200_000;

/// Why the layers cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum LayerFault {
    /// More than docent reads.
    TooLarge(String),
    /// No layer at all, or one of a kind that docent does not read.
    Malformed(String),
}

/// What one layer says about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trace {
    /// Nothing.
    Silent,
    /// It is a file with this content.
    File(Vec<u8>),
    /// There is something else: a folder, a link.
    Other,
    /// It is not there, whatever the layers below say.
    Removed,
}

/// The content of the first of `paths` (without a slash in front) that is a file and not empty. `layers` come lowest first,
/// as in a manifest.
pub fn find<'a>(layers: &[Vec<u8>], paths: &[&'a str]) -> Result<Option<(&'a str, Vec<u8>)>, LayerFault> {
    let mut budget = Budget { bytes: MAX_UNPACKED, entries: MAX_ENTRIES };
    let mut found: Vec<Trace> = vec![Trace::Silent; paths.len()];
    for layer in layers.iter().rev() {
        if found.iter().all(|trace| *trace != Trace::Silent) {
            break;
        }
        let traces = look(layer, paths, &mut budget)?;
        for (known, trace) in found.iter_mut().zip(traces) {
            if *known == Trace::Silent {
                *known = trace;
            }
        }
    }
    let files = paths.iter().zip(found).filter_map(|(path, trace)| match trace {
        Trace::File(bytes) if !bytes.is_empty() => Some((*path, bytes)),
        _ => None,
    });
    Ok(files.into_iter().next())
}

struct Budget {
    bytes: u64,
    entries: usize,
}

/// Counts what is unpacked and stops at the end of the budget.
struct Counted<'a, R> {
    inner: R,
    left: &'a mut u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        *self.left = self.left.checked_sub(count as u64).ok_or_else(too_large)?;
        Ok(count)
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "the layers unpack to more than docent reads")
}

fn look(layer: &[u8], paths: &[&str], budget: &mut Budget) -> Result<Vec<Trace>, LayerFault> {
    let read: Box<dyn Read> = match layer {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(layer)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Err(LayerFault::Malformed(
                "a layer is compressed with zstd, which docent does not read; publish it with gzip"
                    .to_owned(),
            ));
        }
        _ => Box::new(layer),
    };
    let entries = &mut budget.entries;
    traces(Counted { inner: read, left: &mut budget.bytes }, paths, entries).map_err(|error| {
        match error.kind() {
            io::ErrorKind::FileTooLarge => LayerFault::TooLarge(error.to_string()),
            _ => LayerFault::Malformed(format!("a layer is no tar: {error}")),
        }
    })
}

fn traces(read: impl Read, paths: &[&str], left: &mut usize) -> io::Result<Vec<Trace>> {
    let mut there = vec![Trace::Silent; paths.len()];
    let mut removed = vec![false; paths.len()];
    let mut archive = tar::Archive::new(read);
    for entry in archive.entries()? {
        let mut entry = entry?;
        *left = left.checked_sub(1).ok_or_else(too_large)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = from_root(&name);
        for (path, gone) in paths.iter().zip(&mut removed) {
            *gone |= removes(name, path);
        }
        let Some(slot) = paths.iter().position(|path| *path == name).and_then(|index| there.get_mut(index))
        else {
            continue;
        };
        *slot = Trace::Other;
        if entry.header().entry_type().is_file() {
            if entry.size() > MAX_SPEC as u64 {
                return Err(too_large());
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            *slot = Trace::File(bytes);
        }
    }
    // A removal speaks of the layers below, not of what stands beside it.
    for (trace, gone) in there.iter_mut().zip(removed) {
        if gone && *trace == Trace::Silent {
            *trace = Trace::Removed;
        }
    }
    Ok(there)
}

/// `./a` and `/a` are `a`.
fn from_root(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name.trim_end_matches('/')
}

/// Whether this entry is a mark that takes `path` away from the layers below: `.wh.NAME`, or a folder's `.wh..wh..opq`.
fn removes(entry: &str, path: &str) -> bool {
    let (folder, file) = entry.rsplit_once('/').unwrap_or(("", entry));
    let inside = match folder {
        "" => Some(path),
        folder => path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')),
    };
    match (inside, file.strip_prefix(".wh.")) {
        (Some(_), Some(".wh..opq")) => true,
        (Some(inside), Some(gone)) => {
            !gone.is_empty()
                && inside.strip_prefix(gone).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const PATHS: [&str; 2] = ["spec.yaml", "nbw-wrangler-spec.yaml"];

    fn layer(entries: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            let content = content.unwrap_or("");
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn link(name: &str, to: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, name, to).unwrap();
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn found(layers: &[Vec<u8>]) -> Option<(&'static str, String)> {
        let found = find(layers, &PATHS).unwrap();
        found.map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn the_spec_is_found_where_a_container_would_see_it() {
        let ours = layer(&[("nbw-wrangler-spec.yaml", Some("ours"))]);
        let theirs = layer(&[("./spec.yaml", Some("theirs"))]);
        let both = [ours.clone(), theirs.clone()];
        let is = |path: &'static str, text: &str| Some((path, text.to_owned()));
        assert_eq!(found(std::slice::from_ref(&ours)), is("nbw-wrangler-spec.yaml", "ours"));
        assert_eq!(found(&[gzip(&ours)]), is("nbw-wrangler-spec.yaml", "ours"));
        assert_eq!(found(&both), is("spec.yaml", "theirs"), "the older name comes first");
        let newer = layer(&[("nbw-wrangler-spec.yaml", Some("newer"))]);
        assert_eq!(found(&[ours.clone(), newer]), is("nbw-wrangler-spec.yaml", "newer"));
        // What an upper layer took away is gone, whatever it was called.
        for gone in [".wh.spec.yaml", "./.wh.spec.yaml"] {
            let removal = layer(&[(gone, None)]);
            assert_eq!(found(&[both.as_slice(), &[removal]].concat()), is("nbw-wrangler-spec.yaml", "ours"));
        }
        let all_gone = layer(&[(".wh..wh..opq", None)]);
        assert_eq!(found(&[both.as_slice(), &[all_gone]].concat()), None);
        let replaced = layer(&[(".wh..wh..opq", None), ("spec.yaml", Some("again"))]);
        assert_eq!(found(&[theirs.clone(), replaced]), is("spec.yaml", "again"));
        let elsewhere = layer(&[("a/.wh..wh..opq", None), (".wh.spec.yaml.bak", None), (".wh.", None)]);
        assert_eq!(found(&[theirs.clone(), elsewhere]), is("spec.yaml", "theirs"));
        // A link leads out of what is looked at, an empty file is none to the original either.
        assert_eq!(
            found(&[ours.clone(), link("spec.yaml", "/etc/passwd")]),
            is("nbw-wrangler-spec.yaml", "ours")
        );
        assert_eq!(found(&[theirs.clone(), link("spec.yaml", "/etc/passwd")]), None);
        assert_eq!(found(&[ours, layer(&[("spec.yaml", None)])]), is("nbw-wrangler-spec.yaml", "ours"));
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[layer(&[("x/spec.yaml", Some("deeper"))])]), None);
    }

    #[test]
    fn layers_that_cannot_be_read_are_told_apart() {
        let fault = |layer: Vec<u8>| find(&[layer], &PATHS).unwrap_err();
        assert!(matches!(fault(vec![7; 2000]), LayerFault::Malformed(why) if why.contains("no tar")));
        assert!(
            matches!(fault(vec![0x28, 0xb5, 0x2f, 0xfd, 0]), LayerFault::Malformed(why) if why.contains("zstd"))
        );
        let mut cut = gzip(&layer(&[("spec.yaml", Some("text"))]));
        cut.truncate(cut.len() / 2);
        assert!(matches!(fault(cut), LayerFault::Malformed(_)));
        let huge = layer(&[("spec.yaml", Some(&"x".repeat(MAX_SPEC + 1)))]);
        assert!(matches!(fault(huge), LayerFault::TooLarge(_)));
    }

    #[test]
    fn a_bomb_is_not_unpacked_to_its_end() {
        let mut header = tar::Header::new_gnu();
        header.set_size(MAX_UNPACKED + 1);
        header.set_path("filler").unwrap();
        header.set_cksum();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(header.as_bytes()).unwrap();
        let block = vec![0; 1 << 20];
        for _ in 0..=MAX_UNPACKED >> 20 {
            encoder.write_all(&block).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 4 << 20);
        assert!(matches!(find(&[bomb], &PATHS).unwrap_err(), LayerFault::TooLarge(_)));
    }
}
