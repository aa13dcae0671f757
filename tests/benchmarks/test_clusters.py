"""A cluster that is measured: what ends in it, or fails beside it, is said, and no figure comes of it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from benchmarks import clusters
from streammac.client import ClientError
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings


@pytest.mark.parametrize("found", [None, LookupError("a figure that nobody told")])
def test_a_process_that_has_ended_is_named_whatever_is_found(tmp_path, monkeypatch, found):
    child = SimpleNamespace(exit_message=lambda: "w1 ended with exit code 70; its log")
    kept = [SimpleNamespace(exit_code=70, child=child), SimpleNamespace(exit_code=None)]
    cluster = nullcontext(SimpleNamespace(children=kept))
    monkeypatch.setattr(clusters, "LocalCluster", lambda *_: cluster)
    monkeypatch.setattr(clusters, "Client", lambda _: nullcontext())
    monkeypatch.setattr(RunDirectory, "wait_for", lambda *_: None)

    def measured():
        with clusters.running(tmp_path, Settings()):
            if found is not None:
                raise found

    with pytest.raises(SystemExit, match="w1 ended with"):
        measured()


def test_a_feed_that_fails_fails_what_is_measured():
    def push():
        raise ClientError("no acknowledgement")

    beside = clusters.background(clusters.steadily(push))
    with pytest.raises(ClientError, match="no acknowledgement"), beside:
        pass
