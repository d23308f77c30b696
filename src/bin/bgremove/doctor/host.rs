//! The machine, and where this tool lives on it.

use super::check::Check;
use crate::convert::launch_line::shell_word;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The Debian package that `make deb` builds.
const PACKAGE: &str = "gstreamer1.0-bgremove";

/// How bgremove came here, and with that what mends it.
pub enum Home {
    /// Built in its source folder.
    Source(PathBuf),
    /// From the Debian package.
    Package,
    /// Some other way.
    Elsewhere,
}

impl Home {
    pub fn find() -> Self {
        let Ok(exe) = std::env::current_exe().and_then(|p| p.canonicalize()) else { return Self::Elsewhere };
        if exe.starts_with("/usr/bin") {
            return Self::Package;
        }
        let is_source =
            |p: &&Path| p.join("tools/install_runtime.sh").is_file() && p.join("Cargo.toml").is_file();
        exe.ancestors().find(is_source).map_or(Self::Elsewhere, |p| Self::Source(p.to_path_buf()))
    }

    fn make(&self, target: &str) -> String {
        match self {
            Self::Source(folder) => format!("make -C {} {target}", shell_word(&folder.display().to_string())),
            // In bgremove's source folder.
            _ => format!("make {target}"),
        }
    }

    /// Brings plugin and tool.
    pub fn plugin(&self) -> String {
        match self {
            Self::Package => apt(PACKAGE),
            _ => self.make("build"),
        }
    }

    /// Puts the right plugin in place of one that does not load, or is of another version.
    pub fn plugin_instead_of(&self, path: &Path) -> String {
        if let Self::Package = self
            && !path.starts_with("/usr/lib")
        {
            return format!("mv {0} {0}.old", shell_word(&path.display().to_string()));
        }
        // What lies beside the tool is found before what is in other folders, if it is named.
        let exe = std::env::current_exe().unwrap_or_default();
        match exe.parent() {
            Some(own)
                if path.parent() != Some(own) && path.file_name().is_some_and(|n| own.join(n).is_file()) =>
            {
                format!("export GST_PLUGIN_PATH={}", shell_word(&own.display().to_string()))
            }
            _ => self.plugin(),
        }
    }

    /// Brings ONNX Runtime.
    pub fn runtime(&self) -> String {
        match self {
            Self::Package => apt(PACKAGE),
            _ => self.make("runtime"),
        }
    }

    /// Brings ONNX Runtime with a provider: `openvino`, `webgpu` or `cuda`.
    pub fn provider(&self, name: &str) -> String {
        self.make(&format!("runtime-{name}"))
    }

    /// This tool as one types it.
    pub fn tool(&self) -> String {
        match (self, std::env::current_exe()) {
            (Self::Source(_), Ok(exe)) => shell_word(&exe.display().to_string()),
            _ => "bgremove".into(),
        }
    }
}

/// Installs a Debian package, also when files of it are gone.
pub fn apt(package: &str) -> String {
    // The folder belongs to the user that this process runs as.
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let sudo = if root { "" } else { "sudo " };
    format!("{sudo}apt-get install --reinstall {package}")
}

/// The processor's features that count here, its cores, and the memory.
pub fn processor() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemTotal:"))?.to_string();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let memory =
        memory.map_or(String::new(), |kib| format!(", {:.0} GB of memory", kib as f64 * 1024.0 / 1e9));
    let features = features();
    let list =
        if features.is_empty() { "none of the features that count".into() } else { features.join(", ") };
    let text = format!("{}, {cores} cores{memory}: {list}", std::env::consts::ARCH);
    if cfg!(target_arch = "x86_64") && !features.contains(&"AVX2") {
        return Check::note("Processor", "features", format!("{text}; without AVX2 all is slower"));
    }
    Check::good("Processor", "features", text)
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let has = [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("AVX-512", is_x86_feature_detected!("avx512f")),
        ("AVX512-VNNI", is_x86_feature_detected!("avx512vnni")),
        ("AVX512-BF16", is_x86_feature_detected!("avx512bf16")),
        ("AMX-BF16", flag("amx_bf16")),
    ];
    has.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    [("NEON", "asimd"), ("dot product", "asimddp"), ("I8MM", "i8mm"), ("BF16", "bf16")]
        .into_iter()
        .filter(|(_, f)| flag(f))
        .map(|(name, _)| name)
        .collect()
}

/// Whether Linux lists a feature.
fn flag(name: &str) -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = text.lines().filter(|l| l.starts_with("flags") || l.starts_with("Features"));
    lines.next().is_some_and(|l| l.split_whitespace().any(|f| f == name))
}
