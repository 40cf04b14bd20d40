"""One proposal for any tree of variables: what to try next, knowing finished and running trials.

A proposal is a pure function of (seed, trial number, finished trials in the order they finished, running trials, fixed
values), whatever was asked before, so that a study can be replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.pareto import fronts
from xautolm.prior.encoding import Encoder, Point, Tree, Variable
from xautolm.prior.surrogates import OwnBeliefs, Surrogates, Trials, levelled
from xautolm.records import ParamValue
from xautolm.search.acquisition import Standing, away_from, likely, worth
from xautolm.search.candidates import Marginal, draw, varied

Array = npt.NDArray[np.float64]
Key = tuple[ParamValue | None, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """Constants of a proposal; chosen on the problems of `benchmarks.oom_toy` (docs/benchmarks.md).

    Attributes:
        n_start: trials with a value from which on models of the objectives are asked.
        exploration: share of proposals that are draws, as long as they are likely to work.
        free: share of those that are drawn without asking.
        optimism: factors on the models' deviations, one of them at random for each proposal.
        front_optimism: the same with several objectives, whose front spreads a search by itself.
        likely: probability of success that starting and exploring proposals must have.
        sure: the same for proposals whose optimism is above 1.
        bold, careful: the same for the others: `careful` when the share of failures among this run's trials is at least
            `tolerance`, less with fewer failures, down to `bold` with none.
        tolerance: see above.
        alarm: share of failures among the last `memory` trials above which more is asked, at twice that `alarmed`: near
            a boundary the candidates that are worth most are those whose probability is overrated most.
        alarmed, memory: see above.
        least_share: share of the draws that count as likely in any case, so that a start does not stand still.
        n_draws, n_varied, n_refined: candidates drawn, near the best trials, and near the best candidates.
        n_bases: best trials and best candidates that are varied.
        radius: distance that candidates keep from running trials (`acquisition.away_from`).
        may_repeat: whether a trial may be proposed again (to measure noise).
    """

    n_start: int = 8
    exploration: float = 0.1
    free: float = 0.1
    optimism: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    front_optimism: tuple[float, ...] = (1.0, 2.0)
    likely: float = 0.7
    sure: float = 0.65
    bold: float = 0.2
    careful: float = 0.6
    tolerance: float = 0.08
    alarm: float = 0.15
    alarmed: float = 0.9
    memory: int = 20
    least_share: float = 0.2
    n_draws: int = 300
    n_varied: int = 300
    n_refined: int = 200
    n_bases: int = 5
    radius: float = 0.1
    may_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished trial.

    Attributes:
        number: identifies the trial in its run.
        point: what was tried, as far as it is known.
        succeeded: False for a failure; stopped trials succeeded.
        values: objectives to be minimised, finite; None without.
        slacks: constraints, kept where not above 0; empty when not told.
    """

    number: int
    point: Point
    succeeded: bool
    values: tuple[float, ...] | None
    slacks: tuple[float, ...] = ()


class Suggester:
    """Proposes points of one tree.

    Args:
        tree: the space.
        seed: of the run.
        n_objectives: how many.
        marginals: warm distributions of variables, which half of the draws come from.
        starts: what is known of good points elsewhere; each is tried once, what it lacks is drawn.
        options: constants.
    """

    def __init__(
        self,
        tree: Tree,
        seed: int,
        n_objectives: int,
        *,
        marginals: Mapping[Variable, Marginal] | None = None,
        starts: Sequence[Point] = (),
        options: Options | None = None,
    ) -> None:
        self.tree, self.options = tree, options or Options()
        self.n_objectives = n_objectives
        self._seed, self._marginals, self._starts = seed, dict(marginals or {}), tuple(starts)
        self._encoder = Encoder(tree)
        self._surrogates = Surrogates(self._encoder)
        self._rows: dict[int, tuple[Finished, Array]] = {}

    def suggest(
        self, number: int, finished: Sequence[Finished], running: Sequence[Point] = (), fixed: Point | None = None
    ) -> dict[str, ParamValue]:
        """The point of trial `number`.

        Args:
            number: of the trial.
            finished: in the order they finished.
            running: points of trials that run now, as far as they are known.
            fixed: values that are given.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, number]))
        taken = {self._key(trial.point) for trial in finished} | {self._key(point) for point in running}
        pool = _Pool(self, rng, frozenset() if self.options.may_repeat else taken, fixed or {})
        known = [trial.point for trial in finished] + list(running)
        start = next((point for point in self._starts if not any(_holds(other, point) for other in known)), None)
        if start is not None:
            return _Pool(self, rng, taken, {**start, **(fixed or {})}).drawn(1)[0]
        if not finished:
            return pool.drawn(1)[0]
        trials = self._trials(finished)
        beliefs = self._surrogates.learn(trials)
        explores = float(rng.random())
        if int(trials.is_feasible.sum()) < self.options.n_start:
            return self._start(pool, beliefs, trials, running)
        if explores < self.options.exploration:
            candidates = pool.drawn(self.options.n_draws)
            if explores < self.options.exploration * self.options.free:
                return candidates[0]
            p_ok = beliefs.predict(candidates).p_ok
            return candidates[likely(p_ok, self.options.likely, 1.0 / len(candidates))[0]]
        return self._best(pool, beliefs, trials, finished, running, rng)

    def _start(
        self, pool: _Pool, beliefs: OwnBeliefs, trials: Trials, running: Sequence[Point]
    ) -> dict[str, ParamValue]:
        """Likely to work; without experience also far from what was tried."""
        candidates = pool.drawn(self.options.n_draws)
        chosen = likely(beliefs.predict(candidates).p_ok, self.options.likely, self.options.least_share)[:20]
        if self._marginals:
            return candidates[chosen[0]]
        rows = self._encoder.encode([candidates[i] for i in chosen])
        known = np.vstack([trials.rows, self._encoder.encode(running)])
        gaps = ((rows[:, None, :] - known[None, :, :]) ** 2).sum(axis=2).min(axis=1)
        return candidates[chosen[int(gaps.argmax())]]

    def _best(
        self,
        pool: _Pool,
        beliefs: OwnBeliefs,
        trials: Trials,
        finished: Sequence[Finished],
        running: Sequence[Point],
        rng: np.random.Generator,
    ) -> dict[str, ParamValue]:
        """The candidate that is worth most, under a random optimism."""
        options = self.options
        factors = options.optimism if self.n_objectives == 1 else options.front_optimism
        optimism = factors[int(rng.integers(len(factors)))]
        feasible = np.flatnonzero(trials.is_feasible)
        leading = feasible[leaders(trials.values[feasible])]
        expected = beliefs.predict_rows(trials.rows[leading]).mean
        standing = Standing.of(expected)
        least_p = _least_p(trials, optimism, options)
        others = self._encoder.encode(running)

        def rated(points: Sequence[Point]) -> Array:
            rows = self._encoder.encode(points)
            value = worth(beliefs.predict_rows(rows), standing, optimism=optimism, least_p=least_p)
            return np.asarray(value + np.log(away_from(rows, others, self._encoder.groups, options.radius) + 1e-12))

        bases = [finished[leading[i]].point for i in _some(leaders(expected, options.n_bases), options.n_bases, rng)]
        candidates = pool.drawn(options.n_draws) + pool.near(bases, options.n_varied)
        value = rated(candidates)
        top = np.argsort(-value, kind="stable")[: options.n_bases]
        refined = pool.near([candidates[i] for i in top], options.n_refined, may_be_empty=True)
        if refined:
            candidates, value = candidates + refined, np.concatenate([value, rated(refined)])
        return candidates[int(value.argmax())]

    def _trials(self, finished: Sequence[Finished]) -> Trials:
        """The trials as arrays; rows are kept from call to call."""
        new = [trial for trial in finished if self._rows.get(trial.number, (None,))[0] is not trial]
        for trial, row in zip(new, self._encoder.encode([trial.point for trial in new]), strict=True):
            self._rows[trial.number] = trial, row
        missing = (np.nan,) * self.n_objectives
        values = np.asarray([missing if trial.values is None else trial.values for trial in finished], dtype=float)
        n_slacks = max(len(trial.slacks) for trial in finished)
        slacks = [trial.slacks if len(trial.slacks) == n_slacks else (np.nan,) * n_slacks for trial in finished]
        has_values = np.isfinite(values).all(axis=1)
        for j in range(self.n_objectives):
            values[has_values, j] = levelled(values[has_values, j], may_be_log=True)
        return Trials(
            rows=np.stack([self._rows[trial.number][1] for trial in finished]),
            succeeded=np.asarray([trial.succeeded for trial in finished], dtype=bool),
            values=values,
            slacks=np.asarray(slacks, dtype=float).reshape(len(finished), n_slacks),
        )

    def _key(self, point: Point) -> Key:
        return tuple(point.get(name) for name in self.tree.names)

    def drawn(self, rng: np.random.Generator, n: int, fixed: Point) -> list[dict[str, ParamValue]]:
        """Draws: uniform ones, with experience every second one from its marginals."""
        points = draw(self.tree, rng, n, fixed=fixed)
        if self._marginals:
            points[::2] = draw(self.tree, rng, len(points[::2]), fixed=fixed, marginals=self._marginals)
        return points


class _Pool:
    """Makes candidates that were not tried before.

    Args:
        suggester: whose tree and marginals are used.
        rng: source of randomness.
        taken: keys of what was tried or is running.
        fixed: values that are given.
    """

    def __init__(
        self, suggester: Suggester, rng: np.random.Generator, taken: frozenset[Key] | set[Key], fixed: Point
    ) -> None:
        self._suggester, self._rng, self._taken, self._fixed = suggester, rng, taken, fixed

    def drawn(self, n: int) -> list[dict[str, ParamValue]]:
        """New draws, at most n; repeats where all n were tried before: the space is (nearly) used up."""
        points = self._suggester.drawn(self._rng, n, self._fixed)
        return self._new(points) or points

    def near(self, bases: Sequence[Point], n: int, *, may_be_empty: bool = False) -> list[dict[str, ParamValue]]:
        """New points near some others, at most n."""
        share = -(-n // len(bases))
        return self._new(
            [
                point
                for base in bases
                for point in varied(self._suggester.tree, base, self._rng, share, fixed=self._fixed)
            ]
        )

    def _new(self, points: list[dict[str, ParamValue]]) -> list[dict[str, ParamValue]]:
        new = {self._suggester._key(point): point for point in points}
        return [point for key, point in new.items() if key not in self._taken]


def _holds(point: Point, part: Point) -> bool:
    return all(point.get(name) == value for name, value in part.items())


def leaders(points: Array, n: int = 24) -> npt.NDArray[np.int64]:
    """Indices of the points of the first fronts that hold n points together, best front first.

    >>> leaders(np.array([[3.0], [1.0], [2.0]]), 2).tolist()
    [1, 2]
    """
    found: list[int] = []
    for members in fronts(points):
        found += members
        if len(found) >= n:
            break
    return np.asarray(found, dtype=np.int64)


def _some(indices: npt.NDArray[np.int64], n: int, rng: np.random.Generator) -> list[int]:
    """The indices, n of them at random where there are more."""
    if len(indices) <= n:
        return [int(i) for i in indices]
    return [int(i) for i in rng.choice(indices, n, replace=False)]


def _least_p(trials: Trials, optimism: float, options: Options) -> float:
    """Probability of success that a candidate must have."""
    share = 1.0 - float(trials.succeeded.mean())
    asked = options.bold + (options.careful - options.bold) * min(share / options.tolerance, 1.0)
    asked = max(asked, options.sure) if optimism > 1.0 else asked
    recent = 1.0 - float(trials.succeeded[-options.memory :].mean())
    alarm = (
        min(max(recent - options.alarm, 0.0) / options.alarm, 1.0) if len(trials.succeeded) >= options.memory else 0.0
    )
    return asked + alarm * max(options.alarmed - asked, 0.0)
