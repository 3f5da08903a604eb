"""One recording as it is scored: every rating, and what was predicted of it, at the times of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.cards import ModelCard
from schemas.evaluation import Gold
from tasks.report.summary import ReportRow, Scores
from tasks.store.layout import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.postprocessing import Chain
    from tasks.evaluation.predictors import ModelPredictor, Pairs
    from tasks.evaluation.targets import Targets, TargetsOf

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """Predictions held against ratings. Series are NaN where there is no value.

    `columns` are what is scored, as the tables head them: raters, then gold standards. `ratings` `[rater, label]` are
    of all raters, scored or not, and of nobody where the corpus has a gold standard alone; `given`, `predicted` and
    `single` (of the single-frame model) are `[column, label]`. `delays` `[column]`: seconds that a prediction was moved
    later by. `lacks` is "" where the model predicted.
    """

    times: FloatArray
    raters: tuple[str, ...]
    ratings: FloatArray
    columns: tuple[str, ...]
    num_apart: int
    given: FloatArray
    predicted: FloatArray
    single: FloatArray
    delays: FloatArray
    lacks: str

    @property
    def averaged(self) -> slice:
        """The columns that a mean over raters is of."""
        return slice(0, self.num_apart)


class Holder:
    """Reads recordings as one protocol scores them: delays and post-processing are the evaluation's own."""

    def __init__(
        self, store: Store, scores: Scores, cards: Sequence[ModelCard], model: ReportRow, single: ReportRow | None
    ) -> None:
        """`cards` of the store's models; `model` and `single` are the rows whose predictions are read."""
        from tasks.evaluation.targets import targets_of

        gold: list[Gold] = [*(["none"] if scores.raters else []), *scores.golds]  # type: ignore[list-item]
        self._store, self._scores = store, scores
        self._targets_of: TargetsOf = targets_of(store, scores.dimension, gold)
        by_id = {card.model_id: card for card in cards}
        self._chains = _chains(store, model.model_id, scores.protocol)
        self._model = self._predictor(model.model_id, by_id, self._chains)
        self._single = None
        if single is not None:
            chains = _chains(store, single.model_id, scores.protocol)
            self._single = self._predictor(single.model_id, by_id, chains)

    def read(self, recording_id: str) -> Held | None:
        """One recording; None where it has nothing that is scored: no rater of the tables, and no gold standard."""
        import numpy as np

        targets = self._targets_of(recording_id)
        wanted = [(name, "rater", name) for name in self._scores.raters if name in targets.raters]
        num_apart = len(wanted)
        wanted += [(name, "gold", f"gold {name}") for name in self._scores.golds if name in targets.golds]
        if not wanted or not targets.times.size:
            return None
        pairs = self._model.pairs(targets)
        single = self._single.pairs(targets) if self._single else None
        given = [targets.rating(name) if kind == "rater" else targets.golds[name] for name, kind, _ in wanted]
        size = (len(wanted), targets.times.size)
        delays = {(e.column, str(e.target)): self._model.delay(e) for e in pairs.entries} if pairs else {}
        shifts = {name: chain.shift_seconds for name, chain in self._chains.items()}
        return Held(
            times=targets.times,
            raters=targets.raters,
            ratings=targets.ratings,
            columns=tuple(label for _, _, label in wanted),
            num_apart=num_apart if self._scores.raters else len(wanted),
            given=np.array(given).reshape(size),
            predicted=_rows(pairs, wanted, targets),
            single=_rows(single, wanted, targets),
            delays=np.array([delays.get((name, kind), 0.0) + shifts.get(name, 0.0) for name, kind, _ in wanted]),
            lacks="" if pairs else "no predictions of this recording in the store",
        )

    def _predictor(self, model_id: str, cards: Mapping[str, ModelCard], chains: Mapping[str, Chain]) -> ModelPredictor:
        from tasks.evaluation.predictors import ModelPredictor
        from tasks.evaluation.protocol import trained_delays

        delays = trained_delays(cards[model_id]) if model_id in cards else {}
        return ModelPredictor(self._store, model_id, self._scores.dimension, delays=delays, chains=chains)


def _chains(store: Store, model_id: str, protocol: str) -> Mapping[str, Chain]:
    """What the evaluation has fitted of a model's post-processing, by column."""
    from tasks.evaluation.chain import read_chain

    found = read_chain(store, model_id, protocol)
    return found.columns if found else {}


def _rows(pairs: Pairs | None, wanted: Sequence[tuple[str, str, str]], targets: Targets) -> FloatArray:
    """What was predicted of the wanted columns, NaN where nothing was: `[column, label]`."""
    import numpy as np

    found = np.full((len(wanted), targets.times.size), np.nan)
    if pairs is not None:
        at = {(entry.column, str(entry.target)): place for place, entry in enumerate(pairs.entries)}
        for row, (name, kind, _) in enumerate(wanted):
            if (name, kind) in at:
                found[row] = pairs.predicted[at[name, kind]]
    return found
