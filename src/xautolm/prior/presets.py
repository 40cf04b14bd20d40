"""The published warm-start configurations (`method.md` 1.8) as settings instead of parsed names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from xautolm.prior.reference import DEFECTS, ReferenceOptions
from xautolm.prior.similarity import DistanceOptions
from xautolm.prior.utility import Utility

Rate = Literal["fixed", "adaptive", "none"]
Level = Literal["low", "moderate", "high"]
Column = Literal["liar", "median", "max"]

#: Rates of one experience (fixed) and their sums (adaptive), `method.md` 1.7.
_FIXED_POSITIVE, _FIXED_NEGATIVE, _ADAPTIVE_MASS = 0.05, 0.02, 1.0


@dataclass(frozen=True, slots=True)
class Configuration:
    """One published configuration.

    Attributes:
        positive: rate of successes.
        negative: rate of failures as it ran.
        metric: distance between features.
        beta_scale: strength of the decay with distance; 0 = the distance does not count.
        utility: formula of the utility of successes.
        intended_negative: rate of failures that its name asked for, where another one ran: names with `no-neg` still
            switched fixed negative rates on (hazard (a) of `method.md` 1.8).
    """

    positive: Rate
    negative: Rate
    metric: Literal["euclidean", "cosine"] = "euclidean"
    beta_scale: float = 0.0
    utility: Utility = "weighted_sum"
    intended_negative: Rate | None = None

    def options(self, *, defects: frozenset[int] = DEFECTS, as_intended: bool = False) -> ReferenceOptions:
        """Options of the reference prior.

        Args:
            defects: published defects to keep; empty = none of them.
            as_intended: whether failures count as the name says instead of as it ran.
        """
        negative = self.intended_negative if as_intended and self.intended_negative else self.negative
        # Features were standardised and compared as one vector; the machine's hardly varied in those stores.
        distance = replace(DistanceOptions.published(), normalizers=("standard",), metric=self.metric)
        return ReferenceOptions(
            distance=distance,
            k_positive=0 if self.positive == "none" else None,
            k_negative=0 if negative == "none" else None,
            utility=self.utility,
            beta_scale=self.beta_scale,
            positive_mass=_ADAPTIVE_MASS if self.positive == "adaptive" else math.inf,
            negative_mass=_ADAPTIVE_MASS if negative == "adaptive" else math.inf,
            max_positive_alpha=_FIXED_POSITIVE if self.positive == "fixed" else math.inf,
            max_negative_alpha=_FIXED_NEGATIVE if negative == "fixed" else math.inf,
            n_starts=0,
            default_share=0.0,
            defects=defects,
        )


def _no_neg(
    positive: Rate,
    utility: Utility,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    beta_scale: float = 0.0,
) -> Configuration:
    """A configuration named `no-neg`."""
    return Configuration(positive, "fixed", metric, beta_scale, utility, intended_negative="none")


_LINEAR: Utility = "linear_front"
_LOGARITHMIC: Utility = "logarithmic_front"
_CLASSIFICATION = ("liar", "sst2", "meld", "ag_news")
_HIGH_MEDIAN = Configuration("none", "fixed", "euclidean", 0.5, _LINEAR)
_COSINE_NO_NEG = _no_neg("adaptive", _LINEAR, "cosine", 0.5)

#: (how it was chosen, strength, data set) -> configuration.
PRESETS: Mapping[tuple[Column, Level, str], Configuration] = MappingProxyType(
    {
        **{("liar", "low", d): Configuration("fixed", "none", "cosine", 0.5) for d in _CLASSIFICATION},
        **{("liar", "moderate", d): Configuration("fixed", "adaptive") for d in _CLASSIFICATION},
        **{("liar", "high", d): Configuration("fixed", "fixed") for d in _CLASSIFICATION},
        **{("median", "low", d): Configuration("none", "adaptive", "euclidean", 0.5, _LINEAR) for d in _CLASSIFICATION},
        ("median", "moderate", "liar"): Configuration("adaptive", "adaptive", "euclidean", 0.5),
        ("median", "moderate", "sst2"): _no_neg("adaptive", _LINEAR, "euclidean", 0.5),
        ("median", "moderate", "meld"): _COSINE_NO_NEG,
        ("median", "moderate", "ag_news"): _COSINE_NO_NEG,
        **{("median", "high", d): _HIGH_MEDIAN for d in ("liar", "meld", "ag_news")},
        ("median", "high", "sst2"): Configuration("adaptive", "fixed", "euclidean", 0.5),
        **{("max", "low", d): Configuration("none", "adaptive") for d in _CLASSIFICATION},
        ("max", "moderate", "liar"): Configuration("none", "fixed", "cosine", 0.5),
        ("max", "moderate", "sst2"): Configuration("fixed", "adaptive", utility=_LOGARITHMIC),
        ("max", "moderate", "meld"): Configuration("none", "fixed", "euclidean", 1.0),
        ("max", "moderate", "ag_news"): Configuration("fixed", "adaptive", utility=_LOGARITHMIC),
        ("max", "high", "liar"): Configuration("fixed", "fixed"),
        ("max", "high", "sst2"): Configuration("none", "fixed", "cosine", 0.5),
        ("max", "high", "meld"): Configuration("fixed", "fixed", utility=_LOGARITHMIC),
        ("max", "high", "ag_news"): Configuration("none", "fixed"),
        ("max", "low", "drop"): _no_neg("adaptive", _LOGARITHMIC, "cosine", 0.5),
        ("max", "moderate", "drop"): Configuration("fixed", "fixed", utility=_LOGARITHMIC),
        ("max", "high", "drop"): Configuration("adaptive", "fixed", utility=_LINEAR),
        ("max", "low", "squad"): _no_neg("adaptive", "weighted_sum"),
        ("max", "moderate", "squad"): Configuration("adaptive", "fixed", "cosine", 0.5),
        ("max", "high", "squad"): Configuration("adaptive", "fixed", utility=_LOGARITHMIC),
    }
)
