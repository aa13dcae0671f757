"""List the benchmarks, or run some: ``python -m benchmarks [--short] [--results FOLDER] [NAME ...|all]``.

``python -m benchmarks guard`` compares this tree with a former commit, ``python -m benchmarks pages`` makes README's
figures and docs/performance.md from the results.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import time
from pathlib import Path

from benchmarks import guard, machine, pages, results

NAMES = (
    "w_step",
    "z_step",
    "time_to_quality",
    "first_model",
    "ingest",
    "speedup",
    "hops",
    "plan",
    "quality",
    "stationary",
    "continual",
    "versions",
    "ring_quality",
    "elastic_quality",
    "join",
    "slow_worker",
    "drift",
    "metrics_overhead",
    "messages",
    "probe_agreement",
    "at_rest",
    "freshness",
    "learners",
    "memory",
    "deep",
    "block_admm",
    "river",
    "strategies_radon",
    "strategies_consensus",
    "strategies_cluster",
    "strategies_coding",
)
log = logging.getLogger("benchmarks")


def main() -> None:
    if sys.argv[1:2] == ["guard"]:
        guard.main(sys.argv[2:])
        return
    if sys.argv[1:] == ["pages"]:
        pages.write()
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="which; without any they are listed"
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="a fraction of the work, to see that it runs; nothing is kept unless --results is given",
    )
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="where the JSON goes; benchmarks/results"
    )
    wanted = parser.parse_args()
    unknown = sorted(set(wanted.names) - {*NAMES, "all"})
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if not wanted.names:
        for name in NAMES:
            print(f"{name:16} {_title(name)}")
        return
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    folder = wanted.results or (None if wanted.short else results.PUBLISHED)
    for name in NAMES if "all" in wanted.names else wanted.names:
        print(f"\n## {name}: {_title(name)}\n", flush=True)
        result = _measured(name, short=wanted.short)
        if folder is not None:
            log.info("written: %s", results.write(name, result, folder))


def _title(name: str) -> str:
    return (importlib.import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]


def _measured(name: str, *, short: bool) -> results.Result:
    """Run one; print each table as it comes."""
    reports, facts, begin = [], machine.facts(), time.monotonic()
    for report in importlib.import_module(f"benchmarks.{name}").run(short=short):
        print(report.markdown(), "\n", flush=True)
        reports.append(report)
    return results.Result(facts, round(time.monotonic() - begin, 1), tuple(reports))


if __name__ == "__main__":
    main()
