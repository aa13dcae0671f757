"""Write the dashboards' JSON: ``python -m monitoring [FOLDER]``, by default where Grafana loads them from."""

from __future__ import annotations

import sys
from pathlib import Path

from monitoring import cluster, learning
from monitoring.panels import to_json

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"cluster.json": cluster.DASHBOARD, "learning.json": learning.DASHBOARD}
"""File name to what it holds."""


def write(folder: Path) -> None:
    """Write all dashboards into a folder."""
    folder.mkdir(exist_ok=True)
    for name, dashboard in DASHBOARDS.items():
        (folder / name).write_text(to_json(dashboard))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
