"""Agreement as a person reads it: a line for each rater, the figures of all together, and what looks wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.score_tables import AGREEMENT, AGREEMENT_FINDINGS
from tasks.agreement.plan import agreement_path, findings_path
from tasks.store.layout import Store
from tasks.store.parts import read_table

MAX_FINDINGS = 20
"""Findings printed; further ones are counted, and all stand in the store."""

_COLUMNS = (("pearson", "others"), ("ccc", "others"), ("share_positive", "rater"))
_OVERALL = (
    ("mean pairwise Pearson", "pearson", "pair"),
    ("mean pairwise CCC", "ccc", "pair"),
    ("Cronbach's alpha", "cronbach_alpha", "all"),
    ("ICC(2,k)", "icc_2k", "all"),
    ("share positive", "share_positive", "all"),
)


@dataclass(frozen=True)
class Told:
    """The agreement of one dimension; `rows` are those of `schemas.score_tables.AGREEMENT`, pooled ones alone."""

    dimension: str
    recordings: int
    rows: pl.DataFrame
    findings: pl.DataFrame

    def value(self, statistic: str, of: str, rater: str | None, pooling: str) -> float | None:
        """One figure; None where it is not defined. With `rater` None: of all of them."""
        named = pl.col("rater").is_null() if rater is None else (pl.col("rater") == rater) & pl.col("other").is_null()
        wanted = (pl.col("statistic") == statistic) & (pl.col("of") == of) & (pl.col("pooling") == pooling) & named
        found = self.rows.filter(wanted)["value"]
        return None if found.is_empty() or found[0] is None else float(found[0])

    @property
    def raters(self) -> list[str]:
        """In the order of their names."""
        return sorted(self.rows.filter(pl.col("of") == "rater")["rater"].unique().to_list())

    def as_json(self) -> dict[str, Any]:
        """For machines: by rater, overall, and the findings."""
        return {
            "dimension": self.dimension,
            "recordings": self.recordings,
            "raters": {
                rater: {
                    f"{statistic}_{'with_others' if of == 'others' else ''}".rstrip("_"): self.value(
                        statistic, of, rater, "concatenated"
                    )
                    for statistic, of in _COLUMNS
                }
                for rater in self.raters
            },
            "overall": {
                pooling: {f"{statistic}": self.value(statistic, of, None, pooling) for _, statistic, of in _OVERALL}
                for pooling in ("concatenated", "per_recording")
            },
            "findings": self.findings.drop("dimension").to_dicts(),
        }

    def as_text(self) -> str:
        """For people, as plain text."""
        width = max(24, *(len(rater) for rater in self.raters)) if self.raters else 24
        lines = [
            f"agreement on {self.dimension}: {len(self.raters)} raters, {self.recordings} recordings",
            "",
            f"{'':{width}}  Pearson    CCC  share",
            f"{'rater, with the others':{width}}                positive",
        ]
        for rater in self.raters:
            cells = [_cell(self.value(statistic, of, rater, "concatenated")) for statistic, of in _COLUMNS]
            lines.append(f"{rater:{width}}  {cells[0]:>7} {cells[1]:>6} {cells[2]:>6}")
        lines += ["", f"{'all raters':{width}}  concatenated  per recording"]
        for name, statistic, of in _OVERALL:
            pooled, mean = (
                _cell(self.value(statistic, of, None, pooling)) for pooling in ("concatenated", "per_recording")
            )
            lines.append(f"{name:{width}}  {pooled:>12}  {mean:>13}")
        return "\n".join([*lines, "", *self._findings_text()])

    def _findings_text(self) -> list[str]:
        messages = self.findings["message"].to_list()
        if not messages:
            return ["nothing looks wrong with a rater"]
        more = [f"and {len(messages) - MAX_FINDINGS} more: S/agreement/{self.dimension}/findings.parquet"]
        told = [f"- {message}" for message in messages[:MAX_FINDINGS]]
        return [
            "look at these (nothing is dropped because of it):",
            *told,
            *(more if len(messages) > MAX_FINDINGS else []),
        ]


def read_agreement(store: Store, dimension: str) -> Told:
    """What the stage wrote.

    Raises:
        StoreError: it has not run for this dimension.
    """
    table = pl.DataFrame(read_table(agreement_path(store, dimension), AGREEMENT))
    recordings = table["recording_id"].n_unique() - 1  # null is the pool
    findings = pl.DataFrame(read_table(findings_path(store, dimension), AGREEMENT_FINDINGS))
    pooled = findings.filter(pl.col("recording_id").is_null())
    ordered = pl.concat([pooled, findings.filter(pl.col("recording_id").is_not_null())])
    return Told(dimension, recordings, table.filter(pl.col("pooling") != "recording"), ordered)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
