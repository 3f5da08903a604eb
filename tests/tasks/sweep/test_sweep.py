"""Sweeps on the synthetic store: rows, figures, page and picture against metrics computed apart."""

from __future__ import annotations

import statistics
from pathlib import Path

import polars as pl
import pytest

from schemas.cards import ModelCard
from schemas.errors import SettingsError
from schemas.loading import load_pipeline
from schemas.pipeline import PipelineSettings
from schemas.presets import conf_dir
from schemas.sweeps import Figures, Sweep, SweepRow, base_settings, load_sweep, row_settings, sweep_protocol
from schemas.training import CnnTraining, KhorramiCnnSettings
from tasks.evaluation.plan import TRIVIAL, metrics_path
from tasks.evaluation.stage import evaluate
from tasks.features.stage import extract_features
from tasks.prediction.stage import predict
from tasks.sweep.figures import NOT_YET, Outcome
from tasks.sweep.plan import Job, finished, jobs
from tasks.sweep.stage import write_sweep
from tasks.training.stage import train_model

from ..conftest import CNN, EVALUATE, FEATURES_RUN, PREDICT_RUN, RNN, Corpus

SWEEPS = sorted((conf_dir() / "sweeps").glob("*.toml"))
BASE = PipelineSettings(cnn=CNN, rnn=RNN, features=FEATURES_RUN, predict=PREDICT_RUN, evaluate=EVALUATE)
SWEEP = Sweep(
    title="A paper, table 1",
    preset="demo",
    protocol="another corpus, dev",
    seeds=(0, 1),
    contradictions=("two figures of one thing",),
    row=(
        SweepRow(label="theirs", absent="needs what nobody has", published=Figures(rmse=0.1, cc=0.5, ccc=0.4)),
        SweepRow(label="CNN", model="cnn", published=Figures(rmse=0.2), published_by_rater={"FM1": Figures(ccc=0.3)}),
        SweepRow(
            label="W = 4",
            model="rnn",
            rnn={"network": {"window": 4}, "max_epochs": 1},
            published_by_rater={"FM1": Figures(ccc=0.2), "FF1": Figures(ccc=0.4)},
            note="printed askew",
        ),
    ),
)


def run(corpus: Corpus, job: Job) -> ModelCard:
    """One row as the flow runs it."""
    store, recordings, settings = corpus.store, corpus.recordings, job.settings
    card = train_model(store, recordings, settings.cnn)
    extract_features(store, recordings, card, settings.features)
    if job.row.model == "rnn":
        card = train_model(store, recordings, settings.rnn, features_model_id=card.model_id)
    predict(store, recordings, card, settings.predict)
    evaluate(store, recordings, [card.model_id, *TRIVIAL], "valence", settings.evaluate)
    return card


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_loads_and_its_rows_differ(path: Path) -> None:
    sweep = load_sweep(path.stem)
    todo = jobs(sweep, load_pipeline(base_settings(sweep, None)), origin=path.stem)
    scored = [(job.settings.cnn.keyed(), job.settings.rnn.keyed() if job.row.model == "rnn" else None) for job in todo]
    assert len({str(one) for one in scored}) == len(scored)
    assert {job.row.label for job in todo} | {row.label for row in sweep.row if row.absent} == {
        row.label for row in sweep.row
    }


def test_the_published_figures_are_those_of_the_registry() -> None:
    """Two places hold them: K's tables here and in `models.catalogue`."""
    from models.registry import entry

    expected = {
        "K-table1": {"CNN+RNN ReLU": "khorrami-rnn", "CNN+RNN tanh": "khorrami-rnn-tanh"},
        "K-table2": {"h = 100": "khorrami-rnn"},
        "K-table3": {"W = 100": "khorrami-rnn"},
        "K-table4": {
            "1 layer": "khorrami-rnn",
            "2 layers": "khorrami-rnn-2-layers",
            "3 layers": "khorrami-rnn-3-layers",
        },
    }
    for name, rows in expected.items():
        sweep = {row.label: row for row in load_sweep(name).row}
        for label, network in rows.items():
            facts = {one.metric: one.value for one in entry(network).published}
            assert sweep[label].published.model_dump() == facts
    poster = {row.label: row for row in load_sweep("P-table2").row}
    for label, network in (("CNN + fine-tuning", "poster-small"), ("CNN + fine-tuned Kaggle EmoNets", "poster-large")):
        for rater, figures in poster[label].published_by_rater.items():
            facts = {one.metric: one.value for one in entry(network).published if one.note.endswith(f"rater {rater}")}
            assert figures.model_dump(exclude={"rmse"}) == facts


def test_a_row_is_laid_over_the_preset() -> None:
    row = SweepRow(label="x", model="cnn", cnn={"network": {"dropout": 0.0}, "learning_rate": 0.5})
    settings = row_settings(BASE, row, 7, origin="s")
    assert settings.cnn.network == KhorramiCnnSettings.model_validate({**CNN.network.model_dump(), "dropout": 0.0})
    assert (settings.cnn.learning_rate, settings.cnn.seed, settings.rnn.seed) == (0.5, 7, 7)
    assert settings.rnn == RNN.model_copy(update={"seed": 7})
    named = SweepRow(label="x", model="cnn", cnn={"network": {"name": "deep"}}, without=("cnn.momentum",))
    settings = row_settings(BASE, named, 0, origin="s")
    assert settings.cnn.network.model_dump() == {"name": "deep", "options": {}}
    assert settings.cnn.momentum == CnnTraining().momentum
    with pytest.raises(SettingsError, match=r"s, row 'x'.*\n.*widht"):
        row_settings(BASE, SweepRow(label="x", model="cnn", cnn={"network": {"widht": 1}}), 0, origin="s")
    with pytest.raises(SettingsError, match=r"without 'cnn\.widht'"):
        row_settings(BASE, SweepRow(label="x", model="cnn", without=("cnn.widht",)), 0, origin="s")
    with pytest.raises(ValueError, match="either model or absent"):
        SweepRow(label="x")
    with pytest.raises(SettingsError, match=r"no such sweep; .*K-table3"):
        load_sweep("K-table9")


def test_figures_are_means_over_seeds_of_the_metrics(full_corpus: Corpus) -> None:
    store = full_corpus.store
    todo = jobs(SWEEP, BASE, origin="test")
    assert [job.name for job in todo] == ["CNN, seed 0", "W = 4, seed 0", "CNN, seed 1", "W = 4, seed 1"]
    assert finished(store, full_corpus.recordings, todo[0]) == full_corpus.cnn
    outcomes = {"CNN": Outcome(cards={0: full_corpus.cnn})}
    partial = write_sweep(store, "tiny", SWEEP, outcomes, BASE.evaluate)
    assert partial.missing == {"theirs": "needs what nobody has", "W = 4": NOT_YET}
    for job in todo[1:]:
        assert finished(store, full_corpus.recordings, job) is None
        card = run(full_corpus, job)
        assert finished(store, full_corpus.recordings, job) == card
        outcomes.setdefault(job.row.label, Outcome()).cards[job.seed] = card
    files = write_sweep(store, "tiny", SWEEP, outcomes, BASE.evaluate)
    assert files.missing == {"theirs": "needs what nobody has"}
    table = pl.read_parquet(files.table)
    for label in ("CNN", "W = 4"):
        for partition in ("dev", "test"):
            values = [
                by_hand(metrics_path(store, card.model_id, EVALUATE.protocol), partition)
                for card in outcomes[label].cards.values()
            ]
            line = table.filter(
                (pl.col("row") == label)
                & (pl.col("partition") == partition)
                & (pl.col("metric") == "ccc")
                & pl.col("rater").is_null()
            )
            assert line["measured"].item() == pytest.approx(statistics.mean(values))
            assert line["spread"].item() == pytest.approx(statistics.stdev(values))
            assert (line["num_seeds"].item(), line["selected_here"].item()) == (2, partition == "dev")
    rows = {row["row"]: row for row in table.filter(pl.col("rater").is_null()).to_dicts() if row["metric"] == "ccc"}
    assert "training mean (no face)" in rows
    printed = table.filter((pl.col("row") == "W = 4") & pl.col("rater").is_null() & (pl.col("metric") == "ccc"))
    assert printed.filter(pl.col("partition") == "dev")["published"].item() == pytest.approx(0.3)
    assert printed.filter(pl.col("partition") == "test")["published"].item() is None
    assert pl.read_csv(files.folder / "table.csv").height == table.height
    page = files.page.read_text(encoding="utf-8")
    assert "| theirs | 0.100 | 0.500 | 0.400 | - | - | - | - | - | - |" in page
    for text in (
        "published CCC (dev)",
        "measured CCC (dev, selected there)",
        "measured CCC (test)",
        "0.300*",
        "W = 4 [1]",
        "[1] W = 4: printed askew",
        "two figures of one thing",
        "- theirs: needs what nobody has",
        "over 2 seeds",
        "plain: every rater apart",
        "| CNN | published CCC | 0.300 |",
    ):
        assert text in page, text
    before = {path: path.stat().st_mtime_ns for path in files.folder.iterdir()}
    assert len(before) == 5
    for outcome in outcomes.values():  # as a sweep that was taken up finds them
        outcome.cards = dict(reversed(outcome.cards.items()))
    assert write_sweep(store, "tiny", SWEEP, outcomes, BASE.evaluate) == files
    assert {path: path.stat().st_mtime_ns for path in files.folder.iterdir()} == before
    assert (files.folder / "ccc.png").read_bytes().startswith(b"\x89PNG")
    assert b"measured, dev (selected there)" in (files.folder / "ccc.svg").read_bytes()


def test_a_sweep_with_a_gold_standard_shows_its_scores(full_corpus: Corpus) -> None:
    sweep = SWEEP.model_copy(update={"scored_by": "khorrami2016"})
    protocol = sweep_protocol(sweep)
    assert (protocol.gold, protocol.scored_on, protocol.protocol) == (
        ("mean",),
        ("dev", "test"),
        "khorrami2016-and-test",
    )
    store, card = full_corpus.store, full_corpus.cnn
    evaluate(store, full_corpus.recordings, [card.model_id, *TRIVIAL], "valence", protocol)
    files = write_sweep(store, "gold", sweep, {"CNN": Outcome(cards={0: card})}, protocol)
    metrics = pl.read_parquet(metrics_path(store, card.model_id, protocol.protocol)).filter(
        (pl.col("partition") == "test") & pl.col("recording_id").is_null() & (pl.col("metric") == "cc")
    )
    found = pl.read_parquet(files.table).filter(
        (pl.col("row") == "CNN") & (pl.col("partition") == "test") & (pl.col("metric") == "cc")
    )
    assert found["measured"].to_list() == metrics["value"].to_list()
    assert found["rater"].to_list() == [None]
    assert "against gold standard mean" in files.page.read_text(encoding="utf-8")


def by_hand(path: Path, partition: str) -> float:
    """Mean over raters of the concatenated CCC, straight from the metrics."""
    frame = pl.read_parquet(path).filter(
        (pl.col("partition") == partition)
        & (pl.col("pooling") == "concatenated")
        & (pl.col("metric") == "ccc")
        & (pl.col("target") == "rater")
    )
    mean = frame["value"].mean()
    assert isinstance(mean, float)
    return mean
