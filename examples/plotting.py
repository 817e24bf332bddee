"""Curves of training runs with matplotlib, from their metrics.jsonl.

python examples/plotting.py runs/grpo runs/other --key rollout/score -o curves.png
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt
import numpy as np


def curve(run, key):
    """Updates and values of one metric; rows without it are left out."""
    with (run / "metrics.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    points = [(row["update"], row[key]) for row in rows if row.get(key) is not None]
    return np.array(points, float).reshape(-1, 2).T


def smooth(values, width):
    """Mean over the last `width` values."""
    return [np.mean(values[max(0, i + 1 - width) : i + 1]) for i in range(len(values))]


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("runs", nargs="+", type=Path)
parser.add_argument("--key", default="rollout/score", help="see docs/training-metrics.md")
parser.add_argument("--smooth", type=int, default=10)
parser.add_argument("-o", "--output", type=Path, default=Path("curves.png"))
options = parser.parse_args()

figure, axes = plt.subplots(figsize=(8, 4))
for run in options.runs:
    updates, values = curve(run, options.key)
    (line,) = axes.plot(updates, smooth(values, options.smooth), label=run.name)
    axes.plot(updates, values, alpha=0.2, color=line.get_color())
axes.set_xlabel("update")
axes.set_ylabel(options.key)
axes.legend()
figure.tight_layout()
figure.savefig(options.output, dpi=150)
print(f"written to {options.output}")
