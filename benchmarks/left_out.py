"""What each prior says about the pipelines of a task whose experiences it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xautolm.experience.importers.published import published_form
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.costs import Setting
from xautolm.prior.evidence import Rated, rate
from xautolm.prior.knn import KnnOptions, build_knn_prior
from xautolm.prior.learned import LearnedOptions, learn
from xautolm.prior.lessons import Lessons
from xautolm.prior.model import SearchModel
from xautolm.prior.physics import INPUTS, Physicist
from xautolm.prior.presets import Configuration
from xautolm.prior.reference import ReferenceOptions, build_reference_prior, cold_model
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Experience, Objective, Pipeline, Prior
from xautolm.space.observed import observed_space
from xautolm.space.params import Space

Array = npt.NDArray[np.float64]

F1 = Objective("f1", "maximize")
LEARNED = LearnedOptions()
#: Trees of the yardstick forest.
N_TREES = 300
#: Inputs of the yardstick forest: sizes, costs and settings, without what was thought out for `learned`.
PLAIN = tuple(
    i
    for i, name in enumerate(INPUTS)
    if name not in {"log_travel", "log_updates", "log_examples", "warmup_share", "log_rate_ratio", "time_ratio"}
)
#: The published configuration that was tuned on LIAR and is called "high" (`method.md` 1.8): fixed rates, no decay.
HIGH = Configuration("fixed", "fixed")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a prior says about n pipelines; only the order of the numbers matters.

    Attributes:
        success: larger = more likely to work.
        quality: larger = better score.
        time: larger = longer; None when the prior does not speak about time.
        is_probability: whether `success` is a probability.
    """

    success: Array
    quality: Array
    time: Array | None = None
    is_probability: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A task and everything that is known without it.

    Attributes:
        name: of the task.
        judged: its own experiences.
        others: experiences of other tasks: of its own kind, of every kind when there is no other task of its kind.
        book: figures of the models.
    """

    name: str
    judged: Sequence[Experience]
    others: Sequence[Experience]
    book: ModelBook

    @property
    def is_of_other_kind(self) -> bool:
        """Whether all experience is of another kind of task."""
        return all(e.kind != self.judged[0].kind for e in self.others)

    @property
    def worked(self) -> npt.NDArray[np.bool_]:
        return np.asarray([e.result.is_ok for e in self.judged], dtype=bool)

    @property
    def scores(self) -> Array:
        return np.asarray([e.result.scores.get("f1", np.nan) for e in self.judged], dtype=float)

    @property
    def times(self) -> Array:
        return np.asarray([e.result.cost.time_s for e in self.judged], dtype=float)

    def rated(self, options: DistanceOptions) -> list[Rated]:
        here = self.judged[0]
        return rate(self.others, here.profile, here.fingerprint, here.sketch, options)


def left_out(experiences: Sequence[Experience], book: ModelBook) -> list[LeftOut]:
    """Leave out each task in turn."""
    names = dict.fromkeys(e.dataset_id for e in experiences)
    cases = []
    for name in names:
        judged = [e for e in experiences if e.dataset_id == name]
        others = [e for e in experiences if e.dataset_id != name]
        own_kind = [e for e in others if e.kind == judged[0].kind]
        cases.append(LeftOut(name, judged, own_kind or others, book))
    return cases


def by_reference(case: LeftOut, options: ReferenceOptions, *, against_cold: bool = False) -> Opinion:
    """Log-probability of each pipeline under the warm model.

    Args:
        case: what is left out.
        options: of the warm start.
        against_cold: whether the log-probability under the cold model is taken off, which otherwise counts how many
            decisions and choices a method has.
    """
    rated, judged, space = _named_as_published(case, case.rated(options.distance))
    prior = build_reference_prior(space, rated, options)
    return _log_probability(prior, judged, cold_model(space, options), against_cold)


def by_knn(case: LeftOut, options: KnnOptions, *, against_cold: bool = False) -> Opinion:
    """The same under the model of the memory baseline."""
    rated, judged, space = _named_as_published(case, case.rated(DistanceOptions()))
    prior = build_knn_prior(space, rated, case.judged[0].profile, options)
    return _log_probability(prior, judged, cold_model(space, options.replayed), against_cold)


def by_learned(case: LeftOut) -> Opinion:
    """The learned predictors."""
    physicist = Physicist(case.book)
    predictors = learn(Lessons.of(case.rated(DistanceOptions()), physicist, F1), LEARNED)
    forecast = predictors.predict(_rows(case.judged, physicist))
    return Opinion(forecast.p_ok, forecast.quality, forecast.log_time, is_probability=True)


def by_forest(case: LeftOut, inputs: Sequence[int] | None = None, *, seed: int = 0) -> Opinion:
    """The yardstick: plain random forests on the physical inputs, with scikit-learn's own settings.

    Args:
        case: what is left out.
        inputs: columns to use; None = all inputs of the learned predictors.
        seed: of the forests.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    physicist = Physicist(case.book)
    lessons = Lessons.of(case.rated(DistanceOptions()), physicist, F1)
    worked = np.asarray([e.result.is_ok for e in [item.experience for item in case.rated(DistanceOptions())]])
    columns = list(range(lessons.rows.shape[1])) if inputs is None else list(inputs)
    train, test = _filled(lessons.rows[:, columns], _rows(case.judged, physicist)[:, columns])
    has_score = np.isfinite(lessons.quality)
    time = RandomForestRegressor(N_TREES, random_state=seed).fit(train[worked], lessons.log_time[worked])
    quality = RandomForestRegressor(N_TREES, random_state=seed).fit(train[has_score], lessons.quality[has_score])
    success = RandomForestClassifier(N_TREES, random_state=seed).fit(train, worked)
    chance = success.predict_proba(test)[:, list(success.classes_).index(True)]
    return Opinion(chance, quality.predict(test), time.predict(test), is_probability=True)


def _rows(experiences: Sequence[Experience], physicist: Physicist) -> Array:
    return np.asarray([physicist.row(e.result.pipeline, Setting.of(e)) for e in experiences], dtype=float)


def _filled(train: Array, test: Array) -> tuple[Array, Array]:
    """Unknown inputs replaced by their median in the training rows."""
    known = np.isfinite(train)
    medians = np.asarray([np.median(c[k]) if k.any() else 0.0 for c, k in zip(train.T, known.T, strict=True)])
    return np.where(known, train, medians), np.where(np.isfinite(test), test, medians)


def _named_as_published(case: LeftOut, rated: Sequence[Rated]) -> tuple[list[Rated], list[Pipeline], Space]:
    """Experiences and pipelines with the decisions that the published space has, and that space.

    There, encoders and generative models are trained by methods of different names, and all methods of one family share
    their distribution of models. Experiences of another kind of task share no such name, so that ours are kept.
    """
    rename = (lambda pipeline, kind: pipeline) if case.is_of_other_kind else _published_name
    renamed = [
        replace(
            item,
            experience=_with_pipeline(item.experience, rename(item.experience.result.pipeline, item.experience.kind)),
        )
        for item in rated
    ]
    judged = [rename(e.result.pipeline, e.kind) for e in case.judged]
    return renamed, judged, observed_space([*judged, *(item.experience.result.pipeline for item in renamed)])


def _published_name(pipeline: Pipeline, kind: str) -> Pipeline:
    try:
        method, model, params = published_form(pipeline, kind)
    except (KeyError, StopIteration):
        return pipeline  # not a published pipeline
    return Pipeline(model, method, params)


def _with_pipeline(experience: Experience, pipeline: Pipeline) -> Experience:
    return replace(experience, result=replace(experience.result, pipeline=pipeline))


def _log_probability(prior: Prior, judged: Sequence[Pipeline], cold: SearchModel, against_cold: bool) -> Opinion:
    warm = cold if prior.model is None else SearchModel.from_dict(prior.model)
    values = np.asarray([warm.log_probability(pipeline) for pipeline in judged], dtype=float)
    if against_cold:
        values -= np.asarray([cold.log_probability(pipeline) for pipeline in judged])
    return Opinion(values, values)


#: Name of a prior -> how it is asked.
PRIORS: Mapping[str, Callable[[LeftOut], Opinion]] = {
    "reference": lambda case: by_reference(case, ReferenceOptions()),
    "reference-gain": lambda case: by_reference(case, ReferenceOptions(), against_cold=True),
    "published-high": lambda case: by_reference(case, HIGH.options()),
    "published-high-gain": lambda case: by_reference(case, HIGH.options(), against_cold=True),
    "knn": lambda case: by_knn(case, KnnOptions(as_published=True)),
    "knn-repaired": lambda case: by_knn(case, KnnOptions()),
    "knn-repaired-gain": lambda case: by_knn(case, KnnOptions(), against_cold=True),
    "forest": lambda case: by_forest(case, PLAIN),
    "forest-all-inputs": by_forest,
    "learned": by_learned,
}
