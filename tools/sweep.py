#!/usr/bin/env python3
"""Damaged files through any command: each run has to end soon, with success or with words.

    tools/sweep.py [--cases N] [--from N] [--seconds S] [--jobs N] -- COMMAND... {in} ... {out}

{in} is replaced by a damaged file, {out} by a name that is not there yet (with the suffix of --suffix). A run
fails when the command crashes, panics, takes longer than --seconds, ends with an error and without a word on
standard error, or ends with an error and leaves {out} behind, or with success and leaves none. Case N is the same
every time: --from N --cases 1 --keep DIR repeats it and keeps the file. Whole files are made with ffmpeg.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIP = ROOT / "build/clips/carphone_pristine.mp4"
# Name and ffmpeg's options.
FILES = {
    "a.mp4": "-c:v libx264 -g 4 -bf 2 -c:a aac",
    "frag.mp4": "-c:v libx264 -g 3 -movflags frag_keyframe+empty_moov -an",
    "a.webm": "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -c:a libopus",
    "alpha.webm": "-vf format=yuva420p -c:v libvpx-vp9 -auto-alt-ref 0 -cpu-used 8 -deadline realtime -an",
    "a.mkv": "-c:v libvpx -deadline realtime -an",
    "a.mov": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -an",
    "a.avi": "-c:v mjpeg -c:a pcm_s16le",
    "a.ts": "-c:v mpeg2video -c:a mp2",
    "a.gif": "-an",
    "a.png": "-frames:v 1 -an",
    "a.jpg": "-frames:v 1 -update 1 -an",
}


def whole_files(folder):
    if not CLIP.exists():
        sys.exit(f"{CLIP} is missing: run `make clips`")
    sources = {}
    for name, options in FILES.items():
        path = folder / name
        command = f"-nostdin -v error -ss 1 -i {CLIP} -f lavfi -i sine=r=48000 -map 0:v -map 1:a -t 0.25 -strict -2"
        subprocess.run(["ffmpeg", *command.split(), *options.split(), "-y", path], check=True)
        sources[name] = path.read_bytes()
    return sources


def damage(case, whole):
    dice = random.Random(case)
    data = bytearray(whole)
    kind = dice.randrange(12)
    at = dice.randrange(len(data))
    if kind == 0:
        return b""
    if kind <= 2:
        return bytes(data[:at])
    if kind <= 4:
        end = min(len(data), at + dice.randrange(2000))
        data[at:end] = bytes([dice.choice([0, 255, dice.randrange(256)])]) * (end - at)
    elif kind == 5:
        del data[at : at + dice.randrange(500)]
    elif kind == 6:
        piece = data[at : at + dice.randrange(3000)]
        to = dice.randrange(len(data))
        data[to:to] = piece
    elif kind <= 8:
        for _ in range(1 + dice.randrange(6)):
            data[dice.randrange(min(len(data), 900))] = dice.randrange(256)
    else:
        for _ in range(1 + dice.randrange(40)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def run(case, sources, options):
    """How a case ended, and what was wrong with that, if anything."""
    name = list(sources)[case % len(sources)]
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        source = pathlib.Path(options.keep or folder) / f"{case}-{name}"
        source.write_bytes(damage(case, sources[name]))
        out = pathlib.Path(folder) / f"out{options.suffix}"
        command = [a.replace("{in}", str(source)).replace("{out}", str(out)) for a in options.command]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=options.seconds)
        except subprocess.TimeoutExpired:
            return "hangs", f"it took longer than {options.seconds} s"
        words = done.stderr.decode(errors="replace")
        left = out.exists()
        if done.returncode < 0 or done.returncode >= 128:
            return "crash", f"it crashed ({done.returncode}): {words[-300:]}"
        if "panicked" in words:
            return "panic", words[-500:]
        if done.returncode == 0:
            wrong = None if left or "{out}" not in " ".join(options.command) else "success, and no file"
            return "done", wrong
        if not words.strip():
            return "error", f"status {done.returncode} without a word"
        return "error", f"it failed and left {out.name} behind: {words[-300:]}" if left else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--suffix", default=".webm")
    parser.add_argument("--keep", help="a folder to keep the damaged files in")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if not any("{in}" in a for a in options.command):
        parser.error("the command has no {in}")
    with tempfile.TemporaryDirectory(prefix="sweep-whole-") as folder:
        sources = whole_files(pathlib.Path(folder))
    ends, wrong = {}, []
    cases = range(options.first, options.first + options.cases)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for case, (end, what) in zip(cases, pool.map(lambda c: run(c, sources, options), cases)):
            ends[end] = ends.get(end, 0) + 1
            if what:
                wrong.append(case)
                print(f"case {case}: {what}", flush=True)
    told = ", ".join(f"{n} {end}" for end, n in sorted(ends.items()))
    print(f"{options.cases} cases: {told}; {len(wrong)} went wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
