"""What is drawn is what is scored: delays and post-processing included, against the evaluation's own metrics."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from schemas.evaluation import EvaluateSettings
from schemas.score_tables import FUSIONS, METRICS
from tasks.evaluation.chain import read_chain
from tasks.evaluation.fusions import read_fusions
from tasks.evaluation.plan import metrics_path
from tasks.evaluation.stage import evaluate
from tasks.ingest.ratings import RatingTraces
from tasks.ingest.recordings import read_recordings
from tasks.report.cards import read_shown_card
from tasks.report.held import Held, Holder
from tasks.report.plan import inputs_digest
from tasks.report.quality import read_quality
from tasks.report.signals import read_signals
from tasks.report.stage import write_report
from tasks.report.summary import read_scores
from tasks.store.cards import read_card, read_cards
from tasks.store.parts import Provenance, read_table, write_part

from .conftest import RATERS, ROWS, Build, FakeStore

MODEL = ROWS[0].model_id


def evaluated(fake: FakeStore, settings: EvaluateSettings) -> list[Held]:
    """The test recordings as the report reads them, after a real evaluation of a model with a delay for each rater."""
    rows = [ROWS[0], ROWS[1]]
    late = {rater: round(0.04 * turn, 2) for turn, rater in enumerate(RATERS)}
    for row, delay in zip(rows, (late, 0.0), strict=True):
        card = read_card(fake.store, row.model_id)
        settings_of = {**card.settings, "label_delay_seconds": delay}
        known = {"settings": settings_of, "train_recordings": (), "dev_recordings": ()}  # nobody whom the store lacks
        path = fake.store.model(row.model_id) / "card.json"
        path.write_text(card.model_copy(update=known).model_dump_json(), encoding="utf-8")
    recordings = read_recordings(fake.store)
    evaluate(fake.store, recordings, [row.model_id for row in rows], "valence", settings)
    scores = read_scores(fake.store, rows, dimension="valence", protocol=settings.protocol)
    holder = Holder(fake.store, scores, read_cards(fake.store), rows[0], rows[1])
    found = [holder.read(one.recording_id) for one in recordings if one.partition == "test"]
    return [held for held in found if held is not None]


@pytest.mark.parametrize("chain", [(), ("median", "centre", "scale", "shift")])
def test_errors_of_what_is_drawn_are_the_metrics(build: Build, chain: tuple[str, ...]) -> None:
    fake = build(num_frames=1500)
    chosen = {"protocol": "tried", "chain": chain, "replicates": 100}
    settings = EvaluateSettings.model_validate(chosen)
    held = evaluated(fake, settings)
    table = pl.DataFrame(read_table(metrics_path(fake.store, MODEL, "tried"), METRICS)).filter(
        (pl.col("pooling") == "concatenated") & pl.col("recording_id").is_null() & (pl.col("metric") == "rmse")
    )
    assert held[0].columns == (*RATERS, "gold ewe")
    for row, column in enumerate(held[0].columns):
        error = np.concatenate([one.predicted[row] - one.given[row] for one in held])
        error = error[~np.isnan(error)]
        told = table.filter(pl.col("rater") == column.removeprefix("gold ")).row(0, named=True)
        assert told["n"] == len(error)
        assert told["value"] == pytest.approx(float(np.sqrt(np.mean(error**2))), abs=1e-12)
    stored = read_chain(fake.store, MODEL, "tried")
    shifts = {} if stored is None else {name: one.shift_seconds for name, one in stored.columns.items()}
    expected = [0.04 * turn + shifts.get(rater, 0.0) for turn, rater in enumerate(RATERS)]
    np.testing.assert_allclose(held[0].delays[:6], expected, atol=1e-9)
    assert bool(chain) == (stored is not None)
    shown = dict(read_shown_card(fake.store, ROWS[0], "tried").provenance)
    assert shown.get("post-processing sha256") == (None if stored is None else stored.sha256)


def test_a_protocol_of_gold_standards_alone_has_no_rater_columns(build: Build) -> None:
    fake = build()
    settings = EvaluateSettings.model_validate({"protocol": "fused", "gold": ("mean",), "chain": (), "replicates": 100})
    held = evaluated(fake, settings)[0]
    assert (held.columns, held.num_apart, held.raters) == (("gold mean",), 1, RATERS)
    np.testing.assert_allclose(held.given[0], held.ratings.mean(axis=0), atol=1e-12)


def test_recordings_with_a_gold_standard_alone_are_drawn(build: Build) -> None:
    """As a corpus ships its test partition: traces, scatter and errors are of what was scored."""
    fake = build(num_frames=500)
    times, rng = np.arange(500) / 25, np.random.default_rng(4)
    for name in ("P13", "P14"):
        fake.store.ratings(name).unlink()
        gold = RatingTraces(times, rng.uniform(-0.5, 0.5, (500, 1)), ("GoldStandard",), (-1, 1))
        table = gold.gold_table(name, "valence")
        write_part(fake.store.gold_standards(name), table, Provenance(stage="gold_standards", stage_key=f"k-{name}"))
    settings = EvaluateSettings.model_validate({"protocol": "alone", "gold": ("corpus",), "chain": ()})
    held = evaluated(fake, settings)
    assert [(one.columns, one.num_apart, one.raters) for one in held] == [(("gold corpus",), 1, ())] * 2
    error = np.concatenate([one.predicted[0] - one.given[0] for one in held])
    error = error[~np.isnan(error)]
    table = pl.DataFrame(read_table(metrics_path(fake.store, MODEL, "alone"), METRICS)).filter(
        (pl.col("pooling") == "concatenated") & pl.col("recording_id").is_null() & (pl.col("metric") == "rmse")
    )
    assert table.select("rater", "n").row(0) == ("corpus", len(error))
    assert table["value"].item() == pytest.approx(float(np.sqrt(np.mean(error**2))), abs=1e-12)

    before = inputs_digest(fake.store, ROWS[:2], protocol="alone", dimension="valence")
    scores = read_scores(fake.store, ROWS[:2], dimension="valence", protocol="alone")
    qualities = [read_quality(fake.store, one) for one in read_recordings(fake.store)]
    signals = read_signals(fake.store, scores, ROWS[:2], qualities, read_cards(fake.store), partition="test")
    assert [(one.shown, one.missing) for one in signals.traces] == [(("gold corpus",), "")] * 2
    assert all(np.isfinite(one.glance.rating).any() for one in signals.traces)
    assert [(one.column, one.n) for one in signals.scatters] == [("gold corpus", len(error))]
    assert sum(one.n for one in signals.errors.by_time) == len(error)
    files = write_report(fake.store, rows=ROWS[:2], title="t", protocol="alone", protocol_name="alone")
    assert "gold corpus: rating and prediction over" in files.html.read_text(encoding="utf-8")
    fake.store.gold_standards("P13").unlink()
    assert inputs_digest(fake.store, ROWS[:2], protocol="alone", dimension="valence") != before


def test_a_gold_standard_is_no_rater_where_raters_are_scored(build: Build) -> None:
    """One recording has raters, the other a gold standard alone: its errors stay out of those of raters."""
    fake = build(num_frames=500)
    fake.store.ratings("P13").unlink()
    gold = RatingTraces(np.arange(500) / 25, np.full((500, 1), 0.1), ("GoldStandard",), (-1, 1))
    part = fake.store.gold_standards("P13")
    write_part(part, gold.gold_table("P13", "valence"), Provenance(stage="gold_standards", stage_key="k"))
    settings = EvaluateSettings.model_validate({"protocol": "both", "gold": ("none", "ewe", "corpus"), "chain": ()})
    alone, rated = evaluated(fake, settings)
    assert (alone.columns, alone.num_apart) == (("gold corpus",), 0)
    assert (rated.columns[:6], rated.num_apart) == (RATERS, 6)
    assert set(rated.columns[6:]) == {"gold ewe", "gold corpus"}
    write_report(fake.store, rows=ROWS[:2], title="t", protocol="both", protocol_name="both")


def test_the_report_says_how_golds_were_fused_and_delays_come_from(build: Build) -> None:
    fake = build()
    settings = EvaluateSettings.model_validate({"protocol": "tried", "gold": ("none", "ewe"), "chain": ()})
    evaluated(fake, settings)
    files = write_report(fake.store, rows=ROWS[:2], title="t", protocol="tried", protocol_name="tried")
    told = read_fusions(fake.store, "valence", "tried")
    html = files.html.read_text(encoding="utf-8")
    for text in (html, files.markdown.read_text(encoding="utf-8")):
        assert "correlates with the mean of all (EWE)" in text
        assert "no fallback" in text
        assert "by rater, the card does not say whether set or searched" in text
    shares = [f'<th scope="row">{one.rater}</th><td>{100 * (one.share or 0):.1f} %</td>' for one in told[0].raters]
    assert len(shares) == 6
    assert all(share in html for share in shares)
    table = pl.read_parquet(fake.store.fusions("valence", "tried"))
    bad = table.with_columns(pl.lit("weights that add up to 0").alias("fallback")).to_arrow().cast(FUSIONS)
    write_part(fake.store.fusions("valence", "tried"), bad, Provenance(stage="fusions", stage_key="k"))
    files = write_report(fake.store, rows=ROWS[:2], title="t", protocol="tried", protocol_name="tried")
    html = files.html.read_text(encoding="utf-8")
    assert '<th scope="col">gold ewe\N{DOUBLE DAGGER}</th>' in html
    assert (
        "\N{DOUBLE DAGGER} gold standard ewe: FELL BACK to the plain mean in 2 of 2 recordings" in html
    )  # below the tables after the first


def test_missing_predictions_are_nan_and_said(build: Build) -> None:
    fake = build()
    fake.store.predictions(MODEL, "P13").unlink()
    scores = read_scores(fake.store, ROWS[:1], dimension="valence", protocol="per-rater")
    held = Holder(fake.store, scores, read_cards(fake.store), ROWS[0], None).read("P13")
    assert held is not None
    assert np.isnan(held.predicted).all()
    assert np.isnan(held.single).all()
    assert held.lacks == "no predictions of this recording in the store"
