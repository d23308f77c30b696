"""Pictures that mattes are drawn over: those of scikit-image and scikit-learn, and "dead leaves" made of them.

The pictures that `docs/refine.md` scores with are left out.
"""
import cv2, numpy as np
from pathlib import Path

SCORED = ("astronaut", "motorcycle_left", "motorcycle_right", "coffee", "rocket", "chelsea")
GRAPHICS = ("chessboard_GRAY", "chessboard_RGB", "logo", "phantom", "horse", "microaneurysms", "color", "text", "page")
SIZE = (1440, 960)


def photographs():
    import skimage
    from sklearn.datasets import load_sample_images

    found = [i[..., ::-1] for i in load_sample_images().images]
    for path in sorted((Path(skimage.__file__).parent / "data").glob("*.[pj][np]g")):
        if path.stem not in SCORED + GRAPHICS:
            found.append(cv2.imread(str(path), cv2.IMREAD_COLOR))
    return [np.ascontiguousarray(i) for i in found]


def palette(r):
    """Colours that go together: most pictures have few, and muted ones."""
    vivid = 0.25 if r.rand() < 0.2 else 0.08
    base = r.uniform(0.1, 0.8) + r.normal(0, vivid / 2, 3)
    return np.clip(base + r.normal(0, 0.2, (12, 1)) + r.normal(0, vivid, (12, 3)), 0, 1)


def texture(r, photos, colors, w, h):
    """A part of a photograph or smooth noise, in one of `colors` most often; 0..1."""
    kind = r.rand()
    own = colors[r.randint(len(colors))]
    if kind < 0.55:
        p = photos[r.randint(len(photos))]
        k = r.uniform(0.15, 1.0) * min(p.shape[1] / w, p.shape[0] / h)
        cw, ch = max(2, int(w * k)), max(2, int(h * k))
        x, y = r.randint(p.shape[1] - cw + 1), r.randint(p.shape[0] - ch + 1)
        t = cv2.resize(p[y : y + ch, x : x + cw], (w, h), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
        if r.rand() < 0.6:
            t = (t - t.mean()) * r.uniform(0.2, 1.0) + own
    else:
        t = np.zeros((h, w, 3), np.float32) + own
        for octave in range(1, r.randint(2, 7)):
            n = 2**octave
            t += cv2.resize(r.rand(n + 2, n + 2, 1 if r.rand() < 0.8 else 3).astype(np.float32) - 0.5, (w, h), interpolation=cv2.INTER_CUBIC).reshape(h, w, -1) * r.uniform(0, 0.35) / octave**0.7
    return np.clip(t, 0, 1).astype(np.float32)


def dead_leaves(seed, photos):
    """Shapes over shapes, of sizes whose density falls with the third power, each with a texture and often a shade.

    After Lee, Mumford, Huang: Occlusion Models for Natural Images, IJCV 41, 2001.
    """
    r = np.random.RandomState(seed)
    w, h = SIZE
    colors = palette(r)
    out = cv2.GaussianBlur(texture(r, photos, colors, w, h), (0, 0), r.uniform(0.5, 20))
    smallest = r.uniform(9, 70)
    for _ in range(int(r.uniform(0.2, 1.6) * w * h / (smallest**2 * np.log(600 / smallest)))):
        size = min(smallest / np.sqrt(1 - r.rand() * (1 - (smallest / 600) ** 2)), 600)
        x, y = int(r.uniform(-size, w)), int(r.uniform(-size, h))
        sides, turn, flat = r.choice([3, 4, 4, 5, 6, 40, 40]), r.uniform(0, 7), r.uniform(0.15, 1)
        t = np.arange(sides) * 2 * np.pi / sides + turn
        rad = size * (r.uniform(0.5, 1, sides) if sides < 40 else 0.7 * (1 + 0.25 * np.cos(r.randint(0, 5) * t + turn)))
        p = np.stack([rad * np.cos(t), flat * rad * np.sin(t)], 1) @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        p = p + [x, y]
        x0, y0 = np.maximum(np.floor(p.min(0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(p.max(0)).astype(int) + 1, [w, h])
        if x1 - x0 < 3 or y1 - y0 < 3:
            continue
        cw, ch = x1 - x0, y1 - y0
        m = np.zeros((ch, cw), np.uint8)
        cv2.fillPoly(m, [np.round((p - [x0, y0]) * 16).astype(np.int32).reshape(-1, 1, 2)], 255, cv2.LINE_AA, 4)
        if r.rand() < 0.5:
            c = np.zeros((ch, cw, 3), np.float32) + colors[r.randint(len(colors))]
        else:
            c = texture(r, photos, colors, cw, ch)
        if r.rand() < 0.5:  # light from one side
            c = c * np.linspace(*r.uniform(0.5, 1.3, 2), cw, dtype=np.float32)[None, :, None]
        a = (m.astype(np.float32) / 255)[..., None]
        out[y0:y1, x0:x1] = out[y0:y1, x0:x1] * (1 - a) + c * a
    if r.rand() < 0.5:
        out = cv2.GaussianBlur(out, (0, 0), r.uniform(0.5, 1.5))
    return (np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)


def pictures(count=110):
    photos = photographs()
    return photos + [dead_leaves(n, photos) for n in range(count)]
