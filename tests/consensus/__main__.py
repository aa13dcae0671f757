"""Look for seeds that break a promise of the consensus: ``python -m tests.consensus --seeds 2000 --first 0``."""

from __future__ import annotations

import argparse
import random
import sys
import traceback

from streammac.consensus.graph import complete, exponential, ring
from streammac.consensus.rules import Backups, Threshold
from tests.consensus.cluster import Cluster


def story(seed: int) -> None:
    """Let messages come in any order, and some members be slow; all are to end, and the average to stay."""
    chance = random.Random(seed)
    rule = chance.choice([Backups(0), Backups(1), Backups(2), Threshold(), Threshold()])
    names = [f"w{number}" for number in range(chance.randint(1, 12))]
    last = chance.randint(1, 40)
    cluster = Cluster(names, chance.choice([complete, ring, exponential]), rule, range(last))
    slow = set(chance.sample(names, chance.randint(0, len(names) // 2)))
    value = cluster.total()[0]
    while possible := cluster.can_happen(last):
        quick = [what for what in possible if what[0] != "step" or what[1] not in slow]
        cluster.happen(chance.choice(quick if quick and chance.random() < 0.95 else possible))
    assert cluster.done == set(names), f"{set(names) - cluster.done} wait for ever"
    found = cluster.total()
    assert abs(found[0] - value) < 1e-9, f"the sum was {value} and is {found[0]}"
    assert abs(found[1] - cluster.made) < 1e-6, "steps are lost"
    for weights in cluster.weights.values():
        for name, its in weights.items():
            assert all(weights[other][name] == weight > 0 for other, weight in its.items())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.consensus", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first")
    wanted = parser.parse_args()
    failed = 0
    for seed in range(wanted.first, wanted.first + wanted.seeds):
        try:
            story(seed)
        except Exception:
            failed += 1
            print(f"seed {seed}:")
            traceback.print_exc(limit=-2)
    print(f"{wanted.seeds} seeds, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
