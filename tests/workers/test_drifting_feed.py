"""A feed that drifts, through real processes: it is noticed, and the continuation begins anew."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.client import Client
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.local_cluster import LocalCluster
from tests.patience import PATIENCE_S, wait_for

pytestmark = pytest.mark.processes


def test_drift_is_noticed_and_mu_drops_back(tmp_path):
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 2},
            "model": {
                "bits": 16,
                "options": {"rotations": 5, "starts": 4, "mu_factor": 1.1, "refined": 2},
            },
            "training": {"growth": 1000.0},
            "held_out": {"share": 0.0},
        }
    )
    rng = np.random.default_rng(0)
    x = rng.permutation(np.tile(load_digits().data, (4, 1))).astype(np.float32)
    directory = RunDirectory(tmp_path)
    with LocalCluster(directory, settings) as cluster:
        assert directory.wait_for("coordinator", PATIENCE_S)
        with Client(tmp_path) as client:

            def seen() -> tuple[int, int]:
                cluster.step()
                status = client.status()
                return status.drift_events, status.age if status.age is not None else -1

            for part in np.array_split(x, 4):
                client.push(part, timeout_s=PATIENCE_S)
                time.sleep(0.3)
            wait_for(lambda: seen()[1] >= 0 and client.status().resting)
            assert seen()[0] == 0
            before = client.status().mu
            # other pixels: the same numbers in another order, for as long as it takes until both workers have seen some
            other = x[:, rng.permutation(64)]
            parts = itertools.cycle(np.array_split(other, 4))

            def noticed() -> bool:
                client.push(next(parts), timeout_s=PATIENCE_S)
                time.sleep(0.3)
                return seen()[0] >= 1

            wait_for(noticed)
            wait_for(lambda: client.status().mu < before)
            wait_for(lambda: client.status().mu == before)
