//! Optimised graphs on disk. A test binary of its own: where they lie is an environment variable, which
//! the whole process shares.

mod common;

use common::onnx::{Onnx, Type};
use common::*;
use gst_video::VideoFormat;
use gstbgremove::models::Network;
use gstbgremove::runtime::Provider;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

/// A network that gives `value` everywhere, in a file that is large enough for the cache.
fn network(value: f32) -> Onnx {
    Onnx::new()
        .input("x", Type::F32, &[1, 3, 32, 32])
        .f32s("w", &[1, 3, 1, 1], &[0.0; 3])
        .f32s("many", &[600_000], &vec![value; 600_000])
        .op("Conv", "x w", "none")
        .op("ReduceMean", "many", "value")
        .i64s("four", &[4], &[1; 4])
        .op("Reshape", "value four", "v")
        .op("Add", "none v", "y")
        .output("y", Type::F32, &[1, 1, 32, 32])
}

/// The matte's value; the network is loaded anew each time.
fn run(model: &Path) -> u8 {
    let info = info(VideoFormat::Rgb, 48, 48);
    let props = format!(
        "output=matte refine=none temporal-smoothing=0 follow-subject=false execution-provider=cpu model=\"{}\"",
        model.display()
    );
    let (out, frames) = process(&props, "video/x-raw,format=GRAY8", &info, vec![portrait(&info, 0)]).unwrap();
    Samples::new(&frames[0], &out).first()[1000]
}

fn cache_in(folder: &Path) {
    // SAFETY: the one test of this binary; no pipeline runs while it is set.
    unsafe { std::env::set_var("XDG_CACHE_HOME", folder) };
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = fs::read_dir(folder.join("bgremove/graphs"))
        .map(|d| d.map(|e| e.unwrap().path()).collect())
        .unwrap_or_default();
    list.sort();
    list
}

/// Puts other contents into an entry, with the hash that goes with them.
fn forge(graph: &Path, sum: &Path, contents: &[u8]) {
    let mut hasher = DefaultHasher::new();
    hasher.write(contents);
    fs::write(graph, contents).unwrap();
    fs::write(sum, format!("{:016x}", hasher.finish())).unwrap();
}

#[test]
fn optimised_graphs_are_kept_used_and_mended() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    cache_in(&cache);
    let model = network(0.2).save(folder.path(), "x.onnx");
    assert_eq!(run(&model), 51);
    let list = entries(&cache);
    let [graph, sum] = &list[..] else { panic!("{list:?}") };
    assert_eq!((graph.extension().unwrap(), sum.extension().unwrap()), ("onnx".as_ref(), "sum".as_ref()));
    let good = fs::read(graph).unwrap();

    // The second load takes it: another network in its place shows.
    forge(graph, sum, &network(0.6).bytes());
    assert_eq!(run(&model), 153);

    // A damaged one is seen and made anew, also where its hash fits but it is no network.
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 0x55;
    let ways: [&dyn Fn(); 6] = [
        &|| fs::write(graph, &damaged).unwrap(),
        &|| fs::write(graph, &good[..good.len() / 3]).unwrap(),
        &|| fs::write(graph, b"").unwrap(),
        &|| fs::write(sum, b"nonsense").unwrap(),
        &|| fs::remove_file(sum).unwrap(),
        &|| forge(graph, sum, b"no network at all"),
    ];
    for (n, damage) in ways.iter().enumerate() {
        damage();
        assert_eq!(run(&model), 51, "way {n}");
        assert_eq!(entries(&cache), list, "way {n}");
        assert_eq!(run(&model), 51, "way {n}");
        forge(graph, sum, &good);
    }

    // Several sessions of one file that are made at once, each with a draft of its own, leave one whole entry.
    let runtime = gstbgremove::runtime::open(None).unwrap();
    let choice = gstbgremove::models::resolve(model.to_str().unwrap(), None).unwrap();
    for _ in 0..4 {
        list.iter().for_each(|p| fs::remove_file(p).unwrap());
        std::thread::scope(|s| {
            for threads in 1..=6 {
                let choice = &choice;
                s.spawn(move || {
                    Network::load(runtime, choice, &Provider::Cpu.into(), threads, false).unwrap();
                });
            }
        });
        assert_eq!(entries(&cache), list);
        assert_eq!(run(&model), 51);
    }

    // Another network has an entry of its own, also at the same path.
    network(0.8).save(folder.path(), "x.onnx");
    assert_eq!(run(&model), 204);
    assert_eq!(entries(&cache).len(), 4);

    // Without a folder that can be written it goes on without.
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for place in [Path::new("/proc/self"), &file] {
        cache_in(place);
        assert_eq!(run(&model), 204, "{}", place.display());
    }
    // Nor where the entry itself cannot be put in its place.
    cache_in(&cache);
    let blocked = entries(&cache).into_iter().find(|p| !list.contains(p) && p.extension().unwrap() == "onnx");
    let blocked = blocked.unwrap();
    fs::remove_file(&blocked).unwrap();
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("in the way"), b"").unwrap();
    assert_eq!(run(&model), 204);
}
