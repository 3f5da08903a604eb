"""The agreement of a store against a loop over its ratings, and findings about raters made to be wrong."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import audmetric
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy import stats

from models.metrics import agreement
from schemas.errors import UnusableInputError
from schemas.score_tables import AGREEMENT, AGREEMENT_FINDINGS, AGREEMENT_LAGS
from tasks.agreement.plan import agreement_path, findings_path, is_pending, lags_path
from tasks.agreement.stage import measure_agreement
from tasks.ingest.corpus import RatingsFile
from tasks.ingest.ratings import RatingTraces, read_ratings
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import Provenance, read_table, write_part

from ..conftest import Fake, recording_of

FloatArray = npt.NDArray[np.float64]

RATERS = ("D", "A", "C", "B")


def recording(name: str) -> Recording:
    return recording_of(Fake(recording_id=name, partition="train", num_frames=1500))


def write(store: Store, name: str, values: FloatArray, raters: tuple[str, ...] = RATERS) -> Recording:
    times = np.arange(len(values), dtype=np.float64) / 25
    traces = RatingTraces(times, values, raters, (-1, 1))
    write_part(store.ratings(name), traces.table(name, "valence"), Provenance(stage="ratings", stage_key=f"{name}-1"))
    return recording(name)


def curves(samples: int, shifts: tuple[int, ...], *, seed: int, noise: float = 0.05) -> FloatArray:
    """One slow curve, seen later by each rater's shift (samples), on the scale -1 to 1."""
    rng = np.random.default_rng(seed)
    room = 300
    slow = np.convolve(rng.normal(size=samples + 2 * room), np.hanning(150), "same")
    slow = 0.6 * slow / np.abs(slow).max()
    seen = [slow[room - shift : room - shift + samples] + rng.normal(0, noise, samples) for shift in shifts]
    clipped: FloatArray = np.clip(np.column_stack(seen), -1, 1)
    return clipped


def run(store: Store, recordings: list[Recording]) -> tuple[pl.DataFrame, pl.DataFrame]:
    assert measure_agreement(store, recordings, "valence")
    assert not is_pending(store, recordings, "valence")
    assert not measure_agreement(store, recordings, "valence")
    found = pl.DataFrame(read_table(agreement_path(store, "valence"), AGREEMENT))
    return found, pl.DataFrame(read_table(findings_path(store, "valence"), AGREEMENT_FINDINGS))


def kinds(findings: pl.DataFrame, recording_id: str | None = None) -> list[tuple[str, str | None]]:
    at = pl.col("recording_id").is_null() if recording_id is None else pl.col("recording_id") == recording_id
    return [(row["kind"], row["rater"]) for row in findings.filter(at).to_dicts()]


def value(found: pl.DataFrame, **wanted: str | None) -> float | None:
    for name, cell in wanted.items():
        found = found.filter(pl.col(name).is_null() if cell is None else pl.col(name) == cell)
    assert found.height == 1, found
    cell = found["value"][0]
    return None if cell is None else float(cell)


def test_against_a_loop(tmp_path: Path) -> None:
    store = Store(tmp_path)
    series = {name: curves(1500, (0, 0, 5, 10), seed=seed) for seed, name in enumerate(("P1", "P2", "P3"))}
    series["P2"][100:400, 1] = np.nan
    found, findings = run(store, [write(store, name, values) for name, values in series.items()])
    assert findings.is_empty()
    joined = np.concatenate(list(series.values()))
    for pooling, name, values in (("recording", "P2", series["P2"]), ("concatenated", None, joined)):
        at = {"pooling": pooling, "recording_id": name}
        pairs = []
        for (i, first), (j, second) in itertools.combinations(sorted(enumerate(RATERS), key=lambda one: one[1]), 2):
            known = ~np.isnan(values[:, [i, j]]).any(axis=1)
            r = stats.pearsonr(values[known, i], values[known, j]).statistic
            pairs.append(r)
            pair = {**at, "of": "pair", "rater": first, "other": second}
            assert value(found, statistic="pearson", **pair) == pytest.approx(r, abs=1e-12)
            expected = audmetric.concordance_cc(values[:, j], values[:, i], ignore_nan=True)
            assert value(found, statistic="ccc", **pair) == pytest.approx(expected, abs=1e-12)
        mean = value(found, statistic="pearson", of="pair", rater=None, **at)
        assert mean == pytest.approx(np.mean(pairs), abs=1e-12)
        for place, rater in enumerate(RATERS):
            others = np.nanmean(np.delete(values, place, axis=1), axis=1)
            expected = audmetric.concordance_cc(others, values[:, place], ignore_nan=True)
            line = value(found, statistic="ccc", of="others", rater=rater, **at)
            assert line == pytest.approx(expected, abs=1e-12)
            given = values[:, place][~np.isnan(values[:, place])]
            share = value(found, statistic="share_positive", of="rater", rater=rater, **at)
            assert share == pytest.approx((given > 0).mean())
        complete = values[~np.isnan(values).any(axis=1)]
        alpha = 4 / 3 * (1 - complete.var(axis=0).sum() / complete.sum(axis=1).var())
        assert value(found, statistic="cronbach_alpha", **at) == pytest.approx(alpha, abs=1e-12)
    each = found.filter((pl.col("pooling") == "recording") & (pl.col("statistic") == "icc_2k"))["value"]
    assert value(found, statistic="icc_2k", pooling="per_recording") == pytest.approx(each.mean(), abs=1e-12)


def test_wrong_raters_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recordings = []
    for number in range(3):
        values = curves(3000, (0, 0, 0, 50), seed=10 + number)
        values[:, 2] *= -1
        if number == 1:
            values[:, 0] = 0.25
        if number == 2:
            values[:, 1] = np.nan
        recordings.append(write(store, f"P{number}", values))
    found, findings = run(store, recordings)
    assert kinds(findings, "P0") == [("sign_flip", "C")]
    assert ("constant", "D") in kinds(findings, "P1")
    assert ("no_values", "A") in kinds(findings, "P2")
    assert ("sign_flip", "C") in kinds(findings)
    assert ("other_raters", None) in kinds(findings)
    for row in findings.to_dicts():
        assert all(name in row["message"] for name in (row["recording_id"], row["rater"]) if name is not None)
    assert value(found, statistic="pearson", of="others", rater="D", recording_id="P1") is None
    assert value(found, statistic="ccc", of="others", rater="D", recording_id="P1") == 0
    assert value(found, statistic="share_positive", of="rater", rater="A", recording_id="P2") is None


def test_who_is_late_and_who_stands_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recordings = []
    for number in range(3):
        values = curves(3000, (0, 60, 0, 0, 0), seed=20 + number)
        values[:, 4] = curves(3000, (0,), seed=99 + number)[:, 0]
        recordings.append(write(store, f"P{number}", values, ("A", "B", "C", "D", "E")))
    _, findings = run(store, recordings)
    assert ("late", "B") in kinds(findings)
    assert ("apart", "E") in kinds(findings)
    assert {rater for kind, rater in kinds(findings) if kind in ("late", "early", "apart", "sign_flip")} == {"B", "E"}
    late = findings.filter(pl.col("kind") == "late")["value"][0]
    assert late == pytest.approx(60 * 0.04, abs=0.4)
    curve = pl.DataFrame(read_table(lags_path(store, "valence"), AGREEMENT_LAGS)).filter(pl.col("rater") == "B")
    assert curve.height == 51
    assert curve.sort("pearson", descending=True, nulls_last=True)["lag_seconds"][0] == late


def test_one_rater_and_five_samples(tmp_path: Path) -> None:
    store = Store(tmp_path)
    alone = write(store, "P1", np.array([[0.1], [0.2], [0.3]] * 40), ("A",))
    few = write(store, "P2", np.array([[0.1, 0.2], [0.2, 0.1], [0.3, 0.3], [0.1, 0.0], [0.2, 0.2]]), ("A", "B"))
    found, findings = run(store, [alone, few])
    assert kinds(findings, "P1") == [("too_few", "A")]
    assert kinds(findings, "P2") == [("too_few", None)]
    messages = findings["message"].to_list()
    assert messages[0].startswith("P1: rater A is the only one with values: there is nobody to agree with")
    assert messages[1].startswith("P2: raters A, B gave 5 samples at most")
    assert all(" or " in message for message in messages)  # what to do
    # of the two who rated together, though A alone has more samples
    pooled = value(found, statistic="cronbach_alpha", pooling="concatenated")
    assert pooled == value(found, statistic="cronbach_alpha", recording_id="P2")
    assert pooled is not None
    assert ("other_raters", None) in kinds(findings)
    assert value(found, statistic="cronbach_alpha", recording_id="P1") is None
    pair = value(found, statistic="pearson", of="pair", rater="A", other="B", recording_id="P2")
    assert pair == pytest.approx(np.corrcoef([0.1, 0.2, 0.3, 0.1, 0.2], [0.2, 0.1, 0.3, 0.0, 0.2])[0, 1])


def test_raters_who_all_disagree(tmp_path: Path) -> None:
    """Told of the recording and of all together, and not where one flipped rater alone makes the mean low."""
    store = Store(tmp_path)
    turns = np.linspace(0, 6 * np.pi, 1500)
    opposed = 0.8 * np.column_stack([np.sin(turns), -np.sin(turns), np.cos(turns), -np.cos(turns)])
    flipped = curves(1500, (0, 0, 0, 0), seed=4)
    flipped[:, 0] *= -1
    recordings = [write(store, "P1", opposed), write(store, "P2", flipped)]
    found, findings = run(store, recordings)
    assert kinds(findings, "P1") == [("no_agreement", None)]
    assert kinds(findings, "P2") == [("sign_flip", "D")]
    mean = value(found, statistic="pearson", of="pair", rater=None, recording_id="P1")
    assert mean == pytest.approx((-1 + 0 + 0 + 0 + 0 - 1) / 6, abs=1e-3)
    assert mean is not None
    assert mean < -0.3
    message = findings.filter(pl.col("kind") == "no_agreement")["message"][0]
    assert message.startswith("P1: raters D, A, C, B do not agree: mean pairwise correlation -0.33.")
    assert 'gold "none"' in message


def test_many_raters_who_disagree_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    raters = tuple(f"R{number}" for number in range(12))
    values = np.column_stack([curves(1500, (0,), seed=100 + number)[:, 0] for number in range(12)])
    _, findings = run(store, [write(store, "P1", values, raters)])
    told = findings.filter((pl.col("kind") == "no_agreement") & (pl.col("recording_id") == "P1"))["message"]
    assert "R6, R7 and 4 more do not agree" in told[0]


def test_equal_constants_agree_with_nobody(tmp_path: Path) -> None:
    """0/0 is null in the table, and in no mean of pairs: the one rule of docs/decisions/0001."""
    store = Store(tmp_path)
    values = curves(500, (0, 0, 0, 0), seed=7)
    values[:, :2] = 0.1
    found, findings = run(store, [write(store, "P1", values)])
    assert [kind for kind in kinds(findings, "P1") if kind[0] == "constant"] == [("constant", "D"), ("constant", "A")]
    pair = {"of": "pair", "recording_id": "P1"}
    assert value(found, statistic="ccc", rater="A", other="D", **pair) is None
    assert value(found, statistic="ccc", rater="A", other="B", **pair) == 0
    others = agreement(values[:, 2], values[:, 3]).ccc
    assert others is not None
    assert value(found, statistic="ccc", rater=None, **pair) == pytest.approx(others / 5)  # of six pairs five have one


def test_nothing_rated_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = write(store, "P1", np.zeros((10, 4)))
    with pytest.raises(UnusableInputError, match="ratings of 'arousal', found none"):
        measure_agreement(store, [one], "arousal")
    assert is_pending(store, [one], "arousal")
    assert not list(store.agreement.rglob("*.parquet"))


def plainly(store: Store, name: str) -> None:
    """What anybody would write: pairs, each with the mean of the others, and that at every lag, by np.corrcoef."""
    rows = pl.read_parquet(store.ratings(name))
    values = np.column_stack([one["value"].to_numpy() for _, one in rows.group_by("rater", maintain_order=True)])
    raters = values.shape[1]
    for i, j in itertools.combinations(range(raters), 2):
        np.corrcoef(values[:, i], values[:, j])
        audmetric.concordance_cc(values[:, i], values[:, j])
    for rater in range(raters):
        others = np.delete(values, rater, axis=1).mean(axis=1)
        audmetric.concordance_cc(others, values[:, rater])
        for lag in range(0, 251, 5):
            np.corrcoef(values[lag:, rater], others[: len(others) - lag])


def test_speed_beside_a_plain_loop(tmp_path: Path) -> None:
    """Its pairs and lags are ours; it has no missing values, alpha, ICC, findings, means or tables."""
    store = Store(tmp_path)
    raters = tuple("ABCDEF")
    values = curves(7501, (0, 10, 20, 30, 40, 50), seed=0)
    recordings = [write(store, f"P{number}", values, raters) for number in range(20)]
    started = time.perf_counter()
    measure_agreement(store, recordings, "valence")
    between = time.perf_counter()
    for one in recordings:
        plainly(store, one.recording_id)
    ours, plain = between - started, time.perf_counter() - between
    assert ours < 2 * plain, f"{ours:.2f} s, the loop {plain:.2f} s"


@pytest.mark.shared
@pytest.mark.parametrize("dimension", ["valence", "arousal"])
def test_shared_traces(shared_traces: Path, tmp_path: Path, dimension: str) -> None:
    """32 raters of two films: the pairs match scipy, the raters who never moved are named."""
    store = Store(tmp_path)
    recordings = []
    frozen = []
    for film in ("V1", "V2"):
        file = RatingsFile(path=shared_traces / f"{film}_{dimension}_32raters.csv", dimensions=("valence",))
        traces = read_ratings(file, scale=(1, 9), recording_id=film)[0]["valence"]
        provenance = Provenance(stage="ratings", stage_key=film)
        write_part(store.ratings(film), traces.table(film, "valence"), provenance)
        recordings.append(recording(film))
        spread = np.ptp(traces.original, axis=0)
        frozen += [(film, rater) for rater, width in zip(traces.raters, spread, strict=True) if width == 0]
        assert traces.resampled_hz is None
    found, findings = run(store, recordings)
    constant = findings.filter(pl.col("kind") == "constant")
    assert list(zip(constant["recording_id"], constant["rater"], strict=True)) == frozen
    x, y = traces.original[:, 0], traces.original[:, 1]
    r = value(found, statistic="pearson", of="pair", rater="P1", other="P2", recording_id="V2")
    assert r == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    alpha = value(found, statistic="cronbach_alpha", pooling="concatenated")
    assert alpha is not None
    assert 0 < alpha < 1
