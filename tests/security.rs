//! What docs/security.md promises, tried: files that are not what they should be, disks that are full, networks
//! that reach out, and no network access.

mod common;

use common::onnx::{Attr, Onnx, Type};
use common::*;
use gst::prelude::*;
use gst_video::VideoFormat;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::Duration;

const TOOL: &str = env!("CARGO_BIN_EXE_bgremove");

/// The plugin that goes with these tests.
fn library() -> PathBuf {
    let path = Path::new(TOOL).with_file_name("deps").join("libgstbgremove.so");
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// A folder with the plugin alone, for GST_PLUGIN_PATH.
fn plugin_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(library(), folder.path().join("libgstbgremove.so")).unwrap();
    folder
}

/// A pipeline in a process of its own, behind `before` (a program and its arguments).
fn launch(before: &[&str], plugins: &[&Path], line: &str) -> Output {
    let mut words: Vec<&str> = before.to_vec();
    words.extend(["gst-launch-1.0", "-q"]);
    words.extend(line.split_whitespace());
    let registry = plugins[0].join("registry.bin");
    Command::new(words[0])
        .args(&words[1..])
        .env("GST_PLUGIN_PATH", std::env::join_paths(plugins).unwrap())
        .env("GST_REGISTRY", registry)
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", words[0]))
}

#[track_caller]
fn told(out: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.code().is_some(), "it crashed: {:?} {text}", out.status);
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Whether namespaces can be had; says loudly when not.
fn unshare(test: &str, option: &str) -> bool {
    let can = Command::new("unshare").args([option, "true"]).output().is_ok_and(|o| o.status.success());
    if !can {
        skip::skip(test, &format!("`unshare {option}` is not permitted here (as root it is)"));
    }
    can
}

/// What `f` gives, unless it takes longer than anything here should.
fn soon<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(f()));
    receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what}: it hangs"))
}

/// The error of a pipeline around `bgremove PROPS`.
fn error(props: String) -> String {
    soon(&props.clone(), move || {
        let info = info(VideoFormat::I420, 64, 48);
        process(&props, "video/x-raw", &info, vec![portrait(&info, 0)]).map(|_| props.clone()).unwrap_err()
    })
}

#[test]
fn pipes_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path.display().to_string()
    };
    let says = error(format!("background={}", at("pipe.png")));
    assert!(says.contains("pipe"), "{says}");
    let says = error(format!("model={}", at("pipe.onnx")));
    assert!(says.contains("nor a file"), "{says}");
    let model = folder.path().join("x.onnx");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/models/light-square.onnx"), &model).unwrap();
    at("x.onnx.modelinfo");
    let says = error(format!("model={}", model.display()));
    assert!(says.contains("x.onnx.modelinfo"), "{says}");
}

/// The header of a PNG; there is nothing behind it that could be decoded.
fn png(width: u32, height: u32, depth: u8, kind: u8) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([depth, kind, 0, 0, 0]);
    let crc = chunk.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    });
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    file.extend(chunk);
    file.extend((!crc).to_be_bytes());
    file.extend(b"\0\0\0\0IDAT");
    file
}

#[test]
fn huge_pictures_are_refused_before_they_are_decoded() {
    let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    let path = file.path().display().to_string();
    // 8 bits RGB; 16 bits RGBA, of as many pixels as 8 bits may have.
    for (picture, says) in [
        (png(30_000, 30_000, 8, 2), "pixels"),
        (png(20_000, 20_000, 1, 0), "20000×20000"),
        (png(2_000_000_000, 1, 1, 0), "pixels"),
        (png(16_384, 8_192, 16, 6), "pixels"),
    ] {
        fs::write(file.path(), picture).unwrap();
        let text = error(format!("background={path}"));
        assert!(text.contains("too large") && text.contains(says) && text.contains(&path), "{text}");
    }
    // One that may be as large as it is, and is broken.
    fs::write(file.path(), png(64, 64, 8, 2)).unwrap();
    assert!(error(format!("background={path}")).contains("cannot be decoded"));
}

/// 32×32: a third of each channel, from numbers in a file.
fn thirds(location: &str) -> Onnx {
    Onnx::new()
        .input("x", Type::F32, &[1, 3, 32, 32])
        .external("w", &[1, 3, 1, 1], location)
        .op("Conv", "x w", "y")
        .output("y", Type::F32, &[1, 1, 32, 32])
}

#[test]
fn a_networks_data_is_read_beside_it_and_nowhere_else() {
    init();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("net");
    fs::create_dir(&folder).unwrap();
    let numbers: Vec<u8> = [1.0f32 / 3.0; 3].iter().flat_map(|v| v.to_le_bytes()).collect();
    for file in ["w.bin", "../w.bin"] {
        fs::write(folder.join(file), &numbers).unwrap();
    }
    let path = thirds("w.bin").save(&folder, "x.onnx");
    let white = info(VideoFormat::Gray8, 32, 32);
    let rgb = info(VideoFormat::Rgb, 32, 32);
    let props = format!("output=matte refine=none temporal-smoothing=0 model={}", path.display());
    let frame = gst::Buffer::from_mut_slice(vec![204u8; rgb.size()]);
    let (out, frames) = process(&props, "video/x-raw,format=GRAY8", &rgb, vec![frame]).unwrap();
    assert_eq!((out.width(), out.format()), (white.width(), white.format()));
    assert!(Samples::new(&frames[0], &out).first().iter().all(|v| v.abs_diff(204) <= 1));

    for location in ["../w.bin", "/etc/hostname", "*/_ORT_MEM_ADDR_/*", "./../net/../w.bin"] {
        let path = thirds(location).save(&folder, "bad.onnx").display().to_string();
        let text = error(format!("model={path}"));
        assert!(text.contains(&path) && text.contains(location) && text.contains("own folder"), "{text}");
    }
    let path = thirds("gone.bin").save(&folder, "bad.onnx").display().to_string();
    assert!(error(format!("model={path}")).contains("gone.bin"));
}

#[test]
fn compiled_graphs_and_strange_operators_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (op, says) in [("EPContext", "EPContext"), ("MyOwnLibrarysOp", "MyOwnLibrarysOp")] {
        let network = Onnx::new()
            .input("x", Type::F32, &[1, 3, 32, 32])
            .node(op, "x", "y", &[("ep_cache_context", Attr::Text("../../engine.bin"))])
            .output("y", Type::F32, &[1, 1, 32, 32]);
        let path = network.save(folder.path(), "x.onnx").display().to_string();
        let text = error(format!("model={path}"));
        assert!(text.contains(&path) && text.contains(says), "{text}");
    }
}

/// Sizes in a file that would ask for all memory there is.
#[test]
fn absurd_sizes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let conv = || {
        Onnx::new()
            .input("x", Type::F32, &[1, 3, -1, -1])
            .f32s("w", &[1, 3, 1, 1], &[0.3; 3])
            .op("Conv", "x w", "y")
            .output("y", Type::F32, &[1, 1, -1, -1])
    };
    let path = conv().save(folder.path(), "x.onnx").display().to_string();
    for options in ["multiple=2000000000", "short-side=2000000000"] {
        let text = error(format!("model={path} model-options=options,{options}"));
        assert!(text.contains("2000000000"), "{text}");
    }
    let state = [1i64, 1 << 20, 1 << 12, 1 << 8];
    let network = conv()
        .input("r1i", Type::F32, &state)
        .op("Identity", "r1i", "r1o")
        .output("r1o", Type::F32, &state)
        .save(folder.path(), "state.onnx");
    let text = error(format!("model={}", network.display()));
    assert!(text.contains("recurrent state"), "{text}");
}

/// Numbers that are none and masks of any size, through everything that comes after the network.
#[test]
fn a_networks_worst_output_with_all_that_follows() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let int = Attr::Int(Type::I64 as i64);
    let weigh = |n: Onnx| n.f32s("w", &[1, 3, 1, 1], &[1.0 / 3.0; 3]).op("Conv", "x w", "s");
    let nan = weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]))
        .scalar("half", 0.5)
        .op("Sub", "s half", "d")
        .op("Sqrt", "d", "y")
        .output("y", Type::F32, &[1, 1, 32, 32])
        .save(folder.path(), "nan.onnx");
    // As many rows and columns as the picture is bright.
    let shrinking = weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]))
        .scalar("rows", 32.0)
        .i64s("zero", &[2], &[0, 0])
        .i64s("axes", &[2], &[2, 3])
        .i64s("two", &[1], &[2])
        .i64s("one", &[1], &[1])
        .node("ReduceMean", "s", "mean", &[("keepdims", Attr::Int(0))])
        .op("Mul", "mean rows", "many")
        .node("Cast", "many", "count", &[("to", int)])
        .op("Reshape", "count one", "c1")
        .node("Concat", "c1 c1", "end", &[("axis", Attr::Int(0))])
        .op("Slice", "s zero end axes", "y")
        .output("y", Type::F32, &[1, 1, -1, -1])
        .save(folder.path(), "shrinking.onnx");
    let rgb = info(VideoFormat::Rgb, 160, 120);
    let frames = || -> Vec<gst::Buffer> {
        (0..24u64)
            .map(|n| {
                let level = [255, 40, 200, 90, 12, 160][n as usize % 6];
                let mut b = gst::Buffer::from_mut_slice(vec![level; rgb.size()]);
                b.get_mut().unwrap().set_pts(gst::ClockTime::SECOND * n / 30);
                b
            })
            .collect()
    };
    for model in [&nan, &shrinking] {
        for more in ["", "background=blur", "background=red edge-shift=-9 edge-softness=30", "output=matte"] {
            // Of the dark frames the first network gives no number at all, which is an error by default.
            let props = format!("model={} on-error=hide {more}", model.display());
            let (_, out) =
                process(&props, "video/x-raw", &rgb, frames()).unwrap_or_else(|e| panic!("{props}: {e}"));
            assert_eq!(out.len(), 24, "{props}");
        }
    }
}

/// Caps that no camera gives.
#[test]
fn caps_that_lie() {
    init();
    for caps in [
        "video/x-raw,format=I420,width=64,height=48,framerate=0/1",
        "video/x-raw,format=I420,width=64,height=48,framerate=2147483647/1,pixel-aspect-ratio=1/2147483647",
        "video/x-raw,format=I420,width=64,height=48,framerate=30/1,pixel-aspect-ratio=2147483647/1",
        "video/x-raw,format=I420,width=8192,height=8192,framerate=30/1",
        "video/x-raw,format=I420,width=64,height=48,framerate=30/1,colorimetry=nonsense",
        "video/x-raw,format=I420,width=64,height=48,framerate=30/1,colorimetry=9:9:9:9",
        "video/x-raw,format=I420,width=64,height=48,framerate=30/1,chroma-site=nowhere",
        "video/x-raw,format=I420,width=64,height=48,framerate=30/1,views=99,multiview-mode=left",
        "video/x-raw,format=RGBA,width=65535,height=2,framerate=30/1",
        "video/x-raw,format=I420,width=-64,height=48,framerate=30/1",
        "video/x-raw(memory:DMABuf),format=I420,width=64,height=48,framerate=30/1",
        "video/x-raw,format=I420",
    ] {
        let line = "appsrc name=in format=time ! bgremove name=bg background=#123456 ! fakesink";
        let pipeline = Running(gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap());
        let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        src.set_caps(Some(&caps.parse::<gst::Caps>().unwrap()));
        let _ = pipeline.set_state(gst::State::Playing);
        let _ = src.push_buffer(gst::Buffer::from_mut_slice(vec![7u8; 64 * 48 * 3 / 2]));
        let _ = src.end_of_stream();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
        let message = message.unwrap_or_else(|| panic!("{caps}: it hangs"));
        if let gst::MessageView::Error(e) = message.view() {
            assert!(!e.error().to_string().contains("panicked"), "{caps}: {}", e.error());
        }
    }
}

#[test]
fn the_plugin_loaded_twice() {
    let (one, two) = (plugin_folder(), plugin_folder());
    let line = "videotestsrc num-buffers=3 ! bgremove ! fakesink";
    // Found in two folders: one of them is taken.
    let out = launch(&[], &[one.path(), two.path()], line);
    let text = told(&out);
    assert!(out.status.success(), "{text}");
    // Both opened by hand in one process, beside the copy that is linked into this test.
    init();
    for folder in [&one, &two] {
        // Its types are there already: it says so, and nothing else happens.
        let e = gst::Plugin::load_file(folder.path().join("libgstbgremove.so")).expect_err("a second copy");
        assert!(e.matches(gst::PluginError::Module), "{e}");
    }
    let info = info(VideoFormat::I420, 64, 48);
    let (_, frames) = process("", "video/x-raw", &info, vec![portrait(&info, 0)]).unwrap();
    assert_eq!(frames.len(), 1);
}

#[test]
fn a_full_disk_ends_with_an_error() {
    if !unshare("a_full_disk_ends_with_an_error", "--mount") {
        return;
    }
    let (plugins, place) = (plugin_folder(), tempfile::tempdir().unwrap());
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let clip = clip("carphone_pristine.mp4").display().to_string();
    let on = |size: &str, command: &str| {
        let mount = format!("mount -t tmpfs -o size={size} none '{}' && {command}", disk.display());
        Command::new("unshare")
            .args(["--mount", "sh", "-c", &mount])
            .env("GST_PLUGIN_PATH", plugins.path())
            .env("GST_REGISTRY", plugins.path().join("registry.bin"))
            .output()
            .unwrap()
    };
    for tail in [
        "vp9alphaenc deadline=realtime cpu-used=8 ! webmalphamux",
        "videoconvert ! pngenc ! identity",
        "videoconvert ! video/x-raw,format=A444_10LE ! avenc_prores_ks ! qtmux",
    ] {
        let line = format!(
            "gst-launch-1.0 -q filesrc location='{clip}' ! decodebin ! videoconvert ! bgremove ! {tail} ! \
             filesink location='{}/out'",
            disk.display()
        );
        let out = on("100k", &line);
        let text = told(&out);
        assert!(!out.status.success() && text.contains("No space left"), "{tail}: {text}");
    }
    // What the tool writes is there whole or not at all.
    let page = format!("{}/page.html", disk.display());
    let page_line = format!(
        "'{TOOL}' compare --a model=light --b model=light --frames 20 '{clip}' --output '{page}'; code=$?; \
         ls -A '{}'; exit $code",
        disk.display()
    );
    let out = on("16k", &page_line);
    let text = told(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("page.html cannot be written"), "{text}");
    assert!(out.stdout.is_empty(), "something is left: {text}");
    for name in ["out.webm", "out.png"] {
        let convert = format!(
            "'{TOOL}' convert '{clip}' '{}/{name}' --model light; code=$?; ls -A '{}'; exit $code",
            disk.display(),
            disk.display()
        );
        let out = on("60k", &convert);
        let text = told(&out);
        assert_eq!(out.status.code(), Some(1), "{text}");
        let wanted = format!("cannot be written into {} (", disk.display());
        assert!(text.contains(&wanted) && text.contains("make room there"), "{name}: {text}");
        assert!(out.stdout.is_empty(), "something is left: {text}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_to() {
    let clip = clip("carphone_pristine.mp4").display().to_string();
    // Not even root may make files there.
    for page in ["/proc/self/page.html", "/no/such/folder/page.html"] {
        let out = Command::new(TOOL)
            .args([
                "compare",
                "--a",
                "model=light",
                "--b",
                "model=light",
                "--frames",
                "2",
                &clip,
                "--output",
                page,
            ])
            .output()
            .unwrap();
        let text = told(&out);
        assert!(
            out.status.code() == Some(1) && text.contains(page) && text.contains("cannot be written"),
            "{text}"
        );
    }
}

/// The main job, with sound and a picture, in a network namespace without any network.
#[test]
fn no_network_is_needed() {
    if !unshare("no_network_is_needed", "--net") {
        return;
    }
    let (plugins, place) = (plugin_folder(), tempfile::tempdir().unwrap());
    let (clip, picture) = (clip("astronaut.mp4"), clip("astronaut.png"));
    for (props, tail, name) in [
        ("", "vp9alphaenc deadline=realtime cpu-used=8 ! webmalphamux", "out.webm"),
        ("model=original", "videoconvert ! pngenc", "out.png"),
        (
            &*format!("background={}", picture.display()),
            "videoconvert ! x264enc speed-preset=ultrafast ! mp4mux",
            "out.mp4",
        ),
    ] {
        let out = place.path().join(name);
        let line = format!(
            "filesrc location={} ! decodebin ! videoconvert ! videoscale ! video/x-raw,width=320,height=180 ! \
             identity eos-after=6 ! bgremove {props} ! {tail} ! filesink location={}",
            clip.display(),
            out.display()
        );
        let ran = launch(&["unshare", "--net"], &[plugins.path()], &line);
        let text = told(&ran);
        assert!(ran.status.success(), "{line}: {text}");
        assert!(out.metadata().unwrap().len() > 1000, "{line}");
    }
    let ran = Command::new("unshare").args(["--net", TOOL, "doctor", "--no-speed"]).output().unwrap();
    assert!(told(&ran).contains("cpu"));
}

/// All that the plugin may ask of other libraries, and what for; a name that ends in `*` stands for a family. What is not
/// here is a question to whoever adds it: nothing that starts a program, opens a socket or sends belongs here.
///
/// `dlopen` and `dlsym` are there for ONNX Runtime, and `syscall` because Rust's standard library waits (futex) and asks
/// for random numbers that way.
const IMPORTS: &[(&str, &str)] = &[
    (
        "memory",
        "malloc calloc realloc free posix_memalign mmap mmap64 munmap mprotect memchr memcmp memcpy \
         memmove memrchr memset bcmp strlen",
    ),
    (
        "files that settings name: reading, and the record",
        "open open64 read readv write writev close lseek lseek64 stat stat64 fstat fstat64 lstat \
         lstat64 statx fcntl fsync fchmod rename unlink mkdir readlink realpath getcwd poll opendir \
         readdir readdir64 closedir fdopendir dirfd rmdir",
    ),
    (
        "threads, their priorities and what belongs to each",
        "pthread_* __tls_get_addr gettid getpid sched_yield sched_getaffinity setpriority sigaltstack \
         sigaction pause getauxval",
    ),
    ("the C library's end of a process and a thread", "abort __cxa_* __assert_fail __gmon_start__ _ITM_*"),
    ("panics, which end where they began", "_Unwind_* dl_iterate_phdr"),
    ("time", "clock_gettime clock_nanosleep nanosleep"),
    (
        "numbers",
        "acos* asin* atan* cbrt* ceil* cos* exp expf exp2 exp2f floor* fma fmaf fmod* hypot* log logf \
         log2 log2f log10 log10f pow powf round* sin sinf sincos* sqrt* tan tanf tanh* qsort",
    ),
    ("texts on the way to stderr, and of errors", "fprintf fwrite snprintf stderr __xpg_strerror_r"),
    ("what the system says", "__errno_location getenv sysconf getrandom uname"),
    ("the kernel by number, from Rust's standard library", "syscall"),
    ("ONNX Runtime", "dlopen dlsym dlclose dlerror"),
    (
        "GLib's types, values and texts",
        "g_async_initable_get_type g_initable_get_type g_initially_unowned_get_type g_enum_* \
         g_flags_* g_object_* g_param_* g_quark_* g_signal_* g_type_* g_value_* g_weak_ref_* \
         g_boxed_* g_closure_* g_error_* g_free g_malloc* g_realloc g_strdup* g_strndup g_strfreev \
         g_string_* g_list_* g_slist_* g_bytes_* g_date_* g_log g_mutex_* g_rec_mutex_*",
    ),
    (
        "GLib's reading of sidecars, file:// names, home folders, sums and made-up job ids",
        "g_key_file_* g_filename_from_uri g_get_home_dir g_compute_checksum_for_data \
         g_uuid_string_random",
    ),
    (
        "GStreamer's core and its base classes",
        "_gst_debug_* gst_aggregator_* gst_allocator_* gst_base_transform_* gst_bin_* gst_buffer_* \
         gst_bus_* gst_caps_* gst_clock_* gst_core_error_* gst_custom_meta_* gst_date_time_* gst_debug_* gst_element_* \
         gst_event_* gst_fraction_* gst_ghost_pad_* gst_id_str_* gst_int_range_* gst_is_initialized gst_iterator_* \
         gst_library_error_* gst_memory_* gst_message_* gst_meta_* gst_mini_object_* gst_object_* \
         gst_pad_* gst_pipeline_* gst_plugin_* gst_query_* gst_resource_error_* gst_sample_* \
         gst_segment_* gst_stream_error_* gst_structure_* gst_tag_* gst_type_* gst_util_* gst_value_* \
         gst_version",
    ),
    (
        "key frames and presets, which GStreamer itself keeps",
        "gst_control_binding_get_type gst_preset_get_type",
    ),
    ("frames, sound, and the frames of a backdrop's clip", "gst_video_* gst_audio_* gst_app_sink_*"),
    ("the feature `analytics`", "gst_analytics_*"),
    ("the pipeline that plays a backdrop's clip, whose elements stand in the code", "gst_parse_launch"),
];

/// Members of those families that do not belong to them.
const BUT: &[&str] = &["gst_element_make_from_uri"];

/// The libraries that it is linked with.
const NEEDED: &str = "libgstreamer-1.0.so.0 libgstbase-1.0.so.0 libgstvideo-1.0.so.0 libgstaudio-1.0.so.0 \
    libgstapp-1.0.so.0 libgstanalytics-1.0.so.0 libgobject-2.0.so.0 libglib-2.0.so.0 \
    libgio-2.0.so.0 libgcc_s.so.1 libm.so.6 libc.so.6 ld-linux-x86-64.so.2 ld-linux-aarch64.so.1";

/// What a program of binutils says of the plugin.
fn binutils(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program).args(arguments).arg(library()).output().ok()?;
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The plugin can do what this list says, and nothing else: it does not even know the functions.
///
/// It looks at the library that these tests were built with. That is the same code and the same crates as a release's
/// (the feature `cli` adds none to the library), and imports all that a release does.
#[test]
fn the_plugin_has_no_way_out() {
    let (Some(imports), Some(header), Some(code)) = (
        binutils("nm", &["-D", "--undefined-only"]),
        binutils("objdump", &["-p"]),
        binutils("objdump", &["-d", "--no-show-raw-insn"]),
    ) else {
        return skip::skip("the_plugin_has_no_way_out", "no nm or objdump (Debian package binutils)");
    };
    let names: Vec<&str> =
        imports.lines().filter_map(|l| l.split_whitespace().last()?.split('@').next()).collect();
    assert!(names.contains(&"gst_element_register"), "{names:?}");
    let allowed = |name: &str| {
        let mut all = IMPORTS.iter().flat_map(|(_, names)| names.split_whitespace());
        let known = all.any(|known| match known.strip_suffix('*') {
            Some(family) => name.starts_with(family),
            None => name == known,
        });
        known && !BUT.contains(&name)
    };
    let others: Vec<_> = names.into_iter().filter(|name| !allowed(name)).collect();
    assert!(others.is_empty(), "nobody has allowed the plugin to use {others:?}");
    let out = "socket connect bind listen accept send sendto sendmsg sendmmsg getaddrinfo fork vfork \
               execve execv execvp posix_spawn posix_spawnp system popen ptrace shm_open \
               g_spawn_async g_subprocess_new g_socket_new g_socket_client_new \
               g_app_info_launch_default_for_uri gst_net_client_clock_new memfd_create \
               gst_element_make_from_uri";
    for known in out.split_whitespace() {
        assert!(!allowed(known), "the list lets {known} through");
    }
    let needed: Vec<&str> =
        header.lines().filter_map(|l| l.trim().strip_prefix("NEEDED")).map(str::trim).collect();
    assert!(needed.contains(&"libgstreamer-1.0.so.0"), "{needed:?}");
    assert!(needed.iter().all(|library| NEEDED.split_whitespace().any(|n| n == *library)), "{needed:?}");
    // Nor does it go to the kernel past the C library.
    let past = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|word| ["syscall", "sysenter", "svc"].contains(&word))
    };
    assert!(code.contains("<gst_plugin_bgremove_register>:"), "the code is there");
    let calls: Vec<&str> = code.lines().filter(past).collect();
    assert!(calls.is_empty(), "system calls of its own: {calls:?}");
}
