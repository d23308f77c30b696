#!/usr/bin/env python3
"""Run the published U²-Net-p file and the reduced one side by side.

Usage: check_original.py u2netp.onnx original.onnx

Exits 1 if the first map differs at all: the weights and the sums are the same.
"""
import sys

import numpy as np
import onnxruntime as ort


def main():
    options = ort.SessionOptions()
    options.log_severity_level = 3  # the published file names weights that it does not use
    a, b = (ort.InferenceSession(p, options, providers=["CPUExecutionProvider"]) for p in sys.argv[1:3])
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(3):
        x = np.kron(rng.normal(size=(1, 3, 20, 20)), np.ones((1, 1, 16, 16))).astype(np.float32)
        first = a.run(None, {a.get_inputs()[0].name: x})[0]
        worst = max(worst, float(abs(first - b.run(["mask"], {"input": x})[0]).max()))
    print(f"{sys.argv[2]}: largest difference from the published file {worst:g} over 3 pictures")
    return worst != 0


if __name__ == "__main__":
    sys.exit(main())
