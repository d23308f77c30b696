#!/usr/bin/env python3
"""Trains the network of `refine=learned`: train.py FOLDER MODEL.onnx [MINUTES]

FOLDER holds what draw.py drew. Every three minutes the loss is printed beside that of the mattes as they came, and the file is
written anew. MINUTES (42) is how long it learns, on all cores; the learning rate falls to its end.
"""
import copy
import math
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from network import Network, export

# Crops, pixels across, and how many a step.
SIZE, BATCH = 192, 8
RATE = 4e-3
# Weights are averaged over about so many steps.
AVERAGED = 1000
# Errors well below this count by their square, those above by themselves.
SMALL = 0.06


def load(folder):
    """Frames with mattes and the truth; the background with where it is known, at half the size; and where there is something
    to learn: cells of 20x20 pixels in doubt, or wrong."""
    found = []
    for path in sorted(Path(folder).glob("*.npz"), key=lambda p: int(p.stem)):
        d = np.load(path)
        frame, truth, matte = d["frame"], d["truth"], d["matte"]
        doubt = ((matte > 3) & (matte < 252)).astype(np.float32)
        wrong = (np.abs(matte.astype(int) - truth) > 12).astype(np.float32)
        cells = np.flatnonzero(cv2.resize(doubt + 2 * wrong, (64, 36), interpolation=cv2.INTER_AREA) > 0.03)
        if len(cells) > 4:
            known = d["known"].repeat(2, 0).repeat(2, 1)
            found.append((np.dstack([frame, matte, truth]), np.dstack([d["behind"], known]), cells))
    return found


def coarse_chroma(rgb):
    """Chroma at half the resolution, in the middle of its pixels, as in I420."""
    luma = rgb @ np.float32([0.299, 0.587, 0.114])
    chroma = cv2.resize(rgb - luma[..., None], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    chroma = cv2.resize(chroma, luma.shape, interpolation=cv2.INTER_LINEAR)
    return np.clip(luma[..., None] + chroma, 0, 1)


def another_matte(r, matte):
    """Softer or harder than the filter gives it, and often a little larger or smaller: the colours are to be looked at."""
    matte = cv2.GaussianBlur(matte, (0, 0), r.uniform(0.7, 6))
    if r.rand() < 0.5:
        matte = (matte - r.uniform(0.3, 0.7)) * r.uniform(1, 5) + 0.5
    return np.clip(matte, 0, 1)


def crop(r, data):
    """A square of what the network is shown, and its truth: [9, SIZE, SIZE]."""
    planes, behind, cells = data[r.randint(len(data))]
    cell = cells[r.randint(len(cells))]
    near = lambda at, n: int(np.clip(at * 20 + 10 - SIZE // 2 + r.randint(-40, 41), 0, n - SIZE)) // 2 * 2
    y, x = near(cell // 64, 720), near(cell % 64, 1280)
    half = behind[y // 2 :, x // 2 :][: SIZE // 2, : SIZE // 2]
    known = half[..., 3].repeat(2, 0).repeat(2, 1)
    known = known.astype(np.float32) * (r.rand() < 0.5)
    behind = cv2.resize(np.ascontiguousarray(half[..., :3]), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    a = np.dstack([planes[y : y + SIZE, x : x + SIZE], behind]).astype(np.float32) / 255
    if r.rand() < 0.5:
        a[..., :3] = coarse_chroma(a[..., :3])
    if r.rand() < 0.2:
        a[..., 3] = another_matte(r, a[..., 3])
    if r.rand() < 0.6:
        # Where the background is known, the matte may be better, as where it is kept from a frame before.
        n = 2 + r.randint(6)
        well = cv2.resize(r.rand(n, n).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        well *= known * r.uniform(0.3, 0.9)
        a[..., 3] += (np.clip(a[..., 4] + r.normal(0, 0.08, (SIZE, SIZE)), 0, 1) - a[..., 3]) * well
    colors = a[..., [0, 1, 2, 5, 6, 7]]
    if r.rand() < 0.3:
        colors = np.clip(colors, 0, 1) ** r.uniform(0.7, 1.4)
    if r.rand() < 0.1:
        colors = 1 - colors
    differences = (colors[..., :3] - colors[..., 3:]) * known[..., None]
    a = np.dstack([colors[..., :3] - 0.5, a[..., 3:4] - 0.5, differences, known, a[..., 4]])
    if r.rand() < 0.5:
        a = a[:, ::-1]
    if r.rand() < 0.3:
        a = a[::-1]
    if r.rand() < 0.3:
        a = a.transpose(1, 0, 2)
    return a.transpose(2, 0, 1).astype(np.float32)


class Crops(torch.utils.data.IterableDataset):
    """Crops without end, drawn in a process of their own."""

    def __init__(self, data):
        self.data = data

    def __iter__(self):
        r = np.random.RandomState(torch.initial_seed() % 2**32)
        while True:
            yield torch.from_numpy(np.ascontiguousarray(crop(r, self.data)))


def loss(matte, truth):
    """Of the difference and its gradients, these at three scales (Charbonnier's)."""
    size = lambda d: ((d * d + SMALL**2).sqrt() - SMALL).mean()
    slopes = lambda d: size(d.diff(dim=2)) + size(d.diff(dim=3))
    d = matte - truth
    total = size(d) + slopes(d)
    for _ in range(2):
        d = F.avg_pool2d(d, 2)
        total = total + slopes(d)
    return 10 * total


def main():
    folder, path = sys.argv[1], sys.argv[2]
    seconds = 60 * float(sys.argv[3] if len(sys.argv) > 3 else 42)
    torch.manual_seed(0)
    data = load(folder)
    loader = iter(torch.utils.data.DataLoader(Crops(data), BATCH, num_workers=1, prefetch_factor=16))
    network = Network().to(memory_format=torch.channels_last)
    mean = copy.deepcopy(network).eval()
    print(f"{len(data)} frames, {sum(p.numel() for p in network.parameters())} weights", flush=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    begin = told = time.time()
    losses, before, step = [], [], 0
    while (gone := (time.time() - begin) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, step / 200 + 0.02) * (0.5 + 0.5 * math.cos(math.pi * gone)) + 1e-5
        crops = next(loader)
        x, truth = crops[:, :8].contiguous(memory_format=torch.channels_last), crops[:, 8:]
        found = loss(network.correct(x), truth)
        optimiser.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(1 - 1 / AVERAGED, (1 + step) / (10 + step))
        with torch.no_grad():
            for a, b in zip(mean.state_dict().values(), network.state_dict().values()):
                a.lerp_(b, 1 - keep) if a.dtype.is_floating_point else a.copy_(b)
            losses.append(found.item())
            if step % 4 == 0:
                before.append(loss(x[:, 3:4] + 0.5, truth).item())
        if time.time() - told > 180:
            minutes, now, was = (time.time() - begin) / 60, np.mean(losses), np.mean(before)
            print(f"{minutes:.0f} min, step {step}: loss {now:.3f}, {now / was:.3f} of the matte's", flush=True)
            export(mean, path)
            losses, before, told = [], [], time.time()
    export(mean, path)


if __name__ == "__main__":
    main()
