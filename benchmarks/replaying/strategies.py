"""The table of strategies that a replay compares, and of the ablations of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType

from benchmarks.replaying import ablated, opponents, ours, published, smac_search, transfer_search, uniform
from benchmarks.replaying.searcher import Strategy

#: The strategy that the others' times and wins are measured against, ours, and ours without experience.
RIVAL, OURS, OURS_COLD = "published cold", "ours warm", "ours cold"
MISLED = "ours (adversarial store)"
WARM_PUBLISHED = "published warm (high)"


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy and what has to be known to run and to cache it.

    Attributes:
        make: the strategy.
        code: modules that make its proposals.
        is_followed: whether what these import of the product belongs to its version too. That of other people's
            optimizers is their library's.
        reads_store: whether the experiences of other tasks matter to it.
        max_seeds: seeds at most, for those that are slow; None = as many as asked for.
        package: what has to be installed beyond the product's own dependencies.
    """

    make: Strategy
    code: tuple[str, ...]
    is_followed: bool = False
    reads_store: bool = True
    max_seeds: int | None = None
    package: str | None = None

    @property
    def is_installed(self) -> bool:
        return self.package is None or find_spec(self.package) is not None


def _opponent(make: Strategy) -> Entry:
    return Entry(make, (opponents.__name__, "xautolm.search.samplers"), reads_store=False)


def _published(make: Strategy, *, reads_store: bool = True) -> Entry:
    return Entry(make, (published.__name__,), is_followed=True, reads_store=reads_store)


def _ours(make: Strategy, *, reads_store: bool = True) -> Entry:
    return Entry(make, (ours.__name__,), is_followed=True, reads_store=reads_store)


def _ablated(make: Strategy) -> Entry:
    return Entry(make, (ablated.__name__,), is_followed=True)


#: Name -> strategy, in the order of the table.
STRATEGIES: Mapping[str, Entry] = MappingProxyType(
    {
        "random": Entry(uniform.random_search, (uniform.__name__,), is_followed=True, reads_store=False),
        "TPE caught": _opponent(opponents.tpe_caught),
        "TPE penalised": _opponent(opponents.tpe_penalised),
        "NSGA-II penalised": _opponent(opponents.nsga_penalised),
        "SMAC3": Entry(
            smac_search.smac_parego, (smac_search.__name__,), reads_store=False, max_seeds=5, package="smac"
        ),
        "Syne Tune transfer": Entry(
            transfer_search.transfer, (transfer_search.__name__,), max_seeds=5, package="syne_tune"
        ),
        RIVAL: _published(published.published_cold, reads_store=False),
        "published cold + filter": _published(published.published_filtered, reads_store=False),
        WARM_PUBLISHED: _published(published.published_warm),
        "knn-25 published": _published(published.knn_published),
        "knn-25 repaired": _published(published.knn_repaired),
        "ours for any study": _ours(ours.any_study, reads_store=False),
        OURS_COLD: _ours(ours.ours_cold, reads_store=False),
        OURS: _ours(ours.ours_warm),
        MISLED: _ours(ours.ours_misled),
    }
)

#: Ours without one of its parts, or with one more.
ABLATIONS: Mapping[str, Entry] = MappingProxyType(
    {
        "no failures in the store": _ablated(ablated.no_failures),
        "no distance": _ablated(ablated.no_distance),
        "no system features": _ablated(ablated.no_system),
        "no predictors (reference prior)": _ours(ours.ours_reference),
        "no opening (best of the nearest)": _ablated(ablated.no_opening),
        "with published evaluations": _ablated(ablated.with_published),
        "no guard": _ablated(ablated.no_guard),
        "no guard, adversarial store": _ablated(ablated.no_guard_misled),
        "no front-aware stopping": _ablated(ablated.no_stopping),
    }
)

#: All of both.
ENTRIES: Mapping[str, Entry] = MappingProxyType({**STRATEGIES, **ABLATIONS})
