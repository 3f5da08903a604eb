"""Score predictions against raters and gold standards, by the protocol in the settings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pyarrow as pa

from models.postprocessing import Chain
from schemas.cards import ModelCard
from schemas.errors import UnusableInputError
from schemas.evaluation import EvaluateSettings, Partition
from schemas.score_tables import METRICS
from tasks.evaluation.chain import ChainFile, chain_key, chain_path, fit_chains, read_chain, write_chain
from tasks.evaluation.fusions import GoldTold, fusions_table, told
from tasks.evaluation.gathering import Gathered, gather
from tasks.evaluation.leaks import check
from tasks.evaluation.plan import (
    FUSIONS,
    HUMAN,
    STAGE,
    TRIVIAL,
    evaluation_key,
    fusions_are_current,
    fusions_key,
    metrics_path,
    targets_key,
)
from tasks.evaluation.predictors import HumanPredictor, ModelPredictor, Predictor, TrivialPredictor
from tasks.evaluation.protocol import describe, trained_delays
from tasks.evaluation.rows import metrics_table
from tasks.evaluation.targets import TargetsOf, targets_of
from tasks.ingest.recordings import Recording, gold_standard_alone
from tasks.prediction.plan import stored_predictions_key
from tasks.progress import track
from tasks.store.cards import read_cards
from tasks.store.layout import Store
from tasks.store.parts import Provenance, is_current, remove, write_part


def evaluate(
    store: Store, recordings: Sequence[Recording], model_ids: Sequence[str], dimension: str, settings: EvaluateSettings
) -> list[str]:
    """Write the metrics of models and other predictors that are missing or stale.

    Args:
        store: predictions and ratings are read from it; metrics, post-processing chains and how gold standards were
            fused are written to it.
        recordings: all recordings.
        model_ids: which models; those of `plan.TRIVIAL` and `plan.HUMAN` name what needs no predictions.
        dimension: which ratings.
        settings: the protocol.

    Returns: ids whose metrics were written.

    Raises:
        LeakError: a score would be of what was fitted or selected on the same recordings or people.
        UnusableInputError: nothing can be scored: no rated recording in the scored partitions has predictions.
    """
    paths = {model_id: metrics_path(store, model_id, settings.protocol, dimension) for model_id in model_ids}
    keys = {model_id: evaluation_key(store, recordings, model_id, dimension, settings) for model_id in model_ids}
    stale = [model_id for model_id in model_ids if not is_current(paths[model_id], keys[model_id])]
    evaluation = Evaluation(store, recordings, dimension, settings)
    evaluation.check(model_ids)
    if not fusions_are_current(store, recordings, dimension, settings):
        path = store.fusions(dimension, settings.protocol)
        if settings.fusions:
            key = fusions_key(store, recordings, dimension, settings)
            write_part(path, evaluation.fusions, Provenance(stage=FUSIONS, stage_key=key))
        else:
            remove(path)
    with track("evaluating", len(stale), "models") as bar:
        for model_id in stale:
            table = evaluation.table(model_id)
            write_part(paths[model_id], table, Provenance(stage=STAGE, stage_key=keys[model_id]))
            remove(paths[model_id].with_name("metrics.parquet"))  # of schema 1.1, when there was one protocol
            bar.advance()
    return stale


def gold_standards(
    store: Store, recordings: Sequence[Recording], dimension: str, settings: EvaluateSettings
) -> tuple[GoldTold, ...]:
    """How the gold standards of a protocol are fused on the scored partitions; () where it has none."""
    return told(Evaluation(store, recordings, dimension, settings).fusions)


class Evaluation:
    """A store under a protocol: who predicts what, held against which targets."""

    def __init__(
        self, store: Store, recordings: Sequence[Recording], dimension: str, settings: EvaluateSettings
    ) -> None:
        self._store, self._dimension, self._settings = store, dimension, settings
        self._recordings = list(recordings)
        self._rated = [r for r in recordings if targets_key(store, r.recording_id, dimension, settings) is not None]
        self._cards = {card.model_id: card for card in read_cards(store)}
        self._targets_of: TargetsOf = targets_of(store, dimension, settings.gold)

    def check(self, model_ids: Sequence[str]) -> None:
        """Refuse leaks, and delays that the protocol does not have."""
        cards = [self._cards[name] for name in model_ids if name in self._cards]
        behind = [card.features_model_id for card in cards if card.features_model_id is not None]
        read = [self._cards[name] for name in behind if name in self._cards]
        check(self._recordings, list({card.model_id: card for card in (*cards, *read)}.values()), self._settings)
        describe(self._settings, cards)

    @cached_property
    def fusions(self) -> pa.Table:
        """How the gold standards of the scored partitions were fused."""
        partitions = self._settings.scored_on if self._settings.fusions else ()
        scored = [recording for partition in partitions for recording in self._in(partition)]
        return fusions_table(scored, self._targets_of, self._settings, self._dimension)

    @cached_property
    def _fallbacks(self) -> dict[tuple[str, str], str]:
        """By recording and gold standard, why the plain mean stands there instead."""
        return {(name, one.name): why for one in told(self.fusions) for name, why in one.fallbacks}

    def table(self, model_id: str) -> pa.Table:
        """The metrics of one model or other predictor; no rows of people where nobody has another to agree with."""
        shared = {"model_id": model_id, "protocol": self._settings.protocol, "dimension": self._dimension}
        fallbacks = {} if model_id in HUMAN else self._fallbacks  # people: held against gold standards of the others
        tables = [
            metrics_table(
                {**shared, "partition": partition, "protocol_line": self.line([model_id], partition)},
                gathered,
                self._settings,
                fallbacks,
            )
            for partition, gathered in self.gathered(model_id).items()
        ]
        return pa.concat_tables(tables) if tables else METRICS.empty_table()

    def line(self, model_ids: Sequence[str], partition: Partition) -> str:
        """The protocol in words, for scores on one partition."""
        only = self._settings.model_copy(update={"scored_on": (partition,)})
        return describe(only, [self._cards[name] for name in model_ids if name in self._cards])

    def gathered(self, model_id: str) -> dict[Partition, Gathered]:
        """Moments of one model or other predictor by partition.

        Raises:
            UnusableInputError: none of the scored partitions has a recording with ratings and predictions. People may
                have nothing to say: a single rater, or one other where no rater is a target.
        """
        predictor = self._predictor(model_id)
        found: dict[Partition, Gathered] = {}
        for partition in self._settings.scored_on:
            one = gather(self._in(partition), predictor, self._targets_of)
            if one is not None:
                found[partition] = one
        if not found and model_id not in HUMAN:
            raise UnusableInputError(
                f"{model_id}: nothing to score: no recording of {', '.join(self._settings.scored_on)} has both "
                f"{self._wanted()} and predictions (protocol {self._settings.protocol}); check the partitions, run the "
                "predict stage, or choose another protocol"
            )
        return found

    def _wanted(self) -> str:
        """What a recording is scored against, and which have something else."""
        if "corpus" in self._settings.gold:
            return "a gold standard of the corpus" if len(self._settings.gold) == 1 else "ratings or a gold standard"
        scored = [one for one in self._recordings if one.partition in self._settings.scored_on]
        alone = gold_standard_alone(self._store, scored, self._dimension)
        if not alone:
            return "ratings"
        return f'ratings ({alone}: a gold standard of the corpus alone, which gold = ["corpus"] scores)'

    def _in(self, partition: str) -> list[Recording]:
        return [recording for recording in self._rated if recording.partition == partition]

    def _predictor(self, model_id: str) -> Predictor:
        if model_id in TRIVIAL:
            return TrivialPredictor(model_id, (self._targets_of(r.recording_id) for r in self._in("train")))
        if model_id in HUMAN:
            return HumanPredictor(model_id, self._settings.fusions)
        card = self._cards.get(model_id)
        if card is None:  # predictions from elsewhere, such as a ceiling: as they are
            return ModelPredictor(self._store, model_id, self._dimension, delays={}, chains={})
        raw = ModelPredictor(self._store, model_id, self._dimension, delays=trained_delays(card), chains={})
        return raw.with_chains(self._chains(card, raw))

    def _chains(self, card: ModelCard, predictor: ModelPredictor) -> dict[str, Chain]:
        """The stored chains of a model, fitted anew where what they were fitted on has changed."""
        settings, store, dimension, model_id = self._settings, self._store, self._dimension, card.model_id
        if not settings.chain:
            remove(chain_path(store, model_id, settings.protocol))  # what an earlier form of the protocol had fitted
            return {}
        fitted_on = [
            (recording, f"{name}:{targets_key(store, name, dimension, settings)}:{predicted}")
            for recording, name in ((one, one.recording_id) for one in self._in(settings.selected_on))
            if (predicted := stored_predictions_key(store, model_id, name)) is not None
        ]
        key = chain_key([read for _, read in fitted_on], self._dimension, settings)
        found = read_chain(store, model_id, settings.protocol)
        if found is None or found.key != key:
            recordings = [recording for recording, _ in fitted_on]
            columns = fit_chains(
                store, recordings, model_id, self._targets_of, predictor, settings, dimension=self._dimension
            )
            found = write_chain(
                store,
                ChainFile(
                    model_id=model_id,
                    protocol=settings.protocol,
                    dimension=self._dimension,
                    fitted_on=settings.selected_on,
                    pooling=settings.pooling[0],
                    recordings=tuple(recording.recording_id for recording in recordings),
                    key=key,
                    columns=columns,
                ),
            )
        return found.columns
