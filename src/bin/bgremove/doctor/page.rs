//! The checks as a page for people, and as JSON.

use super::check::{Check, Mark};
use serde_json::{Map, Value, json};

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Good => "ok",
            Mark::Note => "note",
            Mark::Failed => "FAILED",
        }
    }
}

pub fn text(checks: &[Check]) -> String {
    let mut out = format!("bgremove {}\n", super::VERSION);
    let width = checks.iter().map(|c| c.name.chars().count()).max().unwrap_or_default();
    let mut group = "";
    for check in checks {
        if check.group != group {
            group = check.group;
            out += &format!("\n{group}\n");
        }
        let mut lines = check.detail.lines();
        let first = lines.next().unwrap_or_default();
        out += &format!("  {:<6}  {:width$}  {first}\n", check.mark.word(), check.name);
        let indent = " ".repeat(width + 12);
        lines.for_each(|l| out += &format!("{indent}{}\n", l.trim_end()));
        if let Some(mend) = &check.mend {
            let why = if check.mark == Mark::Failed { "to mend it:" } else { "to have it:" };
            out += &format!("{indent}{why} {mend}\n");
        }
        if let Some(look) = &check.look {
            out += &format!("{indent}to see why: {look}\n");
        }
    }
    let failed = checks.iter().filter(|c| c.mark == Mark::Failed).count();
    out += &match failed {
        0 => format!("\nAll {} checks passed.\n", checks.len()),
        n => format!("\n{n} of {} checks failed.\n", checks.len()),
    };
    out
}

pub fn json(checks: &[Check], formats: &Map<String, Value>, speeds: &[(String, Value)]) -> String {
    let list: Vec<Value> = checks
        .iter()
        .map(|c| {
            json!({
                "group": c.group, "name": c.name, "state": c.mark.word().to_lowercase(), "detail": c.detail,
                "mend": c.mend, "look": c.look,
            })
        })
        .collect();
    let speeds: Map<String, Value> = speeds.iter().cloned().collect();
    let healthy = checks.iter().all(|c| c.mark != Mark::Failed);
    let page = json!({
        "version": super::VERSION, "healthy": healthy, "checks": list, "formats": formats,
        "speed": speeds,
    });
    format!("{page:#}\n")
}
