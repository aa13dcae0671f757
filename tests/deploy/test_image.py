"""The image: it is built, nobody is root in it, and a cluster trains in it. Only where there is a Docker daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
IMAGE = "streammac:test"


def unavailable(what: str) -> NoReturn:
    if "docker" in os.environ.get("STREAMMAC_REQUIRE", "").split(","):
        pytest.fail(f"{what}, but STREAMMAC_REQUIRE names docker")
    pytest.skip(what)


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image() -> str:
    if shutil.which("docker") is None:
        unavailable("there is no docker command")
    if subprocess.run(["docker", "info"], capture_output=True).returncode:
        unavailable("no Docker daemon answers")
    docker("build", "--tag", IMAGE, str(ROOT))
    return IMAGE


def test_nobody_is_root_in_it(image):
    assert docker("run", "--rm", "--entrypoint", "id", image, "-u").strip() == "10001"


def test_a_cluster_trains_in_it(image, tmp_path):
    tmp_path.chmod(0o777)  # whoever runs there
    run = ("run", "--rm", "--volume", f"{tmp_path}:/out", image)
    docker(*run, "demo", "--for", "30", "--no-ui", "--summary", "/out/summary.json")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["model_version"] >= 1
    assert summary["points"]["stored"] > 0
