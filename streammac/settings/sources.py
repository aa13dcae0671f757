"""Settings from flags, environment, a TOML file and a run directory, merged and checked.

`load` is called by the commands. Of a key that is given more than once the first of this order
counts: flags, environment (``STREAMMAC_SECTION__KEY``), file, what the run directory was started
with, defaults. Each value's origin is remembered, so that an error can name it.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streammac.errors import ExitCode, Failure
from streammac.files import document
from streammac.settings.schema import Settings

PREFIX = "STREAMMAC_"
OTHER_VARIABLES = (
    "STREAMMAC_KEYS",
    "STREAMMAC_LOCAL",
    "STREAMMAC_DATA",
    "STREAMMAC_REQUIRE",
    "STREAMMAC_SCREENSHOT",
)
"""Variables that are no settings: a client's keys, a folder of jobs, and what benchmarks and tests look for."""
DEFAULT_FILE = Path("streammac.toml")
"""Read, where it exists, if no file is named."""
LASTING = (
    "model.family",
    "model.bits",
    "stream.dim",
    "stream.dtype",
    "stream.targets",
    "stream.classes",
)
"""What a run directory keeps for ever: its points and models are of that kind."""
RENAMED = {"probe": "held_out"}
"""Former names of tables."""
FORGOTTEN = ("ingest.sources", "network.insecure")
"""What a run directory does not remember: a file that was read must not be read a second time, and a risk
is taken each time anew."""


class ConfigurationError(Failure):
    """Settings are wrong; the message has one line per problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__(ExitCode.CONFIGURATION, "\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Flag:
    """A value given on the command line, under the name that the user typed."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings, and where each value that is not a default comes from, by dotted key."""

    settings: Settings
    origins: dict[str, str] = field(default_factory=dict)
    damage: str = ""
    """What is wrong with the file that remembers them, of which the former generation was used."""


def load(
    config: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Flag],
    remembered: Path | None = None,
) -> Loaded:
    """Return the settings that hold.

    Parameters
    ----------
    config : Path or None
        TOML file; None reads ``streammac.toml`` where there is one.
    environment : mapping
        Usually `os.environ`; names that do not begin with ``STREAMMAC_`` are not looked at.
    flags : mapping
        Dotted key to `Flag`; those not given are left out.
    remembered : Path, optional
        ``settings.json`` of the run directory.

    Raises
    ------
    ConfigurationError
        With a line for each value that is wrong.
    """
    before, damage = _remembered(remembered) if remembered is not None else ({}, "")
    layers = [
        before,
        _file(config),
        _environment(environment),
        {key: (flag.name, flag.value) for key, flag in flags.items()},
    ]
    values: dict[str, tuple[str, Any]] = {}
    for layer in layers:
        values |= layer
    for key in LASTING:
        _, old = before.get(key, ("", None))
        origin, new = values.get(key, ("", None))
        if old is not None and str(new) != str(old):
            assert remembered is not None
            raise ConfigurationError(
                f"{origin}: {key}: expected {_shown(old)}, with which {remembered.parent} was "
                f"started, got {_shown(new)} - leave it out, or use another directory"
            )
    origins = {key: origin for key, (origin, _) in values.items()}
    try:
        return Loaded(Settings.model_validate(_nested(values)), origins, damage)
    except ValidationError as error:
        # a value of several types has an error of each
        of_keys = groupby(error.errors(include_url=False), _key)
        raise ConfigurationError(*(_explain(key, [*d], origins) for key, d in of_keys)) from None


# -- layers: dotted key -> (origin, value) ---------------------------------------------------------

Layer = dict[str, tuple[str, Any]]


def _file(config: Path | None) -> Layer:
    path = config or DEFAULT_FILE
    if config is None and not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(f"--config: {path}: expected a TOML file, got: {why}") from None
    except (ValueError, RecursionError) as error:  # not always a TOMLDecodeError
        raise ConfigurationError(f"{path}: expected TOML, got: {error}") from None
    return _flat(tables, str(path))


def _remembered(path: Path) -> tuple[Layer, str]:
    """Return what a directory was started with, and what is wrong with the file that says so."""
    try:
        found = document.load(path)
    except (OSError, RecursionError, document.Damaged) as error:
        raise ConfigurationError(
            f"{path}: not readable: {error}; or remove it, and name the settings again"
        ) from None
    if found is None:
        return {}, ""
    layer = _flat(found.content, str(path))
    known = {k: v for k, v in layer.items() if v[1] is not None and k not in FORGOTTEN}
    return known, found.damage


def _environment(environment: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    unknown = []
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        if "__" not in name:
            unknown.append(_unknown_variable(name))
            continue
        key = name.removeprefix(PREFIX).lower().replace("__", ".", 1)
        value: Any = text
        if text[:1] in ("[", "{"):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                raise ConfigurationError(f"{name}: {key}: expected JSON, got {text}") from None
        layer[key] = (name, value)
    if unknown:
        raise ConfigurationError(*unknown)
    return layer


def _unknown_variable(name: str) -> str:
    known = [PREFIX + key.replace(".", "__").upper() for key, _ in fields()]
    close = difflib.get_close_matches(name, [*known, *OTHER_VARIABLES], n=1, cutoff=0.8)
    remedy = f"did you mean {close[0]}?" if close else "settings are STREAMMAC_SECTION__KEY"
    return f"{name}: expected a variable that means something, got this one - {remedy}"


def _flat(tables: Mapping[str, Any], origin: str) -> Layer:
    layer: Layer = {}
    for section, content in tables.items():
        if isinstance(content, dict):
            layer |= {f"{section}.{key}": (origin, value) for key, value in content.items()}
        else:
            layer[section] = (origin, content)
    return layer


def _nested(values: Layer) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for key, (_, value) in values.items():
        section, _, name = key.partition(".")
        if name and isinstance(tables.setdefault(section, {}), dict):
            tables[section][name] = value
        else:
            tables[section] = value
    return tables


# -- errors ----------------------------------------------------------------------------------------


def fields(model: type[BaseModel] = Settings) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the pydantic field of every setting."""
    for section, table in model.model_fields.items():
        assert isinstance(table.annotation, type)
        for name, setting in table.annotation.model_fields.items():
            yield f"{section}.{name}", setting


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)


def _key(detail: ErrorDetails) -> str:
    return ".".join(str(part) for part in detail["loc"][:2])


def _explain(key: str, details: Sequence[ErrorDetails], origins: Mapping[str, str]) -> str:
    """Return one line: origin, dotted key, what was expected, what was got, the remedy."""
    known = dict(fields())
    detail = details[0]
    origin = origins.get(key) or next(
        (o for k, o in origins.items() if k.startswith(f"{key}.")), "settings"
    )
    got = _shown(detail["input"])
    if detail["type"] == "extra_forbidden":
        remedy = _closest(key, known)
        return f"{origin}: {key}: expected a known key, got {key.rpartition('.')[2]} - {remedy}"
    if key not in known:
        first = next(k for k in known if k.startswith(f"{key}."))
        return f"{origin}: {key}: expected a table, got {got} - e.g. a key {first}"
    found = dict(_expected(detail) for detail in details)
    expected, example = " or ".join(found), next(iter(found.values()))
    if not example:
        default = known[key].get_default(call_default_factory=True)
        usual = (known[key].examples or [None])[0] if default is None else default
        example = _shown(usual) if usual is not None else ""
    return f"{origin}: {key}: expected {expected}, got {got}" + (
        f" - e.g. {example}" if example else ""
    )


def _expected(detail: ErrorDetails) -> tuple[str, str]:
    """Return what a value should have been, and an example where the error brings one."""
    limits: Mapping[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return "a whole number", ""
        case "float_type" | "float_parsing" | "finite_number":
            return "a number", ""
        case "bool_type" | "bool_parsing":
            return "true or false", ""
        case "string_type":
            return "text", ""
        case "tuple_type" | "list_type":
            return "a list", '["points.npy"]'
        case "dict_type":
            return "a table", ""
        case "greater_than_equal":
            return f"{limits['ge']} or more", ""
        case "greater_than":
            return f"more than {limits['gt']}", ""
        case "less_than_equal":
            return f"{limits['le']} or less", ""
        case "less_than":
            return f"less than {limits['lt']}", ""
        case "literal_error":
            choice = limits["expected"]
            return f"one of {choice}" if " or " in choice else choice, ""
        case "value_error":
            text, _, example = str(limits["error"]).partition(", e.g. ")
            return text.removeprefix("expected "), example
    return detail["msg"], ""


def _closest(key: str, known: Mapping[str, Any]) -> str:
    """Return advice for a key that does not exist."""
    section, _, name = key.rpartition(".")
    if key in RENAMED:
        return f"the table is called {RENAMED[key]} now"
    whole = difflib.get_close_matches(key, [*known, *Settings.model_fields], n=1, cutoff=0.75)
    if whole:
        return f"did you mean {whole[0]}?"
    last = difflib.get_close_matches(name, [k.partition(".")[2] for k in known], n=1)
    if last:
        return f"did you mean {next(k for k in known if k.partition('.')[2] == last[0])}?"
    here = [k.partition(".")[2] for k in known if k.startswith(f"{section}.")]
    if here:
        return f"the keys of {section} are {', '.join(here)}"
    return f"the tables are {', '.join(Settings.model_fields)}"
