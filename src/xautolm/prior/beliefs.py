"""What a model of trials says about points: the one interface between models and proposals.

Models of this run's own trials (`prior.surrogates`) and of past experience implement it, so that they can be mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xautolm.prior.encoding import Point

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected of n points, for k objectives.

    Attributes:
        p_ok: (n,) probability of a usable result: no failure, no broken constraint.
        mean: (n, k) expected objectives, all to be minimised, in the scale that the caller gave results in.
        sd: (n, k) standard deviations of the expectation, positive; the noise of a result is not in it.
        cost: (n,) expected cost of a trial in any unit, positive; ones where nothing is known.
    """

    p_ok: Array
    mean: Array
    sd: Array
    cost: Array


class Beliefs(Protocol):
    """A model of trials."""

    def predict(self, points: Sequence[Point]) -> Prediction:
        """What is expected of points (of our space: `Pipeline.to_dict()`); always finite."""
        ...
