#!/usr/bin/env python3
"""Converts clips with bgremove on a Ray cluster: each in parts, the parts joined.

    pip install -r requirements.txt
    python convert_ray.py in.mp4 more/ -o cut/ --address auto -- --model human --background blur

What is behind `--` goes to `bgremove convert`. All nodes have to see inputs and outputs under the same paths (a shared
folder, or an object store that is mounted): only paths go through Ray. Each node needs the tool (the Debian package, or
--bgremove PATH) and the networks that it is to use. `ffprobe` tells how long a clip is.

A part that fails, or whose node goes, is made again elsewhere; what is there and whole is not. So the same command,
started again, goes on where it was.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Ray tells its makers how it is used unless it is told not to: nothing leaves the cluster here.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

VIDEO = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mxf", ".flv", ".mpg", ".mpeg", ".ogv", ".3gp", ".wmv"}


class Failed(Exception):
    """What bgremove has said."""


def dies_with_its_worker():
    """Linux: no bgremove goes on when the node's worker has gone, while another node makes the same part."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def bgremove(command, note=lambda event: None):
    """Runs the tool, hands on what it tells, and gives its last words."""
    last = {}
    # Errors go into a file: a pipe that nobody reads would fill, and hold up the tool.
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, preexec_fn=dies_with_its_worker)
        try:
            for line in child.stdout:
                try:
                    last = json.loads(line)
                except ValueError:
                    continue
                note(last)
            child.wait()
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        words = errors.read()
    if child.returncode or last.get("event") not in ("done", "kept"):
        raise Failed(words.strip() or f"{command[0]} ended with {child.returncode}")
    return last


@ray.remote(num_cpus=0)
class Progress:
    """How many seconds of each part are done."""

    def __init__(self):
        self.seconds = {}

    def tell(self, part, seconds):
        self.seconds[part] = seconds

    def done(self):
        return sum(self.seconds.values())


@ray.remote
def convert(tool, source, output, number, parts, options, progress):
    """One part."""
    share = f"{number}/{parts}"

    def note(event):
        if event.get("event") == "progress":
            progress.tell.remote((output, number), event["seconds"])

    command = [tool, "convert", source, output, "--part", share, "--resume", "--json", *options]
    return bgremove(command, note)


@ray.remote
def join(tool, source, output, parts):
    """These parts of a clip: others, of an earlier run with longer or shorter ones, may lie beside them."""
    return bgremove([tool, "join", output, *parts, "--source", source, "--overwrite", "--json"])


def length(path):
    """Seconds that a clip lasts."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    told = subprocess.run(command, capture_output=True, text=True)
    try:
        return float(told.stdout)
    except ValueError:
        raise Failed(f"its length is not known: {told.stderr.strip() or 'ffprobe does not say it'}") from None


def clips(names):
    """The inputs, with those in folders."""
    for name in map(Path, names):
        if name.is_dir():
            yield from sorted(p for p in name.iterdir() if p.suffix.lower() in VIDEO)
        else:
            yield name


def bar(done, total, began):
    """One for all parts of all clips."""
    share = min(done / total, 1) if total else 1
    spent = time.monotonic() - began
    left = f", {spent * (1 - share) / share:.0f} s left" if share > 0.02 else ""
    text = f"[{'#' * round(share * 30):-<30}] {share:4.0%}, {done:.0f} of {total:.0f} s{left}"
    print(f"\r{text:<78}" if sys.stderr.isatty() else text, end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def run(args, on_progress=None):
    """Converts; a list of (input, output or None, what went wrong or None)."""
    ended, jobs, waiting = [], {}, {}
    # Beside this program, which has to stay anyway: another node may go.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    progress = Progress.options(scheduling_strategy=here).remote()
    out = Path(args.output).resolve()
    out.mkdir(parents=True, exist_ok=True)
    total, taken = 0.0, {}
    for source in clips(args.inputs):
        output = str(out / f"{source.stem}.{args.format}")
        if output in taken:
            ended.append((source, None, f"{taken[output]} has its result's name"))
            continue
        taken[output] = source
        # Pictures go into a folder, whose name is without the extension.
        result = Path(output).with_suffix("") if args.format == "png" else Path(output)
        if result.exists() and result.samefile(source):
            ended.append((source, None, "it would replace itself: choose another folder"))
            continue
        if result.is_file() or result.is_dir() and any(result.iterdir()):
            ended.append((source, str(result), None))
            continue
        try:
            seconds = length(source)
        except Failed as why:
            ended.append((source, None, str(why)))
            continue
        total += seconds
        parts = max(1, round(seconds / args.seconds))
        needs = dict(num_cpus=args.cpus, num_gpus=args.gpus, max_retries=args.retries, retry_exceptions=[Failed])
        make = convert.options(**needs)
        source = str(source.resolve())
        jobs[output] = (source, parts, set())
        for number in range(1, parts + 1):
            options = ["--format", args.format, *args.options]
            waiting[make.remote(args.bgremove, source, output, number, parts, options, progress)] = output
    began = told = time.monotonic()
    done = 0.0
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=1)
        for task in ready:
            output = waiting.pop(task)
            source, parts, whole = jobs[output]
            try:
                last = ray.get(task)
            except (ray.exceptions.RayError, Failed) as why:
                cause = getattr(why, "cause", None) or why
                ended.append((source, None, str(cause).strip()))
                # Its other parts would be made in vain.
                for other in [t for t, o in waiting.items() if o == output]:
                    ray.cancel(other)
                    del waiting[other]
                continue
            if task in whole:
                ended.append((source, last["output"], None))
                continue
            whole.add(last["output"])
            if len(whole) == parts:
                last = join.options(num_cpus=1, max_retries=args.retries).remote(args.bgremove, source, output, sorted(whole))
                waiting[last] = output
                # So that its end is known for that of the whole.
                whole.add(last)
        try:
            done = ray.get(progress.done.remote())
        except ray.exceptions.RayError:
            # A bar that stands still for a moment is no reason to stop.
            pass
        if on_progress:
            on_progress(done, total)
        if time.monotonic() - told > (1 if sys.stderr.isatty() else 10) or not waiting:
            told = time.monotonic()
            bar(done if waiting else total, total, began)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return ended


def arguments(words):
    about = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(description=about[0], epilog=about[1], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="clips, or folders of them")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the results go")
    parser.add_argument("--format", default="webm", choices=["webm", "mov", "mp4", "png"])
    parser.add_argument("--seconds", type=float, default=60, help="how long a part is, about (60)")
    parser.add_argument("--cpus", type=float, default=2, help="processor cores a part (2)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs a part, also in fractions (0)")
    parser.add_argument("--retries", type=int, default=3, help="how often a part is tried again (3)")
    parser.add_argument("--bgremove", default="bgremove", metavar="PATH", help="the tool, as all nodes see it")
    parser.add_argument("--address", default=None, help="the cluster's; auto within one; none: a cluster of this machine")
    own, options = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = parser.parse_args(own)
    args.options = options
    return args


def main(words):
    args = arguments(words)
    ray.init(address=args.address, log_to_driver=False)
    ended = run(args)
    bad = [(source, why) for source, _, why in ended if why]
    for source, output, why in ended:
        if not why:
            print(output)
    print(f"{len(ended) - len(bad)} of {len(ended)} converted", file=sys.stderr)
    for source, why in bad:
        print(f"  failed: {source}: {why}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
