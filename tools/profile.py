#!/usr/bin/env python3
"""Where a pipeline with bgremove spends its processor time, module by module, with Linux's perf:

    tools/profile.py [--depth N] [GST-LAUNCH LINE]

Without a line: the demo's portrait at 1080p, H.264, decoded in one thread, `light` as `bgremove convert` sets it, to A420. With
depth 2 (3) it tells the modules' files as well. Takes target/release/libgstbgremove.so; needs perf (Debian package linux-perf)
and addr2line (binutils). A function that is inlined counts for the file it was written in.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLUGIN = os.path.join(ROOT, "target/release/libgstbgremove.so")
PORTRAIT = os.path.join(ROOT, "build/clips/astronaut.mp4")


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **more)
    if done.returncode:
        sys.exit(f"profile: error: {command[0]} ended with {done.returncode}")
    return done.stdout


def portrait(folder):
    clip = os.path.join(folder, "portrait.mp4")
    run(["ffmpeg", "-v", "error", "-i", PORTRAIT, "-vf", "scale=1920:1080", "-c:v", "libx264", "-crf", "20",
         "-pix_fmt", "yuv420p", clip])
    return (f"filesrc location={clip} ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! bgremove model=light lookahead=3 "
            "inference-mode=sync ! video/x-raw,format=A420 ! fakesink").split()


def samples(data):
    """Thread, address and library of each sample."""
    for line in run(["perf", "script", "-i", data, "-F", "comm,ip,dso"], stderr=subprocess.DEVNULL).splitlines():
        found = re.match(r"\s*(\S+)\s+([0-9a-f]+)\s+\((.*)\)$", line)
        if found:
            yield found[1], int(found[2], 16), found[3]


def load_address(data, address):
    """What an address of the plugin in memory is more than it is in the file as addr2line knows it. `address`: one of them."""
    events = run(["perf", "script", "-i", data, "--show-mmap-events"], stderr=subprocess.DEVNULL)
    pattern = r"\[0x([0-9a-f]+)\(0x([0-9a-f]+)\) @ (0x[0-9a-f]+|0) .*r-xp " + re.escape(PLUGIN)
    # GStreamer may have looked at it in a process of its own before.
    mapped = [[int(part, 16) for part in found] for found in re.findall(pattern, events)]
    begin, _, offset = next(m for m in mapped if m[0] <= address < m[0] + m[1])
    for line in run(["readelf", "-lW", PLUGIN]).splitlines():
        part = line.split()
        if part[:1] == ["LOAD"] and (int(part[1], 16) & ~0xFFF) == offset:
            return begin - (offset + int(part[2], 16) - int(part[1], 16))
    sys.exit("profile: error: the plugin's file has no such part")


def places(addresses):
    """For each address the file of ours whose code it is, below src/, or the crate."""
    out = run(["addr2line", "-i", "-a", "-e", PLUGIN, *map(hex, addresses)])
    chains, address = {}, None
    for line in out.splitlines():
        if line.startswith("0x"):
            address = int(line, 16)
            chains[address] = []
        else:
            chains[address].append(line.split(":")[0])
    own = os.path.join(ROOT, "src") + "/"
    return {
        address: next((file[len(own):] for file in chain if file.startswith(own)), "other crates")
        for address, chain in chains.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("line", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        line = arguments.line or portrait(folder)
        data = os.path.join(folder, "perf.data")
        environment = {**os.environ, "GST_PLUGIN_PATH": os.path.dirname(PLUGIN)}
        run(["gst-launch-1.0", "-q", *line], env=environment)
        run(["perf", "record", "-q", "-F", "2000", "-o", data, "gst-launch-1.0", "-q", *line], env=environment)
        taken = list(samples(data))
        ours = sorted({ip for _, ip, library in taken if library == PLUGIN})
        if not ours:
            sys.exit("profile: error: the pipeline has not run the plugin")
        base = load_address(data, ours[0])
        where = places([ip - base for ip in ours])
    counts = collections.Counter()
    for thread, ip, library in taken:
        name = os.path.basename(library)
        if library == PLUGIN:
            path = where[ip - base]
            counts["/".join(path.removesuffix(".rs").split("/")[:arguments.depth])] += 1
        elif name.startswith("libonnxruntime"):
            counts["(the network)"] += 1
        elif name.startswith("libavcodec"):
            counts["(decoding)"] += 1
        elif thread.startswith("bgremove"):
            counts["(copies, memory, the system, in our threads)"] += 1
        else:
            counts["(everything else)"] += 1
    for name, count in counts.most_common():
        share = 100 * count / len(taken)
        if share >= 0.1:
            print(f"{share:5.1f} %  {name}")


if __name__ == "__main__":
    main()
