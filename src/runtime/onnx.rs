//! What a network file would have the runtime open besides itself.
//!
//! An ONNX file is data, with two exceptions: a tensor can lie in another file, which it names, and a node
//! can hold a graph that was compiled for one execution provider, as bytes or as a file's name. Both are
//! looked for before the runtime sees the file. The messages and their fields are those of onnx.proto
//! (1.19), the encoding that of protocol buffers: a list of keys (field number × 8 + wire type) and values.

use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};

/// A network file and those that belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Bytes of all of them.
    pub length: u64,
    /// Those that hold tensors, each once.
    pub data: Vec<PathBuf>,
}

/// Looks through a network file.
///
/// # Errors
/// [`ErrorKind::ModelInvalid`] when it is no ONNX file, names a file that is not in its own folder or below, or
/// holds a compiled graph.
pub fn inspect(path: &Path) -> Result<Files> {
    let refuse = |why: String| Error::new(ErrorKind::ModelInvalid, why);
    let unreadable = |e: io::Error| refuse(format!("{} cannot be read: {e}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    inspect_read(path, file, length)
}

/// As [`inspect`], for what has been read of the file at `path`.
///
/// # Errors
/// As for [`inspect`].
pub fn inspect_read(path: &Path, input: impl Read + Seek, length: u64) -> Result<Files> {
    let refuse = |why: String| Error::new(ErrorKind::ModelInvalid, why);
    let locations = locations(input, length).map_err(refuse)?;
    let mut files = Files { length, data: Vec::new() };
    for location in locations {
        let data = beside(path, &location).map_err(refuse)?;
        if !files.data.contains(&data) {
            files.length = files.length.saturating_add(data.metadata().map_or(0, |m| m.len()));
            files.data.push(data);
        }
    }
    Ok(files)
}

/// The file that a tensor lies in, if the network may have it.
fn beside(model: &Path, location: &str) -> std::result::Result<PathBuf, String> {
    let outside = || {
        format!(
            "it wants to read '{location}', which is not in its own folder; a network's data has to lie beside its \
             .onnx file or in a folder below"
        )
    };
    let relative = Path::new(location);
    // ONNX Runtime takes a name of this form for an address in memory.
    let address = location.contains("_ORT_MEM_ADDR_");
    if address || location.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(outside());
    }
    let folder = match model.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let path = folder.join(relative);
    let real = path
        .canonicalize()
        .ok()
        .filter(|p| p.is_file())
        .ok_or_else(|| format!("its data should be in {}, and there is no such file", path.display()))?;
    // A cache may hold links to files that lie together elsewhere.
    let folders =
        [folder.canonicalize().ok(), model.canonicalize().ok().and_then(|m| Some(m.parent()?.into()))];
    let inside = |f: &Option<PathBuf>| f.as_ref().is_some_and(|f| real.starts_with(f));
    if folders.iter().any(inside) { Ok(path) } else { Err(outside()) }
}

/// The messages of onnx.proto in which a tensor or a node can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
    /// A key and a value of a tensor's `external_data`.
    Entry,
}

impl Message {
    /// What a field holds, if that matters here.
    fn field(self, number: u64) -> Option<Message> {
        Some(match (self, number) {
            (Message::Model, 7) | (Message::Training, 1 | 2) | (Message::Attribute, 6 | 11) => Message::Graph,
            (Message::Model, 20) => Message::Training,
            (Message::Model, 25) => Message::Function,
            (Message::Function, 7) | (Message::Graph, 1) => Message::Node,
            (Message::Function, 11) | (Message::Node, 5) => Message::Attribute,
            (Message::Graph, 5) | (Message::Attribute, 5 | 10) | (Message::Sparse, 1 | 2) => Message::Tensor,
            (Message::Graph, 15) | (Message::Attribute, 22 | 23) => Message::Sparse,
            (Message::Tensor, 13) => Message::Entry,
            _ => return None,
        })
    }
}

/// How deep messages may lie in each other; protocol buffers' own readers stop there, too.
const DEEPEST: usize = 100;
/// Longer names of files are none.
const LONGEST: u64 = 4096;

/// The files that the tensors of an ONNX file of `length` bytes are said to lie in.
///
/// # Errors
/// Why it is none that may be used.
pub fn locations(input: impl Read + Seek, length: u64) -> std::result::Result<Vec<String>, String> {
    let mut walk = Walk { input: BufReader::new(input), at: 0, locations: Vec::new() };
    match walk.message(Message::Model, length, 0) {
        Ok(()) => Ok(walk.locations),
        Err(Stop::Compiled) => {
            Err("it holds a graph that was compiled for one execution provider (EPContext); \
                                    give the network that it was made from"
                .into())
        }
        Err(Stop::Broken) => Err("it is no ONNX file, or a damaged one".into()),
        Err(Stop::Io(e)) => Err(format!("it cannot be read: {e}")),
    }
}

enum Stop {
    Broken,
    Compiled,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::UnexpectedEof => Stop::Broken,
            _ => Stop::Io(e),
        }
    }
}

struct Walk<R> {
    input: BufReader<R>,
    at: u64,
    locations: Vec<String>,
}

impl<R: Read + Seek> Walk<R> {
    /// A variable-length number that ends before `end`.
    fn varint(&mut self, end: u64) -> std::result::Result<u64, Stop> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if self.at >= end {
                return Err(Stop::Broken);
            }
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            self.at += 1;
            // The tenth byte has one bit left; what stands above is dropped, as protocol buffers' readers do.
            value |= u64::from(byte[0] & 0x7F).checked_shl(shift).unwrap_or(0);
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::Broken)
    }

    fn skip(&mut self, bytes: u64) -> std::result::Result<(), Stop> {
        let step = i64::try_from(bytes).map_err(|_| Stop::Broken)?;
        self.input.seek_relative(step)?;
        self.at += bytes;
        Ok(())
    }

    /// A text of `length` bytes; `None`, and skipped, when it is longer than `most`.
    fn text(&mut self, length: u64, most: u64) -> std::result::Result<Option<Vec<u8>>, Stop> {
        if length > most {
            self.skip(length)?;
            return Ok(None);
        }
        let mut text = vec![0; length as usize];
        self.input.read_exact(&mut text)?;
        self.at += length;
        Ok(Some(text))
    }

    fn message(&mut self, kind: Message, end: u64, depth: usize) -> std::result::Result<(), Stop> {
        if depth > DEEPEST {
            return Err(Stop::Broken);
        }
        // Of an entry: whether it is a location, and what stands for one.
        let (mut is_location, mut value) = (false, None);
        while self.at < end {
            let key = self.varint(end)?;
            // Field numbers have 29 bits, and 0 is none.
            let number = key >> 3;
            if number == 0 || number >= 1 << 29 {
                return Err(Stop::Broken);
            }
            match key & 7 {
                0 => {
                    self.varint(end)?;
                }
                1 | 5 => {
                    let bytes = if key & 7 == 1 { 8 } else { 4 };
                    if end - self.at < bytes {
                        return Err(Stop::Broken);
                    }
                    self.skip(bytes)?;
                }
                2 => {
                    let length = self.varint(end)?;
                    if length > end - self.at {
                        return Err(Stop::Broken);
                    }
                    match (kind, number) {
                        // The last of several counts.
                        (Message::Entry, 1) => {
                            is_location = self.text(length, 8)?.as_deref() == Some(b"location");
                        }
                        (Message::Entry, 2) => value = Some(self.text(length, LONGEST)?),
                        (Message::Node, 4) => {
                            if self.text(length, 9)?.as_deref() == Some(b"EPContext") {
                                return Err(Stop::Compiled);
                            }
                        }
                        _ => match kind.field(number) {
                            Some(inner) => self.message(inner, self.at + length, depth + 1)?,
                            None => self.skip(length)?,
                        },
                    }
                }
                // Groups are older than ONNX.
                _ => return Err(Stop::Broken),
            }
        }
        if is_location && let Some(value) = value {
            let text = value.and_then(|v| String::from_utf8(v).ok()).ok_or(Stop::Broken)?;
            self.locations.push(text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Cursor;

    fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).unwrap();
        assert!(length < 128);
        [&[field << 3 | 2, length], value].concat()
    }

    /// A model whose one tensor lies in a file.
    fn model(location: &[u8]) -> Vec<u8> {
        let entry = [bytes(1, b"location"), bytes(2, location)].concat();
        let tensor = [bytes(8, b"w"), bytes(13, &entry), vec![14 << 3, 1]].concat();
        [vec![8, 8], bytes(7, &bytes(5, &tensor))].concat()
    }

    fn found(bytes: &[u8]) -> std::result::Result<Vec<String>, String> {
        locations(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn finds_tensors_wherever_they_are() {
        assert_eq!(found(&model(b"w.bin")).unwrap(), ["w.bin"]);
        let entry = [bytes(1, b"location"), bytes(2, b"x")].concat();
        let tensor = bytes(13, &entry);
        let graph = bytes(5, &tensor);
        let attribute = bytes(6, &graph);
        // Of a node's attribute, of a graph in an attribute, of a function, sparse, and of the training part.
        for model in [
            bytes(7, &bytes(1, &bytes(5, &bytes(5, &tensor)))),
            bytes(7, &bytes(1, &bytes(5, &attribute))),
            bytes(25, &bytes(7, &bytes(5, &bytes(10, &tensor)))),
            bytes(25, &bytes(11, &bytes(5, &tensor))),
            bytes(7, &bytes(15, &bytes(1, &tensor))),
            bytes(20, &bytes(2, &graph)),
        ] {
            // Field 20 and above take two bytes as a key.
            let model = match model[0] >> 3 {
                7 => model,
                n => [&[(n << 3 | 2) | 0x80, 1], &model[1..]].concat(),
            };
            assert_eq!(found(&model).unwrap(), ["x"], "{model:?}");
        }
    }

    #[test]
    fn what_is_compiled_or_broken_is_refused() {
        let node = bytes(7, &bytes(1, &bytes(4, b"EPContext")));
        assert!(found(&node).unwrap_err().contains("EPContext"));
        let whole = model(b"w.bin");
        for cut in 3..whole.len() {
            assert!(found(&whole[..cut]).is_err(), "{cut}");
        }
        for bad in
            [&b"this is a text"[..], &[0, 0], &[7 << 3 | 3], &[0xFF; 12], &[7 << 3 | 2, 0xFF, 0xFF, 0x7F]]
        {
            assert!(found(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn data_lies_beside_its_network() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("net");
        fs::create_dir_all(folder.join("below")).unwrap();
        let path = folder.join("x.onnx");
        for file in ["w.bin", "below/w.bin", "../w.bin"] {
            fs::write(folder.join(file), [0; 100]).unwrap();
        }
        std::os::unix::fs::symlink("../w.bin", folder.join("link.bin")).unwrap();
        let at = |location: &str| {
            fs::write(&path, model(location.as_bytes())).unwrap();
            inspect(&path)
        };
        let length = |location: &str| model(location.as_bytes()).len() as u64 + 100;
        for good in ["w.bin", "below/w.bin"] {
            let wanted = Files { length: length(good), data: vec![folder.join(good)] };
            assert_eq!(at(good).unwrap(), wanted);
        }
        for bad in [
            "../w.bin",
            "/etc/passwd",
            "below/../../w.bin",
            "",
            "link.bin",
            "*/_ORT_MEM_ADDR_/*",
            "./../w.bin",
        ] {
            let e = at(bad).unwrap_err();
            assert!(e.kind == ErrorKind::ModelInvalid && e.text.contains("own folder"), "{bad}: {e}");
        }
        assert!(at("not-there.bin").unwrap_err().text.contains("not-there.bin"));
        // A cache of links: network and data lie together where the links lead.
        let links = place.path().join("links");
        fs::create_dir(&links).unwrap();
        at("w.bin").unwrap();
        for file in ["x.onnx", "w.bin"] {
            std::os::unix::fs::symlink(folder.join(file), links.join(file)).unwrap();
        }
        assert_eq!(inspect(&links.join("x.onnx")).unwrap().data, [links.join("w.bin")]);
    }

    #[test]
    fn the_built_in_networks_pass() {
        for entry in crate::models::entries() {
            if let Some(bytes) = entry.embedded() {
                assert_eq!(found(bytes).unwrap(), [""; 0], "{}", entry.name);
            }
        }
    }
}
