"""Who reaches whom: every kind of NAT with every other, over TCP and QUIC, from many seeds, in virtual time.

python tests/sim/punching_report.py [SEEDS=50]
"""

import statistics
import sys
from collections import Counter

from cidery.testing.lab.punching import KINDS, WITHIN, Kind, possible, reach

WANTED = 0.95
"""Of the pairs that theory allows, within WITHIN seconds."""


def main() -> int:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    soon = allowed = strange = 0
    print("dialler       reached       by    outcome, and seconds: median, slowest")
    for quic in (False, True):
        for dialler in KINDS:
            for reached in KINDS:
                trials = seeds if possible(dialler, reached) else max(1, seeds // 5)
                found = [reach(dialler, reached, quic=quic, seed=seed) for seed in range(trials)]
                direct = [one.seconds for one in found if one.how in ("plain dial", "punched")]
                strange += sum(one.how == "not" for one in found)
                if possible(dialler, reached):
                    allowed += seeds
                    soon += sum(seconds <= WITHIN for seconds in direct)
                else:
                    strange += len(direct)
                print(line(dialler, reached, quic, Counter(one.how for one in found), direct), flush=True)
    print(f"{soon / allowed:.1%} of {allowed} trials that theory allows are direct within {WITHIN:.0f} s")
    return 0 if soon >= WANTED * allowed and not strange else 1


def line(dialler: Kind, reached: Kind, quic: bool, how: Counter[str], seconds: list[float]) -> str:
    outcome = ", ".join(f"{count} {name}" for name, count in how.most_common())
    times = f"; {statistics.median(seconds):.2f}, {max(seconds):.2f}" if seconds else ""
    return f"{dialler:13} {reached:13} {'QUIC' if quic else 'TCP ':4}  {outcome}{times}"


if __name__ == "__main__":
    sys.exit(main())
