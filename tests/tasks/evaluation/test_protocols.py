"""Protocols on the synthetic store: gold standards, chains, people, leaks, comparisons, computed a second time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy import ndimage

from models.metrics import agreement
from schemas.errors import SettingsError, StoreError
from schemas.evaluation import EvaluateSettings
from schemas.loading import load_pipeline, load_protocol
from schemas.presets import conf_dir
from tasks.evaluation.chain import chain_path, read_chain
from tasks.evaluation.compare import compare
from tasks.evaluation.leaks import MARK
from tasks.evaluation.plan import HUMAN, HUMAN_ONE, HUMAN_REST, TRAINING_MEAN, metrics_path
from tasks.evaluation.protocol import describe
from tasks.evaluation.smoothing import median_filtered

from ..conftest import EVALUATE, Corpus, CorpusMaker, Fake, rating_columns
from .conftest import FULL, scored

FloatArray = npt.NDArray[np.float64]

SPEC = {  # shared/spec: gold, delay, chain, pooling, selected on, scored on
    "khorrami2016": (("mean",), 0.0, (), ("concatenated",), "dev", ("dev",)),
    "poster-per-rater": (("none",), 0.0, (), ("concatenated",), "dev", ("dev",)),
    "avec2015": (("avec2018",), 2.0, ("median", "centre", "scale", "shift"), ("concatenated",), "dev", ("dev",)),
    "avec2018": (("avec2018",), "searched", ("centre", "scale"), ("per_recording",), "dev", ("test",)),
    "default": (
        ("none", "ewe"),
        "searched",
        ("median", "centre", "scale", "shift"),
        ("concatenated", "per_recording"),
        "dev",
        ("test",),
    ),
}


def value(
    table: pl.DataFrame, rater: str, metric: str, *, pooling: str = "concatenated", partition: str = "test"
) -> float:
    pooled = table.filter(pl.col("recording_id").is_null())
    found = pooled.filter(
        (pl.col("rater") == rater)
        & (pl.col("metric") == metric)
        & (pl.col("pooling") == pooling)
        & (pl.col("partition") == partition)
    )["value"].item()
    assert isinstance(found, float)
    return found


def predicted(corpus: Corpus, model_id: str, name: str, rater: str) -> FloatArray:
    """At frames, which are the labels but for the last one."""
    table = pl.read_parquet(corpus.store.predictions(model_id, name))
    return table.filter(pl.col("rater") == rater)["value"].to_numpy()


def test_the_presets_are_those_of_the_table() -> None:
    for name, expected in SPEC.items():
        found = load_protocol(name)
        told = (found.gold, found.delay, found.chain, found.pooling, found.selected_on, found.scored_on)
        assert told == expected
        assert found.declares_overlap == bool(found.overlap)
    assert {path.stem for path in (conf_dir() / "protocols").glob("*.toml")} == set(SPEC)
    assert load_protocol("default") == EvaluateSettings()


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("mine", 'gold = ["medoid"]', r"mine\.toml: settings out of range\n  gold\.0"),
        ("default", "", "expected the file's own name, and none of the presets'"),
        ("mine", 'protocol = "yours"', "protocol 'yours': expected the file's own name"),
    ],
)
def test_a_bad_protocol_is_named(tmp_path: Path, name: str, text: str, match: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=match):
        load_protocol(str(path))
    preset = tmp_path / "run.toml"
    preset.write_text('[evaluate]\nprotocol = "avec2019"', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"no such protocol; .*avec2015, avec2018, default"):
        load_pipeline(preset)


def test_a_chain_goes_with_the_protocols_steps(full_corpus: Corpus) -> None:
    model_id = full_corpus.cnn.model_id
    scored(full_corpus, model_id, FULL)
    assert chain_path(full_corpus.store, model_id, "full").exists()
    without = FULL.model_copy(update={"chain": ()})
    table = scored(full_corpus, model_id, without)
    assert not chain_path(full_corpus.store, model_id, "full").exists()
    assert "no post-processing" in table["protocol_line"][0]
    again = scored(full_corpus, model_id, FULL.model_copy(update={"protocol": "other", "chain": ()}))
    assert value(table, "FM1", "ccc") == value(again, "FM1", "ccc")


def test_every_print_says_what_is_selected_where_it_is_scored(full_corpus: Corpus) -> None:
    declared = FULL.model_copy(update={"protocol": "both", "scored_on": ("dev", "test"), "declares_overlap": True})
    table = scored(full_corpus, full_corpus.cnn.model_id, declared)
    lines = {partition: set(rows["protocol_line"]) for (partition,), rows in table.group_by("partition")}
    assert all(MARK in line for line in lines["dev"])
    assert not any(MARK in line for line in lines["test"])
    assert MARK in describe(declared, [full_corpus.cnn])


def test_a_chain_is_fitted_on_dev_alone_and_applied_unchanged(full_corpus: Corpus) -> None:
    """By hand, rater by rater: scipy's median, the statistics of dev, the shift; test gets the same numbers."""
    card = full_corpus.rnn
    plain = scored(full_corpus, card.model_id, EVALUATE)
    table = scored(full_corpus, card.model_id, FULL)
    chain = read_chain(full_corpus.store, card.model_id, "full")
    assert chain is not None
    assert (chain.recordings, chain.fitted_on) == (("B1", "B2"), "dev")
    assert set(chain.columns) == {"FM1", "FM2", "FF1", "mean", "ewe"}
    times, given = rating_columns(full_corpus.fakes["C1"])
    for at, rater in enumerate(full_corpus.fakes["C1"].raters):
        found = chain.columns[rater]
        assert [step.name for step in found.steps] == ["median", "centre", "scale", "shift"]
        kept = [step for step in found.steps if step.kept]
        assert all((step.after or 0) > (step.before or 0) for step in kept)
        assert found.steps[0].before == pytest.approx(value(plain, rater, "ccc", partition="dev"), abs=1e-12)
        series = predicted(full_corpus, card.model_id, "C1", rater)
        if found.median_seconds:
            series = median_filtered(series, found.median_seconds, step_seconds=0.04)
        series = found.scale * series + found.offset
        late = round(found.shift_seconds / 0.04)
        labels = given[late : late + series.size, at]
        expected = agreement(series[: labels.size], labels)
        for metric in ("ccc", "rmse", "mae", "sagr"):
            assert value(table, rater, metric) == pytest.approx(getattr(expected, metric), abs=1e-9)
    assert times[1] == 0.04


def test_what_a_chain_came_to_on_dev_is_its_ccc_there(full_corpus: Corpus) -> None:
    card = full_corpus.cnn
    declared = FULL.model_copy(update={"protocol": "dev-too", "scored_on": ("dev",), "declares_overlap": True})
    table = scored(full_corpus, card.model_id, declared)
    chain = read_chain(full_corpus.store, card.model_id, "dev-too")
    assert chain is not None
    for name, found in chain.columns.items():
        *_, last, shift = found.steps
        assert (shift.name, shift.kept, shift.before) == ("shift", False, None)  # no label has one 10 s before it
        told = last.after if last.kept else last.before
        assert value(table, name, "ccc", partition="dev") == pytest.approx(told, abs=1e-9)


def test_a_chain_is_kept_until_what_it_was_fitted_on_changes(full_corpus: Corpus) -> None:
    card = full_corpus.cnn
    scored(full_corpus, card.model_id, FULL)
    path = full_corpus.store.model(card.model_id) / "postprocessing-full.json"
    before = path.stat().st_mtime_ns
    metrics_path(full_corpus.store, card.model_id, "full").unlink()
    scored(full_corpus, card.model_id, FULL)
    assert path.stat().st_mtime_ns == before
    told = json.loads(path.read_text(encoding="utf-8"))
    told["columns"]["FM1"]["scale"] = 7.0
    path.write_text(json.dumps(told), encoding="utf-8")
    metrics_path(full_corpus.store, card.model_id, "full").unlink()
    with pytest.raises(StoreError, match=r"postprocessing-full\.json: sha256 .*expected"):
        scored(full_corpus, card.model_id, FULL)


def test_gold_standards_are_held_against_the_mean_of_the_outputs(full_corpus: Corpus) -> None:
    settings = EVALUATE.model_copy(update={"protocol": "golds", "gold": ("mean", "ewe"), "scored_on": ("test",)})
    table = scored(full_corpus, full_corpus.cnn.model_id, settings)
    assert set(table["target"]) == {"gold"}
    fake = full_corpus.fakes["C1"]
    outputs = [predicted(full_corpus, full_corpus.cnn.model_id, "C1", rater) for rater in fake.raters]
    given = rating_columns(fake)[1][: fake.num_frames]
    every = rating_columns(fake)[1]
    mean = every.mean(axis=1)
    weights = np.array([np.corrcoef(every[:, at], mean)[0, 1] for at in range(every.shape[1])])
    for name, gold in (("mean", given.mean(axis=1)), ("ewe", given @ weights / weights.sum())):
        expected = agreement(np.mean(outputs, axis=0), gold)
        assert value(table, name, "ccc") == pytest.approx(expected.ccc, abs=1e-12)


def test_the_human_line(full_corpus: Corpus) -> None:
    settings = FULL.model_copy(update={"gold": ("none", "mean")})
    given = rating_columns(full_corpus.fakes["C1"])[1]
    raters = full_corpus.fakes["C1"].raters
    rest = scored(full_corpus, HUMAN_REST, settings)
    one = scored(full_corpus, HUMAN_ONE, settings)
    against_gold = []
    for at, rater in enumerate(raters):
        others = np.delete(given, at, axis=1)
        expected = agreement(others.mean(axis=1), given[:, at]).ccc or 0.0
        against_gold.append(expected)
        assert value(rest, rater, "ccc") == pytest.approx(expected, abs=1e-12)
        pairs = [agreement(others[:, k], given[:, at]).ccc or 0.0 for k in range(others.shape[1])]
        assert value(one, rater, "ccc") == pytest.approx(float(np.mean(pairs)), abs=1e-12)
    assert value(rest, "mean", "ccc") == pytest.approx(float(np.mean(against_gold)), abs=1e-12)
    assert set(one["target"]) == {"rater", "mean"}


def test_one_rater_has_no_others(make_corpus: CorpusMaker) -> None:
    made = make_corpus(Fake(recording_id="C1", partition="test", num_frames=20, raters=("X",)))
    for which in HUMAN:
        assert scored(made, which, FULL).is_empty()


def test_intervals_stand_where_recordings_can_be_resampled(full_corpus: Corpus) -> None:
    """Dev has two recordings, test a single one."""
    declared = EVALUATE.model_copy(update={"protocol": "intervals"})
    table = scored(full_corpus, full_corpus.cnn.model_id, declared)
    pooled = table.filter(pl.col("recording_id").is_null() & (pl.col("metric") == "ccc"))
    dev, test = (pooled.filter(pl.col("partition") == name) for name in ("dev", "test"))
    dev, lone = dev.filter(pl.col("rater") != "FM2"), dev.filter(pl.col("rater") == "FM2")
    assert lone["reason"].str.contains("one recording").all()  # who rated only one of these
    assert all(low <= score <= high for low, score, high in dev.select("ci_low", "value", "ci_high").iter_rows())
    assert test["ci_low"].null_count() == test.height
    assert test["reason"].str.contains("one recording").all()
    assert dev["reason"].null_count() == dev.height


def test_degenerate_scores_say_who_where_and_what_to_do(make_corpus: CorpusMaker) -> None:
    made = make_corpus(
        Fake(recording_id="A1", partition="train", num_frames=10),
        Fake(recording_id="C1", partition="test", num_frames=10, missing=(("FM2", 0, 11),)),
    )
    table = scored(made, TRAINING_MEAN, FULL.model_copy(update={"gold": ("none",)}))
    said = dict(
        table.filter((pl.col("recording_id") == "C1") & (pl.col("metric") == "ccc")).select("rater", "reason").rows()
    )
    assert said["FM2"].startswith(
        "no sample: rater FM2 has no rating where there is a prediction in C1; check the file"
    )
    assert said["FM1"].startswith("the prediction for rater FM1 is constant in C1: CC is undefined")
    assert table.filter(pl.col("rater") == "FM2")["value"].is_null().all()


def test_a_gold_standard_of_people_never_holds_who_is_scored(full_corpus: Corpus) -> None:
    """Each rater against the mean of the others: with themselves in it they would agree better."""
    people = scored(full_corpus, HUMAN_REST, FULL)
    values = rating_columns(full_corpus.fakes["C1"])[1]
    apart: list[float] = []
    within: list[float] = []
    for at in range(values.shape[1]):
        others = np.delete(values, at, axis=1).mean(axis=1)
        for found, given in ((apart, others), (within, values.mean(axis=1))):
            ccc = agreement(values[:, at], given).ccc
            assert ccc is not None
            found.append(ccc)
    assert value(people, "mean", "ccc") == pytest.approx(np.mean(apart), abs=1e-12)
    assert np.mean(within) > np.mean(apart) + 0.001


def test_a_difference_is_that_of_the_scores(full_corpus: Corpus) -> None:
    store, recordings = full_corpus.store, full_corpus.recordings
    declared = EVALUATE.model_copy(update={"protocol": "differ"})
    ids = (full_corpus.rnn.model_id, full_corpus.cnn.model_id)
    tables = [scored(full_corpus, model_id, declared) for model_id in ids]
    found = compare(store, recordings, ids, "valence", declared)
    assert {one.protocol for one in found} == {"differ"}
    for one in found:
        first, second = (
            value(table, one.column, one.metric, pooling=one.pooling, partition=one.partition) for table in tables
        )
        assert one.difference == pytest.approx(first - second, abs=1e-12)
        if one.partition == "dev" and one.column != "FM2":  # who rated only one of these
            assert one.low is not None
            assert one.high is not None
            assert one.low <= first - second <= one.high
            assert one.is_clear is None  # selected there: nothing is claimed
        else:
            assert (one.low, one.high) == (None, None)
            assert "one recording" in one.reason
    same = compare(store, recordings, (ids[0], ids[0]), "valence", declared)
    several = [one for one in same if one.partition == "dev" and one.column != "FM2"]
    assert {(one.difference, one.low, one.high) for one in several} == {(0.0, 0.0, 0.0)}


@pytest.mark.parametrize("seconds", [0.08, 0.4, 3.0, 20.0])
def test_the_median_filter_is_scipys_away_from_the_ends(seconds: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=600)
    reach = round(seconds / 0.04 / 2)
    found = median_filtered(values, seconds, step_seconds=0.04)
    expected = ndimage.median_filter(values, size=2 * reach + 1)
    inside = slice(reach, values.size - reach)
    assert found[inside] == pytest.approx(expected[inside], abs=1e-12)
    assert found[0] == pytest.approx(float(np.median(values[: reach + 1])), abs=1e-12)
    values[100:140] = np.nan
    gaps = median_filtered(values, seconds, step_seconds=0.04)
    assert np.isnan(gaps[100:140]).all()
    assert np.isfinite(gaps[140:]).all()
