"""Some inputs of each fuzz target; ``make fuzz`` runs many."""

import random
from itertools import islice

import pytest

from fuzz.decoders import Target, broken, check, targets

INPUTS = 150


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_broken_vectors_are_values_or_the_decoders_own_errors(target: Target) -> None:
    for data in islice(broken(target.seeds, random.Random(1)), INPUTS):
        check(target, data)
