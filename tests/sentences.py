"""Sentences that a tiny model can tell apart."""

from __future__ import annotations

import random

from tiny_models import BAD, GOOD, NEUTRAL


def opinion(index: int, *, positive: bool) -> str:
    """A distinct sentence whose class shows in two of its words."""
    rng = random.Random(index)
    words = rng.sample(GOOD if positive else BAD, 2) + rng.choices(NEUTRAL, k=5)
    rng.shuffle(words)
    return " ".join([*words, str(index)])
