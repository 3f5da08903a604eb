"""Tables of scores against the metrics that were written."""

from __future__ import annotations

import shutil
import statistics

import pyarrow as pa
import pytest

from schemas.errors import StoreError
from schemas.score_tables import METRICS
from tasks.evaluation.plan import metrics_path
from tasks.report.summary import (
    METRIC_NAMES,
    POOLINGS,
    Metric,
    Pooling,
    ReportRow,
    ScoreTable,
    score_table,
)
from tasks.store.parts import Provenance, read_table, write_part

from .conftest import RATERS, ROWS, Build, FakeStore


def table_of(
    fake: FakeStore, *, partition: str = "test", pooling: Pooling = "concatenated", metric: Metric = "ccc"
) -> ScoreTable:
    return score_table(fake.store, fake.rows, partition=partition, pooling=pooling, metric=metric, protocol="per-rater")


@pytest.mark.parametrize("pooled_means", [True, False])
def test_every_value_is_what_the_evaluation_wrote(build: Build, pooled_means: bool) -> None:
    fake = build(pooled_means=pooled_means)
    for partition in ("test", "dev"):
        for pooling in POOLINGS:
            for metric in METRIC_NAMES:
                table = table_of(fake, partition=partition, pooling=pooling, metric=metric)
                assert table.raters == RATERS
                for row in table.rows:
                    for rater, score in zip(table.raters, row.scores, strict=True):
                        expected = _expected(fake, row.model_id, partition, pooling, metric, rater)
                        assert score.value == (None if expected is None else pytest.approx(expected, abs=1e-12))
                        assert score.is_scored


def _expected(fake: FakeStore, model: str, partition: str, pooling: str, metric: str, rater: str) -> float | None:
    if pooling == "concatenated":
        return fake.metrics[model, partition, pooling, metric, None, rater]
    single = [
        value
        for (m, p, _, k, recording, r), value in fake.metrics.items()
        if (m, p, k, r) == (model, partition, metric, rater) and recording is not None and value is not None
    ]
    return statistics.fmean(single) if single else None


def test_mean_is_over_raters_and_keeps_the_roles(build: Build) -> None:
    table = table_of(build())
    assert [row.role for row in table.rows] == [row.role for row in ROWS]
    first = table.rows[0]
    assert first.mean == pytest.approx(statistics.fmean(value for value in first.values if value is not None))
    assert (table.protocol, table.num_recordings, first.num_defined) == ("per-rater", 2, 6)


def test_degenerate_values_are_none_and_leave_the_mean_none(build: Build) -> None:
    row = table_of(build(), metric="cc").rows[2]
    assert row.values == (None,) * 6
    assert row.mean is None


def test_recordings_left_out_of_a_mean_are_counted(build: Build) -> None:
    curve = table_of(build(), pooling="per_recording", metric="cc").rows[3]
    assert [score.num_left_out for score in curve.scores] == [1] * 6


def test_a_rater_that_one_row_lacks_is_not_scored(build: Build) -> None:
    fake = build()
    path = metrics_path(fake.store, ROWS[1].model_id, "per-rater")
    kept = [row for row in read_table(path, METRICS).to_pylist() if row["rater"] != "FF2"]
    write_part(path, pa.Table.from_pylist(kept, schema=METRICS), Provenance(stage="evaluate", stage_key="k"))
    scores = table_of(fake).rows[1].scores
    assert [score.is_scored for score in scores] == [True, True, True, True, False, True]


def test_missing_metrics_name_what_to_run(build: Build) -> None:
    fake = build()
    rows = (*ROWS, ReportRow("khorrami-rnn-ffffffff", "Another", "model"))
    with pytest.raises(StoreError, match=r"khorrami-rnn-ffffffff.*affectflow evaluate --store"):
        score_table(fake.store, rows, partition="test", pooling="concatenated", metric="ccc", protocol="per-rater")


def test_an_unscored_partition_names_the_scored_ones(build: Build) -> None:
    with pytest.raises(StoreError, match=r"'train', only on test, dev"):
        table_of(build(), partition="train")


def test_a_dimension_has_files_of_its_own(build: Build) -> None:
    fake = build()

    def of_arousal() -> None:
        score_table(
            fake.store,
            fake.rows,
            partition="test",
            pooling="concatenated",
            metric="ccc",
            protocol="per-rater",
            dimension="arousal",
        )

    with pytest.raises(StoreError, match=r"per-rater\.arousal\.parquet: no metrics"):
        of_arousal()
    for row in fake.rows:  # a file that holds another dimension than its name says is never shown as its own
        valence = metrics_path(fake.store, row.model_id, "per-rater")
        shutil.copy(valence, metrics_path(fake.store, row.model_id, "per-rater", "arousal"))
    with pytest.raises(StoreError, match=r"'arousal', found valence"):
        of_arousal()


def test_no_rows_is_an_error(build: Build) -> None:
    with pytest.raises(StoreError, match="no rows"):
        score_table(build().store, (), partition="test", pooling="concatenated", metric="ccc", protocol="per-rater")


def test_two_protocols_are_never_one_table(build: Build) -> None:
    fake = build()
    path = metrics_path(fake.store, ROWS[1].model_id, "per-rater")
    rows = [{**row, "protocol": "avec2018"} for row in read_table(path, METRICS).to_pylist()]
    write_part(path, pa.Table.from_pylist(rows, schema=METRICS), Provenance(stage="evaluate", stage_key="k"))
    with pytest.raises(StoreError, match=r"scores under avec2018, per-rater where per-rater"):
        table_of(fake)


def test_a_score_written_twice_is_an_error(build: Build) -> None:
    fake = build()
    path = metrics_path(fake.store, ROWS[0].model_id, "per-rater")
    rows = read_table(path, METRICS).to_pylist()
    write_part(path, pa.Table.from_pylist(rows * 2, schema=METRICS), Provenance(stage="evaluate", stage_key="k"))
    with pytest.raises(StoreError, match="2 scores where one was expected"):
        table_of(fake)
