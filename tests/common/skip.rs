//! Tests, or parts of them, that cannot run on a machine: they say so loudly, and where that is not enough they fail.
//!
//! Under `BGREMOVE_TEST_STRICT=1`, as CI has it, only those may skip that `tests/skips.txt` names. The file that
//! `BGREMOVE_TEST_SKIPS` names gets a line for each skip; `make test` prints it at the end, since cargo counts none.
#![allow(dead_code)]

use std::io::Write;
use std::process::{Command, Output};

/// The tests that may be skipped in CI, one a line, each with its reason.
pub const LIST: &str = include_str!("../skips.txt");

/// The names on a list.
pub fn names(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(": ")).map(|(name, _)| name)
}

/// What a skip comes to: the line to print, or where it must not be the error.
pub fn judge(test: &str, why: &str, strict: bool, list: &str) -> Result<String, String> {
    if strict && !names(list).any(|name| name == test) {
        return Err(format!(
            "{test} may not be skipped under BGREMOVE_TEST_STRICT=1, and tests/skips.txt does not name it: {why}"
        ));
    }
    Ok(format!("SKIPPED {test}: {why}"))
}

/// Says that a test, or a part of it, does not run here, and why; fails where all have to run.
#[track_caller]
pub fn skip(test: &str, why: &str) {
    let strict = std::env::var_os("BGREMOVE_TEST_STRICT").is_some_and(|v| v == "1");
    let line = judge(test, why, strict, LIST).unwrap_or_else(|e| panic!("{e}"));
    // Past the test harness, which keeps what a test that passes prints.
    let _ = writeln!(std::io::stderr(), "\n{line}");
    if let Some(path) = std::env::var_os("BGREMOVE_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        // One write, so that lines of tests that run beside each other do not mix.
        let _ = file.and_then(|mut f| f.write_all(format!("{line}\n").as_bytes()));
    }
}

/// Runs a tool; `None`, said loudly, when there is none.
pub fn tool(test: &str, program: &str, package: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip(test, &format!("no {program} (Debian package {package})"));
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}
