//! Tells the plugin its version, which holds the commit.

use std::path::Path;
use std::process::Command;

fn main() {
    gst_plugin_version_helper::info();
    // Without these any new file in the folder would build everything again.
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.toml");
    for name in ["HEAD", "logs/HEAD"] {
        let git = Command::new("git").args(["rev-parse", "--git-path", name]).output();
        let path = git.map(|g| String::from_utf8_lossy(&g.stdout).trim().to_string()).unwrap_or_default();
        // A file that is not there counts as changed.
        if !path.is_empty() && Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}
