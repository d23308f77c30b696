//! Reads files out of packages: npm's are tar.gz, Python's wheels are zip.
//!
//! Nothing is unpacked to disk, so a package cannot write where it should not.

use super::{Error, Observer, Result};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// More than any file that we read out of a package has; a damaged header must not fill the memory.
const LARGEST: u64 = 512 << 20;

/// A file that stops being readable when the watcher says so.
struct Stoppable<'a> {
    file: File,
    observer: &'a dyn Observer,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.observer.stopped() {
            // Not ErrorKind::Interrupted, which means "try again".
            return Err(io::Error::other("interrupted"));
        }
        self.file.read(buffer)
    }
}

impl Seek for Stoppable<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Calls `visit` with the name, length and content of each plain file, in the package's order, until it
/// answers `false`.
///
/// # Errors
/// When the package cannot be read, and those of `visit`.
pub fn each(
    package: &Path,
    observer: &dyn Observer,
    mut visit: impl FnMut(&str, u64, &mut dyn Read) -> Result<bool>,
) -> Result<()> {
    let wrong = |e: &dyn std::fmt::Display| match observer.stopped() {
        true => Error::Interrupted,
        false => Error::failed(format!("cannot read the package {}: {e}", package.display())),
    };
    let file = File::open(package).map_err(|e| wrong(&e))?;
    let file = BufReader::with_capacity(1 << 20, Stoppable { file, observer });
    if package.extension().is_some_and(|e| e == "whl" || e == "zip") {
        let mut zip = zip::ZipArchive::new(file).map_err(|e| wrong(&e))?;
        for i in 0..zip.len() {
            let mut member = zip.by_index(i).map_err(|e| wrong(&e))?;
            let name = member.name().map_err(|e| wrong(&e))?.into_owned();
            let size = member.size();
            if member.is_file() && !visit(&name, size, &mut member)? {
                return Ok(());
            }
        }
        return Ok(());
    }
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    for member in tar.entries().map_err(|e| wrong(&e))? {
        let mut member = member.map_err(|e| wrong(&e))?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let size = member.size();
        if member.header().entry_type().is_file() && !visit(&name, size, &mut member)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The content of one file.
///
/// # Errors
/// When it cannot be read, is not as long as it should be or longer than anything that we expect.
pub fn content(name: &str, size: u64, from: &mut dyn Read, observer: &dyn Observer) -> Result<Vec<u8>> {
    let wrong = |what: &str| match observer.stopped() {
        true => Error::Interrupted,
        false => Error::failed(format!("cannot read {name} in the package: {what}")),
    };
    if size > LARGEST {
        return Err(wrong(&format!("it has {size} bytes")));
    }
    let mut bytes = Vec::new();
    from.take(size + 1).read_to_end(&mut bytes).map_err(|e| wrong(&e.to_string()))?;
    if bytes.len() as u64 != size {
        return Err(wrong(&format!("it does not have {size} bytes")));
    }
    Ok(bytes)
}

/// The content of several files, in the order of their names in `names`.
///
/// # Errors
/// When one is missing or cannot be read.
pub fn read(package: &Path, names: &[String], observer: &dyn Observer) -> Result<Vec<Vec<u8>>> {
    let mut found: Vec<Option<Vec<u8>>> = vec![None; names.len()];
    each(package, observer, |name, size, from| {
        if let Some(i) = names.iter().position(|n| n == name) {
            found[i] = Some(content(name, size, from, observer)?);
        }
        Ok(found.iter().any(Option::is_none))
    })?;
    found
        .into_iter()
        .zip(names)
        .map(|(bytes, name)| {
            bytes.ok_or_else(|| Error::failed(format!("there is no {name} in {}", package.display())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Quiet;
    use super::*;
    use std::io::Write;
    use std::path::PathBuf;

    fn tgz(folder: &Path, files: &[(&str, &[u8])]) -> PathBuf {
        let path = folder.join("package.tgz");
        let zip = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(zip);
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn files_of_an_npm_package_come_in_the_order_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = tgz(folder.path(), &[("package/a", b"one"), ("package/b", b"two"), ("package/c", b"3")]);
        let names = ["package/c".to_string(), "package/a".to_string()];
        assert_eq!(read(&path, &names, &Quiet(false)).unwrap(), [b"3".to_vec(), b"one".to_vec()]);
        let e = read(&path, &["package/d".to_string()], &Quiet(false)).unwrap_err().to_string();
        assert!(e.contains("package/d"), "{e}");
        assert!(matches!(read(&path, &names, &Quiet(true)), Err(Error::Interrupted)));
    }

    #[test]
    fn a_wheel_is_a_zip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x-1-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let deflate = zip::write::SimpleFileOptions::default();
        zip.start_file("x/net.onnx", deflate).unwrap();
        zip.write_all(&[7; 1000]).unwrap();
        zip.finish().unwrap();
        assert_eq!(read(&path, &["x/net.onnx".to_string()], &Quiet(false)).unwrap(), [vec![7; 1000]]);
    }

    #[test]
    fn damaged_packages_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = tgz(folder.path(), &[("package/a", &[1; 5000])]);
        let names = ["package/a".to_string()];
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(read(&path, &names, &Quiet(false)).is_err());
        for name in ["x.tgz", "x.whl"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "no archive").unwrap();
            let e = read(&path, &names, &Quiet(false)).unwrap_err().to_string();
            assert!(e.contains(name), "{e}");
        }
    }
}
