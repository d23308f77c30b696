#!/usr/bin/env python3
"""Draws what the network of `refine=learned` is trained with: draw.py FOLDER FIRST LAST

Each FOLDER/N.npz is a frame (`frame`), its true matte (`truth`) and what `refine=best` makes of a mask with the errors that
networks make (`matte`), all 1280x720; and what might be remembered of the background, at half the size (`behind`), and where
(`known`, at a quarter). The subjects are shapes with hair, fur, slits and holes, out of focus and moving, before pictures of
registry packages and dead leaves (pictures.py). N is the seed: the same N gives the same frame.

The mattes come from the project's own filter: `cargo build --release --example refine_masks` first.
"""
import pickle
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

import pictures

W, H = 1280, 720
# Mattes are drawn at this many times the size, in this many parts of a pixel (cv2's `shift`).
SCALE, SHIFT = 2, 4
FILTER = Path(__file__).resolve().parents[2] / "target/release/examples/refine_masks"
cv2.setNumThreads(1)


def noise(r, w, h, cells, low=0.0, high=1.0):
    """A smooth field with so many cells across."""
    n = r.rand(max(2, int(cells * h / w)) + 2, cells + 2).astype(np.float32)
    return low + (high - low) * cv2.resize(n, (w, h), interpolation=cv2.INTER_CUBIC)


def part(r, photos):
    """A part of a picture, turned and mirrored, 0..1."""
    p = photos[r.randint(13) if r.rand() < 0.25 else r.randint(len(photos))]
    h, w = p.shape[:2]
    k = r.uniform(0.35, 1.0) * min(w / W, h / H)
    turn = r.uniform(0, 2 * np.pi) if r.rand() < 0.3 else r.normal(0, 0.1)
    c, s = np.cos(turn) * k, np.sin(turn) * k
    x, y = r.uniform(0.3, 0.7) * w, r.uniform(0.3, 0.7) * h
    m = np.float32([[c, -s, x - c * W / 2 + s * H / 2], [s, c, y - s * W / 2 - c * H / 2]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    q = cv2.warpAffine(p, m, (W, H), flags=how, borderMode=cv2.BORDER_REFLECT_101).astype(np.float32) / 255
    return q[:, ::-1] if r.rand() < 0.5 else q


def tint(r, q, much):
    """Other colours, by how `much` (0..1)."""
    if r.rand() < 0.25:
        q = q.mean(2, keepdims=True) + np.zeros((1, 1, 3), np.float32)
    q = np.clip(q, 0, 1) ** r.uniform(0.6, 1.7) * r.uniform(1 - 0.4 * much, 1 + 0.3 * much, 3) + r.uniform(-0.1, 0.1, 3) * much
    if r.rand() < 0.5 * much + 0.1:
        m = r.uniform(0.2, 0.8)
        q = q * m + (1 - m) * r.rand(3)
    return np.clip(q, 0, 1).astype(np.float32)


def outline(r, n=400):
    """A closed curve about a circle, in pixels."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    radius = np.ones(n)
    for k in range(1, r.randint(3, 9)):
        radius += r.normal(0, 0.28 / k) * np.cos(k * t + r.rand() * 6.28)
    radius = np.maximum(radius, 0.25)
    size, wide = r.uniform(90, 330), r.uniform(0.6, 1.5)
    x, y = r.uniform(0.05, 0.95) * W, r.uniform(0.15, 1.05) * H
    return np.stack([x + size * wide * radius * np.cos(t), y + size / wide * radius * np.sin(t)], 1)


def fixed(points):
    return [np.round(points * SCALE * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)]


def hair(r, points, normals, canvases, shade):
    """Strands, or fur, from a stretch of the outline, in clumps that lean and curl alike."""
    n = len(points)
    begin, stretch, fur = r.randint(n), r.randint(30, 200), r.rand() < 0.25
    usual = r.uniform(4, 18) if fur else r.uniform(20, 140)
    clumps = r.randint(60, 300) if fur else r.randint(6, 40)
    curls, lean, thick = r.rand() < 0.3, r.normal(0, 0.7), r.choice([1, 1, 2, 2, 3])
    strands = r.randint(3, 12) if fur else r.randint(8, 50)
    falls = r.uniform(0, 1.2)
    s = np.linspace(0, 1, 14)
    for _ in range(clumps):
        i = (begin + r.randint(stretch)) % n
        towards = np.arctan2(normals[i][1], normals[i][0]) + lean + r.normal(0, 0.35)
        bend = r.normal(0, 0.02) * (3 if curls else 1)
        long = usual * r.uniform(0.3, 1.2)
        for _ in range(strands):
            j = (i + int(r.normal(0, 4))) % n
            length = long * r.uniform(0.5, 1.1)
            angle = towards + r.normal(0, 0.16) + bend * r.uniform(0.6, 1.4) * length * s
            if r.rand() < 0.2:
                angle = angle + 0.6 * np.sin(6 * s * r.uniform(0.5, 1.5) + r.rand() * 6)
            step = length / 13
            # It begins 8 pixels inside.
            x = points[j, 0] - normals[j, 0] * 8 + np.cumsum(np.cos(angle)) * step
            y = points[j, 1] - normals[j, 1] * 8 + np.cumsum(np.sin(angle) + falls * s) * step
            line = fixed(np.stack([x, y], 1))
            canvas, hides = canvases[r.randint(len(canvases))], int(255 * r.uniform(0.35, 1))
            width = max(1, thick + r.randint(-1, 2))
            cv2.polylines(canvas, line, False, hides, width, cv2.LINE_AA, SHIFT)
            cv2.polylines(shade, line, False, int(r.uniform(60, 200)), width + 1, cv2.LINE_AA, SHIFT)


def subjects(r):
    """The matte, how far it is hair, and how light each strand is (1: as the others)."""
    big = (H * SCALE, W * SCALE)
    solid, shade = np.zeros(big, np.uint8), np.full(big, 128, np.uint8)
    # Strands over one another hide more than each of them.
    canvases = [np.zeros(big, np.uint8) for _ in range(3)]
    for _ in range(r.randint(1, 4)):
        points = outline(r)
        along = np.roll(points, -1, 0) - np.roll(points, 1, 0)
        normals = np.stack([along[:, 1], -along[:, 0]], 1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-6
        cv2.fillPoly(solid, fixed(points), 255, cv2.LINE_AA, SHIFT)
        for _ in range(r.randint(0, 4)):
            hair(r, points, normals, canvases, shade)
        # Slits and holes, and a few splinters.
        for _ in range(r.randint(0, 5)):
            x, y = points[r.randint(len(points))] + r.normal(0, 25, 2)
            t = np.linspace(0, 6.28, 24)
            a, b, turn = r.uniform(2, 30), r.uniform(2, 90), r.rand() * 3.14
            c, s = np.cos(turn), np.sin(turn)
            shape = np.stack([x + a * np.cos(t) * c - b * np.sin(t) * s, y + a * np.cos(t) * s + b * np.sin(t) * c], 1)
            cv2.fillPoly(solid, fixed(shape), 255 if r.rand() < 0.35 else 0, cv2.LINE_AA, SHIFT)
    small = lambda a: cv2.resize(a, (W, H), interpolation=cv2.INTER_AREA)
    strands = 1 - np.prod([1 - c.astype(np.float32) / 255 for c in canvases], axis=0)
    matte = small(1 - (1 - strands) * (1 - solid.astype(np.float32) / 255))
    about = cv2.GaussianBlur((small(strands) > 0.02).astype(np.float32), (0, 0), r.uniform(6, 25))
    return matte, np.clip(about * 3, 0, 1)[..., None], small(shade).astype(np.float32)[..., None] / 128


def foreground(r, photos, hairy, shade):
    f = tint(r, part(r, photos), 1.0)
    if r.rand() < 0.4:
        f = cv2.GaussianBlur(f, (0, 0), r.uniform(0.5, 6))
    if r.rand() < 0.8:  # black to blond and grey; B, G, R
        color = r.choice([0.08, 0.2, 0.35, 0.6, 0.8]) * r.uniform(0.8, 1.2) * np.array([r.uniform(0.4, 1), r.uniform(0.6, 1), 1.0])
    else:
        color = r.rand(3)
    strands = np.clip(color * (1 + r.uniform(0.2, 1) * (shade - 1)) * noise(r, W, H, 8, 0.7, 1.3)[..., None], 0, 1)
    return f * (1 - hairy) + strands * hairy


def background(r, photos, fore):
    b, kind = tint(r, part(r, photos), 0.4), r.rand()
    if kind < 0.55:  # out of focus
        b = cv2.GaussianBlur(b, (0, 0), r.uniform(0.5, 12))
    elif kind < 0.7:  # a wall
        color = r.uniform(0.1, 0.95) + r.normal(0, 0.06 if r.rand() < 0.6 else 0.3, 3)
        light = np.stack([noise(r, W, H, 3, -0.5, 0.5) for _ in range(3)], 2)
        b = np.clip(light * r.uniform(0.03, 0.25) + color, 0, 1)
    if r.rand() < 0.15:  # of the subject's colours
        b = np.clip(b + (fore.mean((0, 1)) - b.mean((0, 1))) * r.uniform(0.3, 1), 0, 1)
    return b


def blurred(r, q):
    """Out of focus and moving, in parts of the picture."""

    def somewhere(q, other, low):
        w = np.clip(noise(r, W, H, 3, low, 1.4), 0, 1)[..., None]
        return q * (1 - w) + other * w

    if r.rand() < 0.7:
        s = abs(r.normal(0, 0.9))
        if s > 0.25:
            q = cv2.GaussianBlur(q, (0, 0), s)
    if r.rand() < 0.35:
        q = somewhere(q, cv2.GaussianBlur(q, (0, 0), r.uniform(1.5, 4)), -0.6)
    if r.rand() < 0.25:
        n = r.randint(5, 30)
        k = np.zeros((n, n), np.float32)
        turn, c = r.rand() * 3.14, (n - 1) / 2
        end = lambda sign: (int(round(c + sign * c * np.cos(turn))), int(round(c + sign * c * np.sin(turn))))
        cv2.line(k, end(-1), end(1), 1, 1)
        q = somewhere(q, cv2.filter2D(q, -1, k / k.sum()), -0.8)
    return q


def mask(r, matte):
    """What a network might see of it: coarse, moved here and there, gaps filled, thin things lost, surer than it should be."""
    u = r.rand()
    fine = u < 0.92
    w, h = (512, 288) if u < 0.72 else (384, 216) if u < 0.84 else (320, 320) if fine else (256, 144)
    a = cv2.resize(matte, (w, h), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    far = r.uniform(0, 1.4) if fine else r.uniform(0.3, 2.2)
    cells = r.randint(6, 30)
    moved = x + far * noise(r, w, h, cells, -2, 2), y + far * noise(r, w, h, cells, -2, 2)
    a = cv2.remap(a, *moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = r.uniform(0.4, 1.2), r.uniform(1.5, 4.5 if fine else 3)
    softer = np.clip(noise(r, w, h, r.randint(4, 16), -0.7, 1.3), 0, 1)
    disc = lambda radius: cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    if r.rand() < 0.6:
        q = np.clip(cv2.GaussianBlur(cv2.morphologyEx(a, cv2.MORPH_CLOSE, disc(r.randint(1, 9))), (0, 0), 0.8), 0, 1)
        m = np.clip(noise(r, w, h, r.randint(3, 12), -1, 2), 0, 1)
        a = a * (1 - m) + q * m
    if r.rand() < 0.5:
        q = cv2.morphologyEx(a, cv2.MORPH_OPEN, disc(r.randint(1, 5)))
        m = np.clip(noise(r, w, h, r.randint(3, 12), -1, 2), 0, 1)
        a = a * (1 - m) + q * m
    a = cv2.GaussianBlur(a, (0, 0), soft[0]) * (1 - softer) + cv2.GaussianBlur(a, (0, 0), soft[1]) * softer
    # A logistic curve whose middle wanders, from 0 to 1.
    middle, steep = noise(r, w, h, r.randint(4, 20), 0.3, 0.7), r.uniform(4, 14)
    curve = lambda v: 1 / (1 + np.exp(-steep * (v - middle)))
    sure = (curve(a) - curve(0)) / (curve(1) - curve(0))
    m = r.uniform(0.3, 1)
    a = np.clip(a * (1 - m) + sure * m, 0, 1).astype(np.float32)
    a[a < 0.01], a[a > 0.99] = 0, 1
    return a


def shadow(r, matte):
    """How light a subject's shadow leaves what is behind it."""
    m = np.float32([[1, 0, r.normal(0, 40)], [0, 1, r.normal(0, 40)]])
    far = cv2.resize(cv2.warpAffine(matte, m, (W, H)), (W // 8, H // 8), interpolation=cv2.INTER_AREA)
    far = cv2.GaussianBlur(far, (0, 0), r.uniform(1, 8))
    return 1 - r.uniform(0.05, 0.5) * cv2.resize(far, (W, H), interpolation=cv2.INTER_LINEAR)[..., None]


def remembered(r, back, matte):
    """The background at half the size as a still camera might have learnt it, and where: what the subject has not covered, with
    a margin, in all of the places where it has been."""
    behind = cv2.resize(back, (W // 2, H // 2), interpolation=cv2.INTER_AREA) * 255 + r.normal(0, 0.7, 3)
    if r.rand() < 0.15:  # in places not as it is
        m = np.float32([[1, 0, r.normal(0, 6)], [0, 1, r.normal(0, 6)]])
        other = cv2.warpAffine(behind, m, (W // 2, H // 2), borderMode=cv2.BORDER_REFLECT_101)
        w = np.clip(noise(r, W // 2, H // 2, 8, -2, 1.5), 0, 1)[..., None]
        behind = behind * (1 - w) + other * w
    behind = behind + r.normal(0, r.uniform(0, 1.5), behind.shape)
    small = cv2.resize((matte > 0.02).astype(np.uint8), (W // 4, H // 4), interpolation=cv2.INTER_AREA)
    reach = 2 * r.randint(2, 6) + 1
    covered = cv2.dilate(small, np.ones((reach, reach), np.uint8))
    known, far = np.zeros((H // 4, W // 4), np.uint8), r.choice([12, 40, 80])
    for _ in range(r.randint(1, 5)):
        m = np.float32([[1, 0, r.normal(0, far)], [0, 1, r.normal(0, far / 3)]])
        known |= 1 - cv2.warpAffine(covered, m, (W // 4, H // 4))
    if r.rand() < 0.2:
        known &= noise(r, W // 4, H // 4, r.randint(3, 12)) > r.uniform(0.2, 0.6)
    return np.clip(behind + 0.5, 0, 255).astype(np.uint8), known


def draw(seed, photos):
    """A frame (R, G, B), its matte, the mask, and the remembered background with where it is known."""
    r = np.random.RandomState(seed)
    matte, hairy, shade = subjects(r)
    f = foreground(r, photos, hairy, shade)
    b = background(r, photos, f)
    q = blurred(r, np.dstack([f * matte[..., None], matte]).astype(np.float32))
    matte = np.clip(q[..., 3], 0, 1)
    lit = b * shadow(r, matte) if r.rand() < 0.2 else b
    frame = np.clip(q[..., :3] + lit * (1 - matte[..., None]), 0, 1) * 255
    if r.rand() < 0.7:
        frame = frame + r.normal(0, r.uniform(0, 6), (H, W, 1 if r.rand() < 0.4 else 3))
    frame = np.clip(frame + 0.5, 0, 255).astype(np.uint8)
    if r.rand() < 0.5:
        frame = cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, int(r.randint(70, 98))])[1], 1)
    behind, known = remembered(r, b, matte)
    rgb = lambda p: p[..., ::-1].copy()
    return rgb(frame), (matte * 255 + 0.5).astype(np.uint8), mask(r, matte), rgb(behind), known


class Filter:
    """The project's own `refine=best`, in a process beside this one."""

    def __init__(self):
        self.process = subprocess.Popen([FILTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, frame, mask):
        (h, w), (mh, mw) = frame.shape[:2], mask.shape
        self.process.stdin.write(struct.pack("<4I", w, h, mw, mh) + frame.tobytes() + mask.astype("<f4").tobytes())
        self.process.stdin.flush()
        return np.frombuffer(self.process.stdout.read(w * h), np.uint8).reshape(h, w)


def main():
    folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "pictures.pickle"
    if not kept.exists():
        # Under its name only when it is whole: several of these programs may run side by side.
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            pickle.dump(pictures.pictures(), file)
        Path(file.name).rename(kept)
    photos = pickle.loads(kept.read_bytes())
    refine = Filter()
    for seed in range(first, last):
        frame, truth, coarse, behind, known = draw(seed, photos)
        matte = refine(frame, coarse)
        np.savez(folder / f"{seed}.npz", frame=frame, truth=truth, matte=matte, behind=behind, known=known)
        if seed % 50 == 0:
            print(f"frame {seed}", flush=True)


if __name__ == "__main__":
    main()
