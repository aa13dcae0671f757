"""Precision over 300 epochs on data that does not change: it must not decay."""

from __future__ import annotations

import numpy as np

from benchmarks.data import siftsmall
from benchmarks.quality import curve

EPOCHS = 300
SHOWN = (0, 1, 2, 3, 5, 7, 9, 15, 30, 60, 100, 200, 299)


def main() -> None:
    task = siftsmall()
    near = task.near()
    print("| bits | " + " | ".join(str(e) for e in SHOWN) + " | best | last - best |")
    print("|---" * (len(SHOWN) + 3) + "|")
    for bits in task.bits:
        scores = curve(task, near, bits, EPOCHS)
        shown = " | ".join(f"{scores[e]:.3f}" for e in SHOWN)
        best = int(np.argmax(scores))
        drop = scores[-1] - scores[best]
        print(f"| {bits} | {shown} | {scores[best]:.3f} (epoch {best}) | {drop:+.4f} |", flush=True)


if __name__ == "__main__":
    main()
