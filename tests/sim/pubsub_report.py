"""A thousand gossipsub nodes in virtual time, a fifth of the frames lost, a fifth of the nodes hostile.

python tests/sim/pubsub_report.py [NODES=1000] [SEEDS=3]
"""

import sys
import time

from pubsub_network import PubsubNetwork

SETTLE = 30.0
"""Virtual seconds until the first message: the mesh has got rid of most hostile nodes by then."""


def main() -> int:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    missed = 0
    for seed in range(1, seeds + 1):
        begun = time.process_time()
        outcome = PubsubNetwork(nodes, degree=20, loss=0.2, hostile=0.2, seed=seed).trial(20, settle=SETTLE)
        met = outcome.within >= 0.999
        missed += not met
        print(
            f"seed {seed}: {outcome.delivered:.3%} delivered, {outcome.within:.3%} within 6 hops"
            f"{'' if met else ' (MISSED)'}, {outcome.redundancy:.2f} copies more than needed,"
            f" {outcome.mesh_of_hostile:.1%} of mesh links to hostile nodes, slowest {outcome.seconds:.2f} s;"
            f" {time.process_time() - begun:.0f} s of CPU"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
