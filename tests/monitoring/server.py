"""A real Prometheus on loopback, with a data directory of its own, and its HTTP API."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.programs import program

PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as held_out:
        held_out.bind(("127.0.0.1", 0))
        return int(held_out.getsockname()[1])


@dataclass(frozen=True)
class Found:
    """A series of an answer; values that are no numbers are left out."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.samples]


class Prometheus:
    """A running server; scrapes what an HTTP service discovery lists, every second."""

    def __init__(self, folder: Path, discovery: str, rules: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        often = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
        job = {"http_sd_configs": [{"url": discovery, "refresh_interval": "1s"}]}
        configuration = {
            "global": often,
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "streammac", **job}],
        }
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=self._log,
        )
        self.until(self._ready, "Prometheus is ready")

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _ready(self) -> bool:
        with (
            contextlib.suppress(urllib.error.URLError),
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def until(self, health: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not health():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")
            time.sleep(0.1)

    def ask(self, path: str, **parameters: str | float) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def now(self, expression: str) -> list[Found]:
        result = self.ask("query", query=expression)["result"]
        return _found((series["metric"], [series["value"]]) for series in result)

    def over(self, expression: str, start: float, end: float, step: float = 1.0) -> list[Found]:
        """What a graph from ``start`` to ``end`` shows, a value every ``step`` seconds."""
        result = self.ask("query_range", query=expression, start=start, end=end, step=step)[
            "result"
        ]
        return _found((series["metric"], series["values"]) for series in result)


def _found(result: Any) -> list[Found]:
    found = []
    for labels, samples in result:
        numbers = [(float(at), float(value)) for at, value in samples]
        kept = tuple((at, value) for at, value in numbers if math.isfinite(value))
        if kept:
            found.append(Found(labels, kept))
    return found
