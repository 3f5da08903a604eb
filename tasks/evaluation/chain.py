"""Post-processing chains: fitted on the selecting partition, stored beside the model's card, applied unchanged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from models.labels import median_step
from models.metrics import Moments, moments, stacked
from models.postprocessing import (
    COARSE_SHIFTS,
    MEDIAN_SECONDS,
    Chain,
    centred_and_scaled,
    choose,
    fine_shifts,
    partition_ccc,
)
from schemas.errors import StoreError, UnusableInputError
from schemas.evaluation import EvaluateSettings
from tasks.evaluation.gathering import aligned
from tasks.evaluation.predictors import Entry, ModelPredictor, chained, given_of, outputs
from tasks.evaluation.series import read_predictions
from tasks.evaluation.smoothing import median_filtered
from tasks.evaluation.targets import TargetsOf
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import stage_key, write_text

FloatArray = npt.NDArray[np.float64]

VERSION = 2


class ChainFile(BaseModel):
    """`postprocessing-PROTOCOL.json` beside a model's card: what was fitted, on whom, and to what it led.

    `key` says which predictions and ratings it was fitted on; `sha256` is of everything else, so that a changed file
    is noticed. `columns` are raters and gold standards.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    protocol: str
    dimension: str
    fitted_on: str
    pooling: Literal["concatenated", "per_recording"]
    recordings: tuple[str, ...]
    key: str
    columns: dict[str, Chain]
    sha256: str = ""

    def digest(self) -> str:
        """SHA-256 of everything but `sha256` itself."""
        return hashlib.sha256(self.model_dump_json(exclude={"sha256"}).encode()).hexdigest()


def chain_key(reads: Sequence[str], dimension: str, settings: EvaluateSettings) -> str:
    """Key of a fitted chain: the steps, the targets and what is read."""
    chosen = {name: settings.keyed()[name] for name in ("gold", "chain", "pooling", "selected_on", "delay")}
    return stage_key("chain", VERSION, {**chosen, "dimension": dimension}, sorted(reads))


def chain_path(store: Store, model_id: str, protocol: str) -> Path:
    """Where a model's chain under a protocol stands."""
    return store.model(model_id) / f"postprocessing-{protocol}.json"


def read_chain(store: Store, model_id: str, protocol: str) -> ChainFile | None:
    """The chain of a model under a protocol, None if it has none.

    Raises:
        StoreError: the file is damaged, or was changed by hand.
    """
    path = chain_path(store, model_id, protocol)
    if not path.exists():
        return None
    try:
        found = ChainFile.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise StoreError(f"{path}: damaged ({error}); delete it and evaluate again") from error
    if found.digest() != found.sha256:
        raise StoreError(f"{path}: sha256 {found.digest()}, expected {found.sha256}; delete it and evaluate again")
    return found


def write_chain(store: Store, chain: ChainFile) -> ChainFile:
    """Write a chain beside its model's card, with its hash."""
    chain = chain.model_copy(update={"sha256": chain.digest()})
    text = json.dumps(chain.model_dump(mode="json"), indent=2)
    write_text(chain_path(store, chain.model_id, chain.protocol), text + "\n")
    return chain


def fit_chains(
    store: Store,
    recordings: Sequence[Recording],
    model_id: str,
    targets_of: TargetsOf,
    predictor: ModelPredictor,
    settings: EvaluateSettings,
    *,
    dimension: str,
) -> dict[str, Chain]:
    """The chain of every column, fitted on the selecting partition alone. Recordings are read one after another.

    Args:
        store: predictions are read from it.
        recordings: those of the selecting partition that are rated.
        model_id: whose predictions.
        targets_of: reads what they are held against.
        predictor: without chains; it knows the delays.
        settings: which steps, and how the partition's CCC pools recordings.
        dimension: which ratings.

    Raises:
        UnusableInputError: no recording of the partition has both ratings and predictions.
    """
    fitting = _Fitting(store, recordings, model_id, targets_of, predictor, dimension)
    concatenated = settings.pooling[0] == "concatenated"
    widths = (0.0, *MEDIAN_SECONDS) if "median" in settings.chain else (0.0,)
    entries, of = fitting.moments(lambda _, values, step: _filtered(values, widths, step))
    if not entries:
        raise UnusableInputError(
            f"{model_id}: post-processing of protocol {settings.protocol} is fitted on {settings.selected_on}, where "
            "no recording has both ratings and predictions; predict these, or choose a protocol without a chain"
        )
    ccc = partition_ccc(of, concatenated=concatenated)  # [width, entry]
    chains = {}
    for at, entry in enumerate(entries):
        chain = Chain()
        if len(widths) > 1:
            chain = choose(chain, "median", widths[1:], float(ccc[0, at]), ccc[1:, at])
        of_chosen = of[:, widths.index(chain.median_seconds), at]
        chains[entry.column] = centred_and_scaled(chain, of_chosen, settings.chain, concatenated=concatenated)
    return _shifted(fitting, chains, concatenated=concatenated) if "shift" in settings.chain else chains


def _filtered(values: FloatArray, widths: Sequence[float], step_seconds: float) -> list[FloatArray]:
    """`values` [entry, frame] through a median filter of each width; 0 is none."""
    return [
        values if width == 0 else np.array([median_filtered(row, width, step_seconds=step_seconds) for row in values])
        for width in widths
    ]


def _shifted(fitting: _Fitting, chains: dict[str, Chain], *, concatenated: bool) -> dict[str, Chain]:
    """The chains with the best shift of each, in steps of .4 s and then of .04 s around the best of these.

    All shifts, and none, are judged on the same labels: those that have a prediction under every one of them. Else a
    longer shift would be spared the labels at the start, which it leaves without a prediction.
    """

    def ccc(shifts_of: _Shifts) -> tuple[tuple[Entry, ...], FloatArray]:
        entries, of = fitting.moments(
            lambda entries, values, step: [chained(values, [chains[e.column] for e in entries], step_seconds=step)],
            shifts_of,
        )
        return entries, partition_ccc(of, concatenated=concatenated)

    first = (0.0, *COARSE_SHIFTS)
    entries, coarse = ccc(lambda _: first)  # [shift, entry]
    best = np.argmax(np.nan_to_num(coarse[1:], nan=-2.0), axis=0)
    wanted = {entry: fine_shifts(COARSE_SHIFTS[at]) for entry, at in zip(entries, best, strict=True)}
    longest = max(map(len, wanted.values()))
    entries, fine = ccc(lambda entry: (*first, *wanted[entry], *[wanted[entry][-1]] * (longest - len(wanted[entry]))))
    found = dict(chains)
    for at, entry in enumerate(entries):
        own = fine[len(first) : len(first) + len(wanted[entry]), at]
        found[entry.column] = choose(chains[entry.column], "shift", wanted[entry], float(fine[0, at]), own)
    return found


_Variants = Callable[[tuple[Entry, ...], FloatArray, float], list[FloatArray]]
_Shifts = Callable[[Entry], Sequence[float]]


class _Fitting:
    """Passes over the selecting partition: variants of the predictions, and shifts of them, as moments."""

    def __init__(
        self,
        store: Store,
        recordings: Sequence[Recording],
        model_id: str,
        targets_of: TargetsOf,
        predictor: ModelPredictor,
        dimension: str,
    ) -> None:
        self._store, self._recordings, self._model_id = store, recordings, model_id
        self._targets_of, self._predictor, self._dimension = targets_of, predictor, dimension

    def moments(self, variants: _Variants, shifts_of: _Shifts = lambda _: (0.0,)) -> tuple[tuple[Entry, ...], Moments]:
        """Entries, and moments `[recording, variant and shift, entry]`; all of an entry's are over the same labels.

        Args:
            variants: from entries, `[entry, frame]` and the frames' step in seconds to as many forms of it.
            shifts_of: seconds that each form of an entry is moved later by, besides its delay; equally many of each.
        """
        parts = (self._of_one(recording.recording_id, variants, shifts_of) for recording in self._recordings)
        return aligned([part for part in parts if part is not None])

    def _of_one(
        self, recording_id: str, variants: _Variants, shifts_of: _Shifts
    ) -> tuple[tuple[Entry, ...], Moments] | None:
        predictions = read_predictions(self._store, self._model_id, recording_id, self._dimension)
        if predictions is None:
            return None
        targets = self._targets_of(recording_id)
        entries, values = outputs(predictions, targets)
        if not entries:
            return None
        forms = variants(entries, values, median_step(predictions.times))
        late = [*zip(*([self._predictor.delay(e) + shift for shift in shifts_of(e)] for e in entries), strict=True)]
        moved = [(form, delays) for form in forms for delays in late]
        given = given_of(targets, entries)

        def at_labels(form: FloatArray, delays: Sequence[float]) -> FloatArray:
            return self._predictor.at_labels(targets, predictions.times, form, delays)

        for one in moved:  # twice: what all of them give may be more than fits in memory
            given[np.isnan(at_labels(*one))] = np.nan
        return entries, stacked([moments(at_labels(*one), given) for one in moved])
