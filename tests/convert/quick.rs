//! Conversions that take next to no time, for tests that look at times, sound and words and not at mattes.

use crate::media::TINY;
use crate::onnx::Onnx;
use std::path::Path;
use std::sync::LazyLock;

/// Small frames, and a network that calls all of each the subject: a third of what `light` takes with [`TINY`].
pub fn quick() -> [&'static str; 6] {
    static NETWORK: LazyLock<String> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("convert-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Onnx::constant(1.0, 16, 144).save(&folder, "all.onnx").into_os_string().into_string().unwrap()
    });
    [TINY[0], TINY[1], "--model", &NETWORK, "--set", "model-options=options,fit=stretch,activation=none"]
}
