"""What pages show of the results of benchmarks, and docs/performance.md: ``python -m benchmarks pages``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import plots, results
from benchmarks.report import told
from benchmarks.results import Result

ROOT = Path(__file__).parents[1]
PLOT = "images/benchmark_{}.svg"
INTRO = """# Performance

<!-- generated from benchmarks/results by `make docs`: do not edit -->

What `make bench` measured, benchmark by benchmark; `make bench ONLY="w_step ingest"` runs some, and `SHORT=1` sees that
they run. Ratios carry over better than absolute numbers. How the runtime model comes to its predictions:
[planning](planning.md)."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of README's table: of a benchmark, some figures, written one after the other."""

    what: str
    benchmark: str
    figures: tuple[tuple[str, str], ...]
    words: str = "{}"

    def line(self, result: Result) -> str:
        """Return the line."""
        values = [told(result.figure(name), form) for name, form in self.figures]
        return f"| {self.what} | `{self.benchmark}` | {self.words.format(*values)} |"


def _shares(dim: int, bits: Sequence[int], name: str = "share") -> tuple[tuple[str, str], ...]:
    form = ".0%" if name == "share" else ".0f"
    return tuple((f"w_step_{name}_{dim}_{b}", form) for b in bits)


ROWS = (
    Row(
        "W step inside a worker, share of the sgemm peak, one thread: 784 uint8, blocks of 32 / 16 / 8 bits",
        "w_step",
        _shares(784, (32, 16, 8)),
        "{} / {} / {}",
    ),
    Row(
        "ingest end to end, `file` acknowledgements, one worker, 128 float32, batches of 1024 / 32",
        "ingest",
        (
            ("points_per_s_1024_none", ",.0f"),
            ("points_per_s_32_none", ",.0f"),
            ("share_of_plain_1024_none", ".2f"),
        ),
        "{} / {} points/s; {} of plain writes of the same bytes",
    ),
    Row(
        "text over HTTP: NDJSON of 64 numbers a point, 16 connections, two workers training",
        "ingest",
        (("http_rate", ",.0f"), ("http_p99_ms", ".0f")),
        "{} points/s; at half of it 99 % within {} ms",
    ),
    Row(
        "epoch with two workers against one, two cores (60,000 x 784 uint8, 32 bits)",
        "speedup",
        (("speedup_2", ".2f"),),
        "{} times faster",
    ),
    Row(
        "two workers with as many points each as one alone, against its speed",
        "speedup",
        (("weak_2", ".2f"),),
    ),
    Row(
        "`streammac plan`: simulated over measured epoch, one / two workers",
        "plan",
        (("predicted_1", ".2f"), ("predicted_2", ".2f")),
        "{} / {}",
    ),
    Row(
        "precision 0.75 on Fashion-MNIST, 32 bits; FAISS trains ITQ twice (one thread)",
        "time_to_quality",
        (("reached", ".1f"), ("itq_twice", ".1f")),
        "{} s; {} s",
    ),
    Row(
        'acknowledged point to a version that was trained with it, `training.refresh = "5s"`, 20,000 points/s, '
        "ten minutes: 95 % of versions",
        "freshness",
        (("freshness_20000", ".1f"),),
        "within {} s",
    ),
    Row(
        "most anonymous memory of a worker with 5,000,000 points of 128 float32 in training",
        "memory",
        (("anonymous_mb", ".0f"),),
        "{} MB",
    ),
    Row("visits of the others while a worker joins, against before", "join", (("ratio", ".2f"),)),
    Row(
        "precision (Fashion-MNIST, 32 bits) after ten joins, leaves, deaths and returns, against none",
        "elastic_quality",
        (("precision_10", ".3f"), ("precision_0", ".3f")),
        "{} / {}",
    ),
    Row(
        "share of a worker's time that goes into its metrics, scrapes included",
        "metrics_overhead",
        (("share", ".2%"),),
    ),
)


def rows(found: Mapping[str, Result]) -> str:
    """Return README's table; lines of which nothing has been measured are left out."""
    lines = ["| what | command `python -m benchmarks` | measured |", "|---|---|---|"]
    for row in ROWS:
        if row.benchmark in found:
            try:
                lines.append(row.line(found[row.benchmark]))
            except KeyError:  # measured before it had this figure
                continue
    return "\n".join(lines)


def performance(found: Mapping[str, Result]) -> str:
    """Return docs/performance.md."""
    parts = [INTRO]
    drawn = plots.wanted(found)
    for name, result in found.items():
        title = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]
        parts.append(f"## {name}\n\n{title}")
        if name in drawn:
            parts.append(f"![{title}]({PLOT.format(name)})")
        if name == "plan" and "scaling" in drawn:
            parts.append(f"![Speed-up by workers]({PLOT.format('scaling')})")
        if name == "w_step" and "roofline" in drawn:
            parts.append(f"![Share of the peak by intensity]({PLOT.format('roofline')})")
        parts += [report.markdown() for report in result.reports]
        facts = "; ".join(f"{key}: {value}" for key, value in result.machine.items())
        parts.append(f"*{facts}; {result.seconds:.0f} s*")
    return "\n\n".join(parts) + "\n"


def renewed(text: str, found: Mapping[str, Result]) -> str:
    """Return a page with its generated parts made anew: between ``<!-- benchmark NAME -->`` and ``<!-- end -->``.

    A number after the name says which of the benchmark's tables it is, from 0.

    >>> renewed("a <!-- benchmark none -->b<!-- end --> c", {})
    'a <!-- benchmark none -->b<!-- end --> c'
    """

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        if name != "rows" and name not in found:
            return match[0]
        table = int(match["table"] or 0)
        body = rows(found) if name == "rows" else "\n".join(found[name].reports[table].table())
        return f"{match['begin']}\n{body}\n<!-- end -->"

    marked = r"(?P<begin><!-- benchmark (?P<name>\w+)(?: (?P<table>\d+))? -->).*?<!-- end -->"
    return re.sub(marked, part, text, flags=re.DOTALL)


def pages(found: Mapping[str, Result], root: Path = ROOT) -> dict[Path, str]:
    """Return the text of each page that is made from results."""
    marked = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    made = {path: renewed(path.read_text(), found) for path in marked}
    return made | {root / "docs" / "performance.md": performance(found)}


def stale(found: Mapping[str, Result], root: Path = ROOT) -> list[str]:
    """Return what does not agree with the results."""
    old = [
        path.name
        for path, text in pages(found, root).items()
        if not path.exists() or path.read_text() != text
    ]
    for name, digest in plots.wanted(found).items():
        path = root / "docs" / PLOT.format(name)
        if not path.exists() or digest not in path.read_text():
            old.append(path.name)
    return old


def write() -> None:
    """Write all pages, and the plots that have changed."""
    found = results.read()
    for path, text in pages(found).items():
        path.write_text(text)
    old = stale(found)
    for name, digest in plots.wanted(found).items():
        path = ROOT / "docs" / PLOT.format(name)
        if path.name in old:
            path.write_text(plots.draw(name, found, digest))
