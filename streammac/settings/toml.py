"""Settings as a TOML file, for `streammac config show`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streammac.settings.schema import Settings


def toml_value(value: Any) -> str:
    """Return a value as TOML; JSON does for all but tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def settings_toml(settings: Settings, origins: Mapping[str, str]) -> str:
    """Return settings as a TOML file; a comment names the origin of each that was given."""
    lines: list[str] = []
    for section, table in settings.model_dump(mode="json").items():
        lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        for name, value in table.items():
            origin = origins.get(f"{section}.{name}")
            entry = f"# {name} =" if value is None else f"{name} = {toml_value(value)}"
            lines.append(f"{entry}  # {origin}" if origin else entry)
    return "\n".join(lines)
