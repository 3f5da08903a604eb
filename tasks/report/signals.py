"""Everything that needs the series themselves, in one pass over the scored recordings, one in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.cards import ModelCard
from tasks.progress import track
from tasks.report.errors import Errors, ErrorSums
from tasks.report.held import Holder
from tasks.report.quality import Quality
from tasks.report.scatter import Scatter, ScatterSums
from tasks.report.summary import ReportRow, Scores, drawn_rows, recording_scores
from tasks.report.traces import Trace, bins_budget, make_trace, value_range
from tasks.store.layout import Store


@dataclass(frozen=True)
class RecordingScore:
    """One recording of the partition: scores averaged over raters (None where not defined), and its faces."""

    recording_id: str
    ccc: float | None
    rmse: float | None
    face_share: float | None
    longest_gap_seconds: float | None


@dataclass(frozen=True)
class Signals:
    """Curves of every scored recording; densities and errors of the first partition, where the headline is."""

    model_label: str
    single_label: str
    partition: str
    traces: tuple[Trace, ...]
    value_range: tuple[float, float]
    scatters: tuple[Scatter, ...]
    errors: Errors
    recordings: tuple[RecordingScore, ...]
    """Worst CCC first."""


def read_signals(
    store: Store,
    scores: Scores,
    rows: Sequence[ReportRow],
    qualities: Sequence[Quality],
    cards: Sequence[ModelCard],
    *,
    partition: str,
) -> Signals:
    """Read every recording of a scored partition once.

    Args:
        scores: of `rows`.
        qualities: of all recordings, in the order in which they are shown.
        cards: of the store's models.
        partition: whose errors and densities are told.
    """
    model, single = drawn_rows(rows)
    drawn = [quality for quality in qualities if quality.partition in scores.partitions]
    here = [quality for quality in drawn if quality.partition == partition]
    holder = Holder(store, scores, cards, model, single)
    errors = ErrorSums(partition, max((quality.duration_seconds for quality in here), default=0.0))
    densities = ScatterSums()
    ccc = recording_scores(scores, model.model_id, metric="ccc")
    num_series = 4 * (len(scores.raters) + len(scores.golds) + 1)
    num_bins = bins_budget(len(drawn), num_series)
    traces = []
    with track("report", len(drawn), "recordings") as bar:
        for quality in drawn:
            held = holder.read(quality.recording_id)
            if held is not None and quality.partition == partition:
                errors.add(held, None if quality.num_frames_decoded is None else quality.gaps)
                densities.add(held)
            traces.append(make_trace(held, quality, ccc=ccc, num_bins=num_bins))
            bar.advance()
    return Signals(
        model_label=model.label,
        single_label=single.label if single else "",
        partition=partition,
        traces=tuple(traces),
        value_range=value_range(traces),
        scatters=densities.told(),
        errors=errors.told(),
        recordings=_by_recording(scores, ccc, recording_scores(scores, model.model_id, metric="rmse"), here),
    )


_ByRecording = Mapping[tuple[str, str], float | None]


def _by_recording(
    scores: Scores, ccc: _ByRecording, rmse: _ByRecording, here: Sequence[Quality]
) -> tuple[RecordingScore, ...]:
    columns = scores.raters or tuple(f"gold {name}" for name in scores.golds)

    def mean(of: _ByRecording, name: str) -> float | None:
        known = [value for column in columns if (value := of.get((name, column))) is not None]
        return sum(known) / len(known) if known else None

    found = [
        RecordingScore(
            quality.recording_id,
            mean(ccc, quality.recording_id),
            mean(rmse, quality.recording_id),
            quality.face_share,
            quality.longest_gap_seconds,
        )
        for quality in here
    ]
    found.sort(key=lambda one: (one.ccc is None, one.ccc if one.ccc is not None else 0.0, one.recording_id))
    return tuple(found)
