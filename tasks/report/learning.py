"""Learning curves: loss and CCC of the selecting partition by epoch, of every model of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.cards import EpochRecord, ModelCard
from tasks.report.drawing import Chart, line_chart
from tasks.report.summary import ReportRow
from tasks.report.words import count, number

if TYPE_CHECKING:
    from tasks.report.drawing import Points


@dataclass(frozen=True)
class Learning:
    """One model: its loss on the training partition and its CCC where the epoch was selected."""

    label: str
    model_id: str
    charts: tuple[Chart, ...]
    summary: str


def learning_of(rows: Sequence[ReportRow], cards: Sequence[ModelCard]) -> tuple[Learning, ...]:
    """Of each row that was trained here, in the order of the rows."""
    by_id = {card.model_id: card for card in cards}
    return tuple(_learning(row, by_id[row.model_id]) for row in rows if row.model_id in by_id)


def _learning(row: ReportRow, card: ModelCard) -> Learning:
    losses = _series(card, "train_loss")
    scores = _series(card, "dev_ccc")
    where = f"CCC on {card.selected_on}"
    charts = (
        _chart("Training loss (MSE)" if _is_mse(card) else "Training loss", losses, card),
        _chart(where, scores, card),
    )
    kept = f"Epoch {card.best_epoch + 1} of {count(len(card.history), 'epoch').split()[0]} was kept"
    summary = (
        f"{kept}, with the best mean CCC on {card.selected_on}, {number(card.dev_ccc)}. It was selected there, so it "
        "is no result"
    )
    return Learning(row.label, row.model_id, charts, summary)


def _is_mse(card: ModelCard) -> bool:
    return str(card.settings.get("loss", "mse")) == "mse"


def _series(card: ModelCard, name: str) -> list[tuple[str, Points]]:
    """A thin curve for each rater with a network of their own, then that of all."""

    def points(history: Sequence[EpochRecord]) -> Points:
        return [(record.epoch + 1.0, float(getattr(record, name))) for record in history]

    return [*(("rater", points(one)) for one in card.history_by_rater.values()), ("prediction", points(card.history))]


def _chart(title: str, series: Sequence[tuple[str, Points]], card: ModelCard) -> Chart:
    every = [y for _, points in series for _, y in points]
    low, high = min(every), max(every)
    margin = 0.06 * (high - low) or 0.05
    last = series[-1][1][-1][1]
    return line_chart(
        title,
        series,
        x_range=(1.0, max(2.0, float(len(card.history)))),
        y_range=(low - margin, high + margin),
        note=f"last {number(last)}",
        alt=f"{title} of {card.name} by epoch, {count(len(card.history), 'epoch')}: from "
        f"{number(series[-1][1][0][1])} to {number(last)}",
        mark=card.best_epoch + 1.0,
    )
