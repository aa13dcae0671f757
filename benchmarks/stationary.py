"""Precision over 300 epochs on data that does not change: it must not decay."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.data import siftsmall
from benchmarks.quality import curve
from benchmarks.report import Report

EPOCHS = 300
SHOWN = (0, 1, 2, 3, 5, 7, 9, 15, 30, 60, 100, 200, 299)


def run(*, short: bool = False) -> Iterator[Report]:
    task = siftsmall()
    near = task.near()
    count = 10 if short else EPOCHS
    shown = [epoch for epoch in SHOWN if epoch < count]
    rows, figures = [], {}
    for bits in task.bits[:1] if short else task.bits:
        scores = curve(task, near, bits, count)
        best = int(np.argmax(scores))
        figures[f"lost_{bits}"] = scores[-1] - scores[best]
        rows.append(
            (bits, *(scores[e] for e in shown), scores[best], best, scores[-1] - scores[best])
        )
    yield Report(
        f"Precision after so many epochs of {count}, siftsmall",
        {"bits": "d"}
        | {str(epoch): ".3f" for epoch in shown}
        | {"best": ".3f", "of epoch": "d", "last - best": "+.4f"},
        tuple(rows),
        "On data that does not change.",
        figures,
    )
