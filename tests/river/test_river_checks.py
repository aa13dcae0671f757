"""River's own checks of estimators: none is skipped."""

from __future__ import annotations

import pytest
from river import checks, datasets

from streammac.river import (
    BinaryCodes,
    DeepNetClassifier,
    DeepNetRegressor,
    ReconstructionScorer,
)


class _Bundled:
    """In place of the data set that River would download for anomaly detectors: one that comes with it."""

    def take(self, count: int):
        return list(datasets.Shuttle().take(count // 10))


def cases():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "CreditCard", _Bundled)
        for cls in (BinaryCodes, ReconstructionScorer, DeepNetClassifier, DeepNetRegressor):
            (params,) = cls._unit_test_params()
            for check in checks.yield_checks(cls(**params)):
                yield pytest.param(cls(**params), check, id=f"{cls.__name__}-{check.__name__}")


@pytest.mark.parametrize(("model", "check"), list(cases()))
def test_conforms_to_river(model, check):
    assert check.__name__ not in model._unit_test_skips()
    check(model.clone())
