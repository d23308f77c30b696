#!/usr/bin/env python3
"""Draws the scale tables of benches/RESULTS.md: plot_scale.py [RESULTS] [FOLDER]

Writes scale-size.png (time a frame against frame size) and scale-streams.png (frames a second against parallel
streams) into FOLDER (docs). Figures are read from the tables, none is known here. Needs matplotlib.
"""
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# With `light`, frames of fewer lines are refined down to their own pixels, larger ones to blocks of 2x2: two laws.
FINE_BELOW = 690


def table(text, heading):
    """The lines and the table under a heading, the table as a list of dicts."""
    part = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not part:
        return "", []
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in part[1].splitlines() if line.startswith("|")]
    return part[1], [dict(zip(rows[0], row)) for row in rows[2:]]


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


def save(figure, path):
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def draw_size(text, machine, path):
    note, rows = table(text, "Scale: frame size")
    if not rows:
        return
    bare = float(re.search(r"takes\s+([\d.]+) CPU ms", note)[1])
    size, rest = column(rows, "megapixels"), column(rows, "CPU ms less the bare network")
    elapsed = column(rows, "ms a frame")
    network = column(rows, "network in the element, ms")
    lines = np.array([int(row["size"].rstrip("p")) for row in rows])
    big = lines >= FINE_BELOW
    figure, axes = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained")
    fit = None
    if big.sum() > 2:
        # Each point weighs by its own size: what matters is how many percent the line is off.
        fit = np.polyfit(size[big], rest[big], 1, w=1 / rest[big])
        off = np.abs(np.polyval(fit, size[big]) / rest[big] - 1).max() * 100
    for ax, last in zip(axes, (size.max(), size[lines <= 1440].max(initial=0))):
        shown = size <= last
        top = max(rest[shown].max(), elapsed[shown].max()) * 1.2
        if fit is not None:
            x = np.array([size[big].min(), last])
            label = (f"line through the full marks: {fit[0]:.2f} ms per megapixel {fit[1]:+.2f} ms,\n"
                     f"at most {off:.0f} % off")
            ax.plot(x, np.polyval(fit, x), color="tab:blue", lw=1.2, label=label)
        for part, face, label in ((big, "tab:blue", "outside the network, processor time"),
                                  (~big, "white", f"the same below {FINE_BELOW} lines: refined down to single pixels")):
            if (part & shown).any():
                ax.plot(size[part & shown], rest[part & shown], "o", ms=7, color="tab:blue", mfc=face, label=label)
        ax.plot(size[shown], network[shown], "s", ms=6, color="tab:red", label="the network in the element, elapsed")
        ax.axhline(bare, color="tab:red", lw=1.2, ls="--", label=f"the bare network, processor time: {bare:.2f} ms")
        ax.plot(size[shown], elapsed[shown], "x", ms=7, color="0.35", label="elapsed time a frame, all together")
        for x, y, n in zip(size[shown], rest[shown], lines[shown]):
            # Those that would lie on each other have room in the other picture.
            if x > last / 25:
                ax.annotate(f"{n}p", (x, y), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9)
        ax.set(xlim=(0, last * 1.06), ylim=(0, top), xlabel="frame size (megapixels)", ylabel="time a frame (ms)")
        ax.grid(alpha=0.3)
    axes[0].set_title("all sizes")
    axes[1].set_title("the same, up to 1440p")
    axes[0].legend(loc="upper left", fontsize=8.5)
    figure.suptitle(f"light, I420 to A420, one stream; {machine}")
    save(figure, path)


def draw_streams(text, machine, cores, path):
    rows = table(text, "Scale: streams")[1]
    if not rows:
        return
    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = plt.subplots(1, len(networks), figsize=(6.5 * len(networks), 5), layout="constrained", squeeze=False)
    for ax, network in zip(axes[0], networks):
        of = [row for row in rows if row["network"] == network]
        n, fps = column(of, "streams"), column(of, "frames/s, all together")
        # What the cores could give if none ever waited.
        most = cores * 1e3 / column(of, "CPU ms a frame")
        ax.plot(n, fps, "o-", color="tab:blue", label="measured, all streams together")
        ax.plot(n, most, "--", color="0.4", label="cores ÷ processor time a frame")
        ax.plot(n, n * fps[0] / n[0], ":", color="0.6", label="if each stream were as fast as one alone")
        for x, y in zip(n, fps):
            ax.annotate(f"{y:.0f}" if y >= 30 else f"{y:.1f}", (x, y), xytext=(0, -15), textcoords="offset points",
                        ha="center", fontsize=9)
        ax.set_xscale("log", base=2)
        ax.set_xticks(n, [f"{v:.0f}" for v in n])
        ax.set(ylim=(0, max(fps.max(), most.max()) * 1.3), title=network, xlabel="parallel streams in one process",
               ylabel="frames a second, all together")
        ax.grid(alpha=0.3)
        ax.legend(loc="lower right", fontsize=9)
    figure.suptitle(f"1080p, I420 to A420, weights shared; {machine}")
    save(figure, path)


def main():
    if any(a in ("-h", "--help") for a in sys.argv[1:]):
        sys.exit(print(__doc__.strip()))
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "benches/RESULTS.md"
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs"
    try:
        text = source.read_text()
    except OSError as e:
        sys.exit(f"plot_scale: error: {source} cannot be read: {e.strerror}; `make bench` writes it")
    found = re.search(r"^- Machine: (.*), (\d+) cores$", text, re.M)
    if not found or "## Scale: " not in text:
        sys.exit(f"plot_scale: error: {source} has no scale tables; `make bench` writes them")
    machine, cores = f"{found[1]}, {found[2]} cores", int(found[2])
    draw_size(text, machine, folder / "scale-size.png")
    draw_streams(text, machine, cores, folder / "scale-streams.png")


main()
