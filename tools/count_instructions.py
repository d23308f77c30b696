#!/usr/bin/env python3
"""Instructions that a program executes in one of its libraries, counted by qemu:

    count_instructions.py LIBRARY QEMU [its options] PROGRAM ARGUMENTS...

Prints how many, and how many of them work on NEON's vectors (for ARM64), all threads together. qemu writes each block of the
library that it translates, with its instructions, and each time that it runs one.
"""
import collections
import os
import re
import subprocess
import sys
import tempfile

NEON = re.compile(rb"\bv\d+\.\d*[bhsd]|\bq\d+\b")


def run(command, options, log=None):
    """Runs the program with more options for qemu; what it said. `log` gets the lines of qemu's log."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = os.path.join(folder, "log")
        os.mkfifo(pipe)
        more = [*options, "-D", pipe] if log else options
        with open(os.path.join(folder, "said"), "w+b") as said:
            arguments = ["setarch", "-R", command[0], *more, "-E", "LD_DEBUG=files", *command[1:]]
            child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=said)
            if log:
                with open(pipe, "rb", buffering=1 << 20) as lines:
                    log(lines)
            code = child.wait()
            said.seek(0)
            text = said.read().decode(errors="replace")
    if code:
        text = "\n".join(line for line in text.splitlines() if not re.match(r"\s*\d+:\t", line))
        sys.exit(f"{text}\ncount_instructions: error: the program ended with {code}")
    return text


def place(said, library):
    """Where a library was loaded."""
    pattern = re.escape(library) + r"\S* \[\d+\];  generating link map\n.*base: (0x[0-9a-f]+)\s+size: (0x[0-9a-f]+)"
    found = re.search(pattern, said)
    if not found:
        sys.exit(f"count_instructions: error: {library} was not loaded")
    return found.groups()


class Blocks:
    """How often each block ran, and its instructions: all, and those on vectors."""

    def __init__(self):
        self.runs, self.sizes = collections.Counter(), {}

    def read(self, lines):
        block = None
        for line in lines:
            if line.startswith(b"Trace"):
                self.runs[line.split(b"/", 2)[1]] += 1
            elif line.startswith(b"IN:"):
                block = None
            elif line.startswith(b"0x"):
                address, _, text = line.partition(b":")
                if block is None:
                    block = self.sizes[b"%016x" % int(address, 16)] = [0, 0]
                # The bytes of a long instruction go on in a line of their own.
                if not re.fullmatch(rb"[0-9a-f ]+", text.strip()):
                    block[0] += 1
                    block[1] += bool(NEON.search(text))


def main():
    library, command = sys.argv[1], sys.argv[2:]
    # Only what lies in the library is logged. `setarch -R` has it loaded at the same place each time, once GStreamer has its list
    # of plugins.
    base, size = place(run(command, []), library)
    for _ in range(3):
        blocks = Blocks()
        found = place(run(command, ["-d", "in_asm,exec,nochain", "-dfilter", f"{base}+{size}"], blocks.read), library)
        if found == (base, size):
            break
        base, size = found
    else:
        sys.exit(f"count_instructions: error: {library} is loaded elsewhere each time")
    print(*(sum(times * blocks.sizes[at][i] for at, times in blocks.runs.items()) for i in range(2)))


if __name__ == "__main__":
    main()
