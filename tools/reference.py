"""Pages of documentation that are generated from the code: settings, metrics, exit codes.

``python -m tools.reference docs`` writes them (`make docs`); a test compares them with what is
in the repository, so that they cannot fall behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from streammac.settings.schema import Settings
from streammac.settings.sources import fields
from streammac.settings.toml import toml_value
from streammac.telemetry import metrics


def _limits(setting: Any) -> str:
    """Return the bounds and choices of a setting, also those inside an optional type."""
    words = {"ge": ">= ", "gt": "> ", "le": "<= ", "lt": "< "}
    bounds, found = list(setting.metadata), []
    for part in get_args(setting.annotation):
        for inner in getattr(part, "__metadata__", ()):
            bounds += inner.metadata
        found += (
            [toml_value(part)] if isinstance(part, str) else [toml_value(c) for c in _choices(part)]
        )
    for bound in bounds:
        found += [f"{w}{getattr(bound, a)}" for a, w in words.items() if hasattr(bound, a)]
    return ", ".join(found)


def _choices(annotation: Any) -> tuple[str, ...]:
    return tuple(a for a in get_args(annotation) if isinstance(a, str))


def configuration_page() -> str:
    """Return docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "<!-- generated from streammac/settings/schema.py by `make docs`: do not edit -->",
        "",
        "Of a setting that is given more than once, the first of this order counts:",
        "",
        "1. flags of the command (`--workers`, `--bits`, `--source`);",
        "2. environment variables `STREAMMAC_SECTION__KEY`, for example "
        "`STREAMMAC_CLUSTER__WORKERS=5`; lists and tables as JSON; a `STREAMMAC_` "
        "variable that means nothing is an error;",
        "3. the file of `--config`, or `streammac.toml` in the working directory;",
        "4. what the run directory was started with (`settings.json` there), except for the "
        "sources: a file that was read is not read again unless it is named again;",
        "5. the defaults below.",
        "",
        "The family and length of the model and the form of the points cannot change in a run "
        "directory. `streammac config show` prints what holds and where it comes from, "
        "`streammac config check` only whether it is right.",
        "",
        "Names ending in `_s` are seconds, in `_bytes` bytes. A wrong value is refused at once:",
        "",
        "```",
        "streammac.toml: training.visit_budget: expected a number of points or seconds, "
        'got "fast" - e.g. 20000 or "2s"',
        "```",
    ]
    section = ""
    for key, setting in fields():
        table, _, name = key.partition(".")
        if table != section:
            section = table
            about = Settings.model_fields[table].annotation
            lines += ["", f"## [{table}]", "", (about.__doc__ or "").strip() if about else "", ""]
            lines += ["| key | default | limits | meaning |", "|---|---|---|---|"]
        default = setting.get_default(call_default_factory=True)
        shown = "" if default is None else f"`{toml_value(default)}`"
        lines.append(f"| `{name}` | {shown} | {_limits(setting)} | {setting.description} |")
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "<!-- generated from streammac/telemetry/metrics.py by `make docs`: do not edit -->",
        "",
        "Each process serves its own series at `http://HOST:PORT/metrics`, on `network.http_host` "
        "and any free port. The coordinator's HTTP endpoint lists all of them at `/sd`, in the form "
        "of Prometheus' HTTP service discovery, with the labels `cluster`, `role` and `name`:",
        "",
        "```yaml",
        "scrape_configs:",
        "  - job_name: streammac",
        "    http_sd_configs: [{url: 'http://127.0.0.1:PORT/sd', refresh_interval: 5s}]",
        "```",
        "",
        "`streammac status --json` tells the coordinator's `http_url`. The same list is in the file "
        "`targets.json` of the run directory, for file service discovery. [Monitoring](monitoring.md) "
        "has the rest: dashboards, alerts, and how to connect them. The usual `process_*` "
        "series (CPU, memory, open files) are there too. A series without a value yet is left out.",
    ]
    for title, series in (
        ("Workers", metrics.WORKER),
        ("Ingest nodes", metrics.INGEST),
        ("Coordinator", metrics.COORDINATOR),
    ):
        lines += ["", f"## {title}", "", *_series_table(series)]
    return "\n".join(lines) + "\n"


def _series_table(series: Iterable[metrics.Series]) -> list[str]:
    lines = ["| series | type | labels | meaning |", "|---|---|---|---|"]
    for one in series:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help} |")
    return lines


PAGES = {"configuration.md": configuration_page, "metrics.md": metrics_page}
"""File name to what makes its text."""


def write(folder: Path) -> None:
    """Write all generated pages into a folder."""
    for name, page in PAGES.items():
        (folder / name).write_text(page())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
