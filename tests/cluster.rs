//! Engines that run parts on several machines: `examples/cluster/convert_ray.py` on a Ray cluster. What needs no cluster
//! (GNU parallel, Slurm's script) is in `tests/convert/join.rs`.

#[path = "convert/media.rs"]
#[allow(dead_code)]
mod media;
#[path = "common/skip.rs"]
mod skip;

use media::{clip, folder, text, tool};
use std::path::Path;
use std::process::Command;

/// Three nodes on this machine, each with its own process tree, of which one is killed in mid-run; the file has to be
/// that which the same parts make without Ray, to the byte.
#[test]
fn a_ray_cluster_that_loses_a_node_makes_the_same_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ray = root.join("build/ray");
    // What the script puts there last.
    if !ray.join(".made-from").exists() {
        let why = "Ray is not in build/ray: run tools/ray.sh";
        skip::skip("a_ray_cluster_that_loses_a_node_makes_the_same_file", why);
        return;
    }
    let options = ["-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-c:a", "aac"];
    let input = clip("ray.mp4", 10.0, ",scale=160:90,loop=loop=2:size=120", &options);
    let folder = folder("ray");
    let mut nodes = Command::new(ray.join("bin/python"));
    nodes.arg(root.join("examples/cluster/three_nodes.py"));
    nodes.args([text(&input), text(&folder), env!("CARGO_BIN_EXE_bgremove")]);
    // Ray prints what it is up to on both, and none of it is wanted but where something goes wrong.
    nodes.envs([("RAY_DEDUP_LOGS", "0"), ("RAY_USAGE_STATS_ENABLED", "0")]);
    let out = nodes.output().unwrap();
    let said = [out.stdout, out.stderr].map(|s| String::from_utf8_lossy(&s).into_owned());
    assert!(out.status.success(), "{}\n{}", said[0], said[1]);
    println!("{}", said[0]);
    let joined = folder.join("ray").join(input.file_name().unwrap()).with_extension("webm");
    // And it is the clip: three hundred frames, ten beeps.
    assert_eq!((media::times(&joined).len(), media::onsets(&joined).len()), (300, 10));
    tool("rm", &["-r", text(&folder)]);
}
