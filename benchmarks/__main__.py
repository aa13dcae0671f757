"""List the benchmarks, or run some of them: ``python -m benchmarks [NAME ...|all]``."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "w_step",
    "ingest",
    "speedup",
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
)


def main() -> None:
    wanted = sys.argv[1:]
    for name in NAMES if wanted in ([], ["all"]) else wanted:
        module = importlib.import_module(f"benchmarks.{name}")
        title = (module.__doc__ or "").splitlines()[0]
        if not wanted:
            print(f"python -m benchmarks {name:14} {title}")
            continue
        print(f"\n## {name}: {title}\n", flush=True)
        module.main()


if __name__ == "__main__":
    main()
