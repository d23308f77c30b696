#!/usr/bin/env python3
"""convert_ray.py on a Ray cluster of three nodes on this machine, one of which goes in mid-run: the file that comes of it
is the one that the same parts make without Ray. `make ray` and `make test` run it.

    three_nodes.py CLIP FOLDER BGREMOVE
"""

import subprocess
import sys
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

import convert_ray

SECONDS = 2.0


def main(clip, folder, tool):
    folder = Path(folder)
    options = ["--model", "light", "--size", "320x180", "--set", "threads=1"]
    nodes = dict(num_cpus=1, object_store_memory=100 << 20)
    cluster = Cluster(initialize_head=True, head_node_args=nodes)
    others = [cluster.add_node(**nodes) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    alive = lambda: sum(node["Alive"] for node in ray.nodes())
    assert alive() == 3, ray.nodes()

    def kill(done, total):
        if done > total * 0.2 and others:
            cluster.remove_node(others.pop(), allow_graceful=False)
            others.clear()
            print(f"a node is killed after {done:.1f} of {total:.1f} s", file=sys.stderr)

    words = [clip, "-o", str(folder / "ray"), "--seconds", str(SECONDS), "--cpus", "1", "--bgremove", tool, "--", *options]
    args = convert_ray.arguments(words)
    ended = convert_ray.run(args, kill)
    assert not others, "the node went too late: take a longer clip"
    # The head takes a node for dead when it has not answered for some time.
    until = time.monotonic() + 60
    while alive() != 2:
        assert time.monotonic() < until, ray.nodes()
        time.sleep(0.5)
    assert [why for _, _, why in ended] == [None], ended
    ray.shutdown()
    cluster.shutdown()

    by_ray = Path(ended[0][1])
    alone = folder / by_ray.name
    parts = max(1, round(convert_ray.length(clip) / SECONDS))
    for number in range(1, parts + 1):
        command = [tool, "convert", clip, str(alone), "--part", f"{number}/{parts}", "--format", "webm", *options]
        subprocess.run(command, check=True)
    subprocess.run([tool, "join", str(alone)], check=True)
    assert by_ray.read_bytes() == alone.read_bytes(), f"{by_ray} and {alone} differ"
    print(f"{parts} parts on three nodes, of which one was killed: the same {alone.stat().st_size} bytes as without Ray")


if __name__ == "__main__":
    main(*sys.argv[1:])
