"""Every plot can be drawn, says of which data it is, and is the same each time."""

from xml.etree import ElementTree

import pytest

from benchmarks import plots
from benchmarks.report import Report, Spread
from benchmarks.results import Result

BOTH = {
    "workers": "d",
    "speed-up: formula": ".1f",
    "simulated, speed-up": ".1f",
}


def result(*reports):
    return Result({}, 0.0, reports)


RESULTS = {
    "plan": result(
        Report("measured", {"workers": "d"}, ((1,),)),
        Report("images: 60,000 points", BOTH, ((1, 1.0, 1.0), (8, 7.5, 7.2))),
        Report("paper: 100,000,000 points", BOTH, ((1, 1.0, 1.0), (128, 80.0, 79.0))),
    ),
    "speedup": result(
        Report(
            "same",
            {"workers": "d", "speed-up": ".2f"},
            ((1, Spread(1, 1, 1)), (2, Spread(1.8, 1.7, 1.9))),
        )
    ),
    "time_to_quality": result(
        Report(
            "t",
            {"": "", "epoch": "d", "s": ".2f", "precision": ".3f"},
            (
                ("FAISS ITQ", None, 1.8, 0.65),
                ("FAISS ITQ, twice", None, 3.6, None),
                ("streammac", 0, 1.0, 0.73),
                ("streammac", 1, 1.5, 0.8),
            ),
        )
    ),
    "ingest": result(
        Report(
            "feed",
            {"points of a batch": "d", "keys": "", "points/s": ",.0f"},
            ((1024, "none", Spread(5e5, 4e5, 6e5)), (32, "CURVE", 1e5)),
        )
    ),
    "strategies_consensus": result(
        Report("slow", {"": ""}, ()),
        Report("slow, by class", {"": ""}, ()),
        Report(
            "scaling",
            {"workers": "d", "fewer, all": ".1f", "fewer, threshold": ".1f"},
            ((1, 1.0, 1.0), (4, 3.5, 3.0)),
        ),
    ),
    "strategies_coding": result(
        Report("erased", {"": ""}, ()),
        Report("arrivals", {"arrived": "d", "uncoded, found": ".3f"}, ((1, 0.1), (2, 0.2))),
    ),
    "w_step": result(
        Report(
            "Hash functions: 784 uint8",
            {"bits per block": "d", "of the sgemm peak": ".0%"},
            ((32, 0.8), (8, 0.7)),
        )
    ),
}


@pytest.mark.parametrize("name", plots.PLOTS)
def test_a_plot_is_of_its_data(name):
    digest = plots.wanted(RESULTS)[name]
    drawn = plots.draw(name, RESULTS, digest)
    ElementTree.fromstring(drawn)
    assert digest in drawn
    assert len(drawn) < 60_000
    if name == "roofline":
        assert drawn == plots.draw(name, RESULTS, digest)


def test_a_plot_of_other_data_has_another_digest():
    other = RESULTS | {"w_step": result(Report("x", {"a": ""}, ()))}
    assert plots.wanted(other)["roofline"] != plots.wanted(RESULTS)["roofline"]
    assert plots.wanted({}) == {}
