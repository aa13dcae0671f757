"""What an attack came to, for people: a table of times (medians and maxima), bars, the books, and every broken promise.

Pure; ``streammac chaos`` prints it. The table is one that documents can take as it is (docs/recovery.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streammac.chaos.faults import TITLES
from streammac.chaos.verdict import Evidence, Outcome, Summary, complaints, named, summaries
from streammac.terminal.glyphs import Glyphs

BAR_WIDTH = 40


def line(outcome: Outcome) -> str:
    """Return an outcome in one line."""
    if outcome.trouble:
        return f"{named(outcome.injection)}: not done, {outcome.trouble}"
    visit = f"next visit after {seconds(outcome.next_visit_s)}"
    whole = f"all whole after {seconds(outcome.whole_s)}"
    return f"{named(outcome.injection)}: {visit}, {whole}"


def seconds(value: float | None) -> str:
    """Return a duration, short ones in milliseconds."""
    if value is None:
        return "never"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def report(evidence: Evidence, glyphs: Glyphs) -> RenderableType:
    """Return all there is to tell."""
    found = summaries(evidence.outcomes)
    parts: list[RenderableType] = [_times(found), Text(""), _bars(found, glyphs), Text("")]
    parts += [Text(fact) for fact in _facts(evidence)]
    wrong = complaints(evidence)
    parts += [Text(f"broken: {promise}", style="bold red") for promise in wrong]
    if not wrong:
        parts.append(Text("every promise was kept", style="green"))
    return Group(*parts)


def _times(found: Sequence[Summary]) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("fault", no_wrap=True)
    for title in ("times", "next visit", "max", "all whole", "max"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in found:
        times = (one.next_visit_median_s, one.next_visit_max_s, one.whole_median_s, one.whole_max_s)
        table.add_row(TITLES[one.fault], str(one.count), *map(seconds, times))
    return table


def _bars(found: Sequence[Summary], glyphs: Glyphs) -> Table:
    """Return a bar per kind of fault: its median full, and on to its maximum."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    longest = max((one.next_visit_max_s or 0.0 for one in found), default=0.0) or 1.0
    for one in found:
        most = round((one.next_visit_max_s or 0.0) / longest * BAR_WIDTH)
        median = round((one.next_visit_median_s or 0.0) / longest * BAR_WIDTH)
        bar = glyphs.full * median + glyphs.empty * (most - median)
        table.add_row(TITLES[one.fault], bar, seconds(one.next_visit_max_s))
    return table


def _facts(evidence: Evidence) -> list[str]:
    outcomes = [outcome for outcome in evidence.outcomes if not outcome.trouble]
    kills = sum(outcome.injection.kills for outcome in outcomes)
    first, last = evidence.epochs
    lines = [
        f"{len(outcomes)} injections, {kills} times kill -9, in {evidence.seconds:.0f} s "
        f"(seed {evidence.seed}); {last - first:,} epochs meanwhile"
    ]
    audit = evidence.audit
    if not isinstance(audit, str):
        lines.append(
            f"{audit.sent:,} points sent, {audit.stored:,} stored, {audit.missing:,} missing, "
            f"{audit.twice:,} twice, {audit.damaged:,} damaged"
            + (
                ", counted one by one on the disks"
                if audit.source == "disks"
                else f", by the cluster's own books, {audit.under_way:,} under way"
            )
        )
    restarted = sum(evidence.restarted.values())
    lines.append(
        f"{restarted} restarts without a reason; {evidence.fenced} workers taken for lost that were well"
    )
    return lines
