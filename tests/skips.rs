//! The list of tests that may be skipped is of tests that are there, and it is kept to.

#[path = "common/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries
        .flat_map(|p| if p.is_dir() { sources(&p) } else { vec![p] })
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .collect()
}

#[test]
fn a_skip_that_is_not_on_the_list_fails_where_all_have_to_run() {
    let list = "# a: comment\na: no GPU\n";
    assert_eq!(skip::judge("a", "none", true, list).unwrap(), "SKIPPED a: none");
    assert_eq!(skip::judge("b", "none", false, list).unwrap(), "SKIPPED b: none");
    let told = skip::judge("b", "no ffmpeg", true, list).unwrap_err();
    assert!(told.contains("b may not") && told.contains("no ffmpeg"), "{told}");
    assert!(skip::judge("# a", "none", true, list).is_err());
}

#[test]
fn the_list_names_tests_that_are_there_and_nothing_skips_past_it() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let all: Vec<(PathBuf, String)> =
        sources(&tests).into_iter().map(|p| (p.clone(), std::fs::read_to_string(p).unwrap())).collect();
    for name in skip::names(skip::LIST) {
        let there = all.iter().any(|(_, text)| text.contains(&format!("fn {name}(")));
        assert!(there, "tests/skips.txt: there is no test {name}");
    }
    for line in skip::LIST.lines().filter(|l| !l.starts_with('#')) {
        assert!(line.split_once(": ").is_some_and(|(_, why)| why.len() > 20), "no reason: {line}");
    }
    // In two pieces, so that this line is not found.
    let word = concat!("SKIP", "PED");
    for (path, text) in all {
        let own = path.ends_with("common/skip.rs") || path.ends_with("tests/skips.rs");
        let says = text.lines().any(|l| l.contains(word) && !l.trim_start().starts_with("//"));
        assert!(own || !says, "{}: it skips by itself and not with `skip`", path.display());
    }
}
