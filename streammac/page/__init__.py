"""The page that shows a cluster: one HTML document, style and scripts inside, nothing loaded from elsewhere.

The coordinator serves `document` as it is and feeds it over HTTP (``workers.coordinator.http``); a report is the same
document with its data inside (`streammac.page.report`). The scripts are ES modules that a browser or node can also
load one by one; here they are joined in the order of `MODULES`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from streammac.wire.status import to_json

MODULES = (
    "format.js",
    "history.js",
    "ring.js",
    "ring_view.js",
    "scales.js",
    "chart_view.js",
    "charts.js",
    "events.js",
    "measures_table.js",
    "workers_table.js",
    "main.js",
)
"""A module comes after those that it imports from."""

_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./[a-z_]+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.MULTILINE)


@cache
def script() -> str:
    """Return all modules as one script: names are unique across them (a test looks)."""
    parts = [_EXPORT.sub("", _IMPORT.sub("", _asset(name))) for name in MODULES]
    return "\n".join(parts)


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def policy() -> str:
    """Return the content security policy: our own script, our own server, nothing else."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


def document(data: object = None) -> str:
    """Return the page.

    Parameters
    ----------
    data : object, optional
        What it is to show, JSON-serialisable; without it the page asks the server it came from.
    """
    # "<" never appears in the data, so that no text in it can end the element it stands in
    embedded = to_json(data).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    page = _asset("page.html")
    for mark, text in (
        ("/*STYLE*/", _asset("style.css")),
        ("POLICY", policy()),
        ("/*SCRIPT*/", script()),
        ("null/*DATA*/", embedded),  # last: nothing is looked for in the data
    ):
        page = page.replace(mark, text, 1)
    return page
