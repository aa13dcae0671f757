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
    """Let members hang, die and join while messages come in any order; then all is to go on, and averages to stay."""
    chance = random.Random(seed)
    rule = chance.choice([Backups(0), Backups(1), Backups(2), Threshold(), Threshold()])
    names = [f"w{number}" for number in range(chance.randint(1, 8))]
    cluster = Cluster(names, chance.choice([complete, ring, exponential]), rule)
    for number in range(chance.randint(0, 12)):
        cluster.run(chance.randrange, chance.randrange(100))
        match chance.choice(["hang", "wake", "overdue", "lose", "join", "view"]):
            case "hang":
                cluster.hangs.add(chance.choice(list(cluster.members)))
            case "wake":
                cluster.hangs.clear()
            case "overdue":
                for name in sorted(set(cluster.members) - cluster.hangs):
                    cluster.overdue(name)
            case "lose" if len(cluster.members) > 1:
                cluster.lose(chance.choice(list(cluster.members)))
            case "join":
                cluster.add(f"new{number}")
            case "view":
                cluster.view()
    cluster.hangs.clear()
    cluster.view()
    for _ in range(4):
        assert cluster.run(chance.randrange, 300 * len(cluster.members)) > 0, "all wait"
        cluster.settle(chance.randrange)
    value, steps = cluster.total()
    made = cluster.made
    least = min(member.iteration for member in cluster.members.values())
    cluster.run(chance.randrange, 500 * len(cluster.members))
    cluster.settle(chance.randrange)
    assert min(member.iteration for member in cluster.members.values()) > least, "one stays behind"
    found = cluster.total()
    assert abs(found[0] - value) < 1e-9, f"the sum was {value} and is {found[0]}"
    assert abs(found[1] - steps - (cluster.made - made)) < 1e-6, "steps are lost"


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
