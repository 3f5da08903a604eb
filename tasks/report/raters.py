"""What raters say of each other: agreement, what looks wrong, how late each reacts. Read, never computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.cards import ModelCard
from schemas.score_tables import AGREEMENT_LAGS, DELAYS
from tasks.agreement.plan import agreement_path, findings_path, lags_path
from tasks.evaluation.protocol import delay_how, trained_delays
from tasks.report.drawing import Chart, line_chart
from tasks.report.summary import ReportRow
from tasks.report.words import number
from tasks.store.layout import Store
from tasks.store.parts import read_provenance, read_table

if TYPE_CHECKING:
    from tasks.agreement.told import Told

MAX_FINDINGS = 40
_OVERALL = (
    ("Mean pairwise CCC", "ccc", "pair"),
    ("Mean pairwise Pearson", "pearson", "pair"),
    ("Cronbach's alpha", "cronbach_alpha", "all"),
    ("ICC(2,k)", "icc_2k", "all"),
    ("Share of positive ratings", "share_positive", "all"),
)


@dataclass(frozen=True)
class HeatCell:
    """One pair of raters; `strength` -1 to 1 sets the colour, `text` the number."""

    text: str
    strength: float


@dataclass(frozen=True)
class Agreement:
    """The pooled agreement of all recordings."""

    num_recordings: int
    raters: tuple[str, ...]
    heat: tuple[tuple[HeatCell | None, ...], ...]
    """CCC of each pair, None on the diagonal."""
    pearson: tuple[tuple[HeatCell | None, ...], ...]
    by_rater: tuple[tuple[str, str, str, str], ...]
    """Rater; CCC and Pearson with the mean of the others; share of positive ratings."""
    overall: tuple[tuple[str, str, str], ...]
    """Figure; concatenated; mean over recordings."""
    findings: tuple[str, ...]
    num_findings: int
    stage_key: str


@dataclass(frozen=True)
class Delays:
    """The search for each rater's delay on one model's features: a curve for each rater."""

    features_model_id: str
    charts: tuple[Chart, ...]
    best: tuple[tuple[str, str, str], ...]
    """Rater; best delay, s; CCC out of fold there."""
    stage_key: str


@dataclass(frozen=True)
class TrainedDelay:
    """How late a model takes each rater to be: its label in the tables, where that comes from, seconds by rater."""

    label: str
    how: str
    seconds: tuple[str, ...]


def trained_delays_of(
    rows: Sequence[ReportRow], cards: Sequence[ModelCard], raters: Sequence[str]
) -> tuple[TrainedDelay, ...]:
    """Of each row that has a card, in the order of the rows; a rater that the model does not know has none."""
    by_id = {card.model_id: card for card in cards}
    found = []
    for row in rows:
        if (card := by_id.get(row.model_id)) is not None:
            known = trained_delays(card)
            seconds = tuple(number(known.get(rater), 1) for rater in raters)
            found.append(TrainedDelay(row.label, delay_how(card), seconds))
    return tuple(found)


def read_raters_agreement(store: Store, dimension: str, *, order: Sequence[str] = ()) -> Agreement | None:
    """What the agreement stage wrote of a dimension, raters in the `order` of the scores; None where it has not run."""
    if not findings_path(store, dimension).exists():
        return None
    from tasks.agreement.told import read_agreement

    told = read_agreement(store, dimension)
    raters = tuple(dict.fromkeys([*(name for name in order if name in told.raters), *told.raters]))
    by_rater = tuple(
        (
            rater,
            *(
                number(told.value(statistic, of, rater, "concatenated"))
                for statistic, of in (("ccc", "others"), ("pearson", "others"), ("share_positive", "rater"))
            ),
        )
        for rater in raters
    )
    overall = tuple(
        (name, *(number(told.value(statistic, of, None, way)) for way in ("concatenated", "per_recording")))
        for name, statistic, of in _OVERALL
    )
    messages = [_sentence(str(message)) for message in told.findings["message"].to_list()]
    said = read_provenance(agreement_path(store, dimension)) or {}
    return Agreement(
        num_recordings=told.recordings,
        raters=raters,
        heat=_heat(told, "ccc", raters),
        pearson=_heat(told, "pearson", raters),
        by_rater=by_rater,  # type: ignore[arg-type]
        overall=overall,  # type: ignore[arg-type]
        findings=tuple(messages[:MAX_FINDINGS]),
        num_findings=len(messages),
        stage_key=said.get("stage_key", ""),
    )


def _sentence(text: str) -> str:
    """A finding as it stands in prose."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def read_lags(store: Store, dimension: str) -> tuple[Chart, ...]:
    """Each rater's correlation with the others by lag, a panel each; () where the agreement stage has not run."""
    if not lags_path(store, dimension).exists():
        return ()
    rows = read_table(lags_path(store, dimension), AGREEMENT_LAGS).to_pylist()
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        curves.setdefault(row["rater"], [])
        if row["pearson"] is not None:
            curves[row["rater"]].append((row["lag_seconds"], row["pearson"]))
    return _panels(curves, "Pearson with the mean of the others, by lag in seconds")


def read_delays(store: Store, model_ids: Sequence[str], dimension: str) -> tuple[Delays, ...]:
    """The searches on the features of these models; those that were never searched are left out."""
    found = []
    for model_id in dict.fromkeys(model_ids):
        path = store.delay(model_id, dimension)
        if path.exists():
            found.append(_delays(read_table(path, DELAYS).to_pylist(), model_id, read_provenance(path) or {}))
    return tuple(found)


def _delays(rows: Sequence[dict[str, object]], model_id: str, said: dict[str, str]) -> Delays:
    curves: dict[str, list[tuple[float, float]]] = {}
    best = []
    for row in rows:
        rater, delay, ccc = str(row["rater"]), float(str(row["delay_seconds"])), row["ccc"]
        curves.setdefault(rater, [])
        if ccc is not None:
            curves[rater].append((delay, float(str(ccc))))
        if row["is_best"]:
            best.append((rater, number(delay, 1), number(None if ccc is None else float(str(ccc)))))
    return Delays(
        model_id, _panels(curves, "CCC out of fold, by delay in seconds"), tuple(best), said.get("stage_key", "")
    )


def _panels(curves: dict[str, list[tuple[float, float]]], what: str) -> tuple[Chart, ...]:
    """A panel for each curve, all on one scale, the highest point marked."""
    every = [point for points in curves.values() for point in points]
    if not every:
        return ()
    span = min(x for x, _ in every), max(x for x, _ in every)
    low, high = min(0.0, *(y for _, y in every)), max(0.1, *(y for _, y in every))
    margin = 0.06 * (high - low)
    charts = []
    for rater, points in curves.items():
        best = max(points, key=lambda point: point[1], default=None)
        told = "not defined" if best is None else f"highest {number(best[1])} at {number(best[0], 1)} s"
        charts.append(
            line_chart(
                rater,
                [("prediction", points)],
                x_range=span,
                y_range=(low - margin, high + margin),
                note=told,
                alt=f"{rater}: {what}; {told}",
                mark=None if best is None else best[0],
            )
        )
    return tuple(charts)


def _heat(told: Told, statistic: str, raters: Sequence[str]) -> tuple[tuple[HeatCell | None, ...], ...]:
    """The pooled pairs as a square, mirrored."""
    import polars as pl

    rows = told.rows.filter(
        (pl.col("statistic") == statistic)
        & (pl.col("of") == "pair")
        & (pl.col("pooling") == "concatenated")
        & pl.col("rater").is_not_null()
    )
    pairs = {frozenset((row["rater"], row["other"])): row["value"] for row in rows.to_dicts()}

    def cell(first: str, second: str) -> HeatCell | None:
        if first == second:
            return None
        value = pairs.get(frozenset((first, second)))
        return HeatCell(number(value, 2), 0.0 if value is None else max(-1.0, min(1.0, value)))

    return tuple(tuple(cell(first, second) for second in raters) for first in raters)
