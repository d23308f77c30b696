#!/usr/bin/env python3
"""Runs all tests, like `cargo test`, and tells how long each took: run_tests.py [cargo's options for the build] [-- options of the tests]

What stands no company (ALONE) comes first, one program after the other. The rest runs in two lanes, which takes less time
than one: some programs mostly wait, for live streams, browsers, clocks. These (WAITS) go through the first lane, and those that
compute beside them through the second one, with less of a claim to the processor (NICE), so that live streams stay on time. Who
is done with the first lane helps with the second. With LANES=1 in the environment all run one after the other.

Each program runs as cargo runs it, with all its tests; what it says is printed when it has ended, and a failure of one stops
none of the others. The end lists how long each took, by the clock and of the processor's time, and what failed.
"""
import collections
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

LIB = "gstbgremove"
# The lib's own tests and those of live streams keep two cores busy, and ask for the priority of threads: a network that is to
# stand behind would stand still beside other programs. A stream of rtsp is held to be steady, and auto measures; webgpu failed
# beside others once in fourteen times. That kernels give the same at each width of vectors is among the lib's tests, so that
# nothing is run again with less of the processor's instructions.
ALONE = [LIB, "live", "rtsp", "auto", "webgpu"]
# Programs of the first lane, in the order in which they run. Whatever is not named here computes.
WAITS = "apps soak cluster".split()
# Those of the second lane that take longest begin it, so that none is left over at the end; then the others.
LONG = "convert corpus doctor key webm readme examples troubleshooting sweep".split()
# A third of what others get of a busy core: enough that a conversion does not stall.
NICE = 5
# Beside others a test may fail now and then that passes alone: who has the time takes one lane.
LANES = int(os.environ.get("LANES") or 2)
if LANES not in (1, 2):
    sys.exit("run_tests: error: LANES is neither 1 nor 2")

Job = collections.namedtuple("Job", "name path arguments")


def built(options):
    """The tests' programs, each by its name, as cargo has built them."""
    command = [*os.environ.get("CARGO", "cargo").split(), "test", "--no-run", "--message-format=json-render-diagnostics", *options]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if out.returncode:
        sys.exit(out.returncode)
    messages = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
    found = [m for m in messages if m["reason"] == "compiler-artifact" and m["profile"]["test"] and m["executable"]]
    programs = {m["target"]["name"]: m["executable"] for m in found}
    if len(programs) != len(found):
        sys.exit("run_tests: error: two of the tests' programs have one name")
    return programs


def lanes(programs, more):
    """The jobs that come first, those that wait, and those that compute."""
    # A name that no program has would be a program that runs in the wrong lane.
    unknown = [name for name in ALONE + WAITS + LONG if name not in programs]
    if unknown:
        sys.exit(f"run_tests: error: there is no test {', '.join(unknown)}")
    first = [Job(name, programs[name], more) for name in WAITS]
    rest = sorted(name for name in programs if name not in ALONE + WAITS + LONG)
    second = [Job(name, programs[name], more) for name in LONG + rest]
    return [Job(name, programs[name], more) for name in ALONE], first, second


class Runner:
    def __init__(self, first, second):
        self.first, self.second = collections.deque(first), collections.deque(second)
        self.lock = threading.Lock()
        self.done = []

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def lane(self, queues):
        for queue in queues:
            while True:
                try:
                    job = queue.popleft()
                except IndexError:
                    break
                self.run(job, NICE if queue is self.second and LANES == 2 else 0)

    def run(self, job, nice):
        self.say(f"     Running {job.name} ({os.path.relpath(job.path)})")
        begin = time.monotonic()
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(["nice", "-n", str(nice), job.path, *job.arguments], stdin=subprocess.DEVNULL,
                                     stdout=said, stderr=subprocess.STDOUT)
            # Its own time and that of the processes it has waited for.
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            took = time.monotonic() - begin
            said.seek(0)
            text = said.read().decode(errors="replace").strip("\n")
        how = "ended" if child.returncode == 0 else f"FAILED ({child.returncode})"
        used = usage.ru_utime + usage.ru_stime
        self.say(f"\n{text}\n\n     {job.name} {how} after {took:.1f} s and {used:.1f} s of the processor's")
        with self.lock:
            self.done.append((job, child.returncode, took, used))


def main():
    options = sys.argv[1:]
    at = options.index("--") if "--" in options else len(options)
    alone, first, second = lanes(built(options[:at]), options[at + 1 :])
    begin = time.monotonic()
    runner = Runner(first, second)
    for job in alone:
        runner.run(job, 0)
    queues_of = [[runner.first, runner.second], [runner.second]]
    threads = [threading.Thread(target=runner.lane, args=(queues,)) for queues in queues_of[:LANES]]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        # Those that run have got it, too; nothing is to follow them.
        runner.first.clear()
        runner.second.clear()
        raise
    print("\n     took  processor")
    for job, _, took, used in sorted(runner.done, key=lambda d: -d[2]):
        print(f"{took:7.1f} s {used:7.1f} s  {job.name}")
    print(f"{time.monotonic() - begin:7.1f} s {sum(d[3] for d in runner.done):7.1f} s  all of them")
    failed = [job.name for job, code, _, _ in runner.done if code]
    if len(runner.done) != len(alone) + len(first) + len(second):
        sys.exit("run_tests: error: not all were run")
    if failed:
        sys.exit(f"run_tests: error: {len(failed)} failed: {', '.join(failed)}")


main()
