"""The structure that `docs/architecture.md` promises: every module in a layer, no class and no function too large."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from streammac.models.learners.registry import OWN
from streammac.models.registry import FAMILIES

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"
)
MOST_PARAMETERS = 7
MOST_ATTRIBUTES = 15
LARGE = {
    "streammac/wire/status.py:ClusterStatus": "the JSON that users read: its keys stay where they are",
    "streammac/wire/status.py:Quality": "part of it",
}
"""What may be larger, and why."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def contracts() -> list[dict]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return settings["tool"]["importlinter"]["contracts"]


def test_every_package_stands_in_the_import_contract():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert sorted(linter["root_packages"]) == PACKAGES


@pytest.mark.parametrize("package", [p for p in PACKAGES if len(list((ROOT / p).glob("*.py"))) > 2])
def test_every_module_of_a_package_stands_in_a_layer(package: str):
    # the linter itself finds a module that stands in no layer, where a contract says that all have to
    assert any(
        contract.get("containers") == [package] and contract.get("exhaustive")
        for contract in contracts()
    )


def test_every_example_in_a_docstring_is_run():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    places = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    examples = [path for path, _ in modules() if "    >>> " in (ROOT / path).read_text()]
    assert [p for p in examples if not any(Path(p).is_relative_to(place) for place in places)] == []


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([one for one in every if one.arg not in ("self", "cls")])


def attributes(one: ast.ClassDef) -> set[str]:
    """What instances hold: fields, and what is set on ``self``."""
    fields = {
        node.target.id
        for node in one.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for node in ast.walk(one):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = [
                t
                for target in node.targets
                for t in ast.walk(target)
                if isinstance(t, ast.Attribute)
            ]
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        fields |= {
            target.attr
            for target in targets
            if isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == "self"
            and isinstance(target.ctx, ast.Store)
        }
    return fields


def test_no_function_has_too_many_parameters():
    # commands are called by their options' names, on a command line
    large = {
        f"{place}:{node.name}": parameters(node)
        for place, tree in modules()
        if not place.startswith("streammac/cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and parameters(node) > MOST_PARAMETERS
    }
    assert not {name: count for name, count in large.items() if name not in LARGE}


def test_no_class_has_too_many_attributes():
    large = {
        f"{place}:{node.name}": len(attributes(node))
        for place, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and len(attributes(node)) > MOST_ATTRIBUTES
    }
    assert not {name: count for name, count in large.items() if name not in LARGE}


def test_what_trains_on_a_ring_knows_no_family_of_models():
    words = [
        *FAMILIES,
        *OWN,
        *(cls.__name__ for cls in FAMILIES.values()),
        "autoencoder",
        "deep_net",
    ]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for folder in ("streammac/ring", "streammac/delivery", "streammac/store", "workers")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for word in words
        if word in path.read_text()
    ]
    assert not found
