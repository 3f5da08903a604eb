"""Table, page and video of a clip: their numbers recomputed by hand, their files opened by others' readers."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from models.shallow_deep import ShallowDeepCNN
from schemas.errors import DecodeError, SourceError
from schemas.expressions import FER2013_CLASSES
from tasks.analyze import drawn, expressions, report
from tasks.analyze.content import EXPRESSION_COLOURS
from tasks.analyze.plan import analysis_key, is_finished, stored_key
from tasks.expression import shipped
from tasks.store.failures import read_failures

from .conftest import FACES, TINY, MakeClip, chips_of, write_rows

PROBABILITIES = [f"probability_{name}" for name in FER2013_CLASSES]
VALENCE = np.array([-0.51, -0.60, -0.64, 0.81, -0.63, 0.40, 0.0])
"""Russell and Mehrabian's, in the order of the classes; written out once more."""


def by_hand(num_frames: int) -> np.ndarray:
    """Probabilities `[frame, class]` of every frame's chip: gray, halved, both ways round, in float64."""
    network = ShallowDeepCNN(num_outputs=7, input_size=48, channels=1, **TINY)
    network.load_state_dict(load_file(shipped.shipped_folder() / "model.safetensors"))
    network = network.double().eval()
    gray = np.floor((chips_of(num_frames).astype(int) @ np.array([77, 150, 29]) + 128) / 256)
    small = np.floor((gray.reshape(-1, 48, 2, 48, 2).sum(axis=(2, 4)) + 2) / 4)
    both = [torch.from_numpy(np.ascontiguousarray(view))[:, None] for view in (small, small[:, :, ::-1])]
    with torch.no_grad():
        found = np.mean([network(one).softmax(dim=1).numpy() for one in both], axis=0)
    return np.asarray(found)


def test_the_table_says_what_the_network_says(make_clip: MakeClip) -> None:
    made = make_clip()
    summary = made.analyze()
    table = pl.read_parquet(made.clip.table)
    valid = np.array(made.valid)
    assert table["frame_index"].to_list() == list(range(60))
    np.testing.assert_allclose(table["time_seconds"].to_numpy(), np.arange(60) / 25, atol=1e-9)
    assert table["face_valid"].to_list() == list(made.valid)
    expected = by_hand(60)
    found = table.select(PROBABILITIES).to_numpy()
    np.testing.assert_allclose(found[valid], expected[valid], atol=2e-5)
    assert expected[valid].max() > 0.3, "a network that tells nothing apart tests nothing"
    assert table["expression"].to_list() == [
        FER2013_CLASSES[row.argmax()] if has_face else None for row, has_face in zip(expected, valid, strict=True)
    ]
    valence = expected @ VALENCE
    np.testing.assert_allclose(table["valence_estimate"].to_numpy()[valid], valence[valid], atol=2e-5)
    times = np.arange(60) / 25
    smooth = [valence[valid & (np.abs(times - at) <= 0.5 + 1e-9)].mean() for at in times[valid]]
    np.testing.assert_allclose(table["valence_smoothed"].to_numpy()[valid], smooth, atol=2e-5)
    empty = table.filter(~pl.col("face_valid")).select(
        [*PROBABILITIES, "expression", "valence_estimate", "valence_smoothed", "box_left", "sharpness"]
    )
    assert empty.null_count().row(0) == (10,) * 12
    assert summary.num_frames == 60
    assert summary.face_share == pytest.approx(50 / 60)
    assert summary.valence_mean == pytest.approx(valence[valid].mean(), abs=2e-5)
    assert sum(summary.expressions.values()) == pytest.approx(1)


def test_the_table_says_where_it_comes_from(make_clip: MakeClip) -> None:
    made = make_clip()
    made.analyze()
    said = {key.decode(): value.decode() for key, value in (pq.read_metadata(made.clip.table).metadata or {}).items()}
    assert said["affectflow.model_hash"] == made.card.weights_sha256
    assert said["affectflow.source_sha256"] == made.recording.sha256
    assert said["affectflow.smoothing_seconds"] == "1.0"
    assert said["affectflow.code_version"]
    assert '"happy": 0.81' in said["affectflow.valence"]


def test_the_page_fetches_nothing_and_shows_every_expression(make_clip: MakeClip) -> None:
    made = make_clip(name="a <b>&amp; clip.mp4")
    made.analyze()
    page = made.clip.report.read_text(encoding="utf-8")
    assert "a &lt;b&gt;&amp;amp; clip" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href|action)=[\"'](?!data:|#)", page)
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page
    for name in FER2013_CLASSES:
        assert f'<div class="name">{name}</div>' in page
    assert page.count('alt="Face at ') >= 2 + 5
    assert "No face in 1 span" in page
    assert "49.00 % after" in page
    assert "<td>49.0 %</td><td>50.0 %</td>" in page, "as clips are analyzed, and as the network was scored"
    assert page.count("<b>") == page.count("</b>")


def test_the_video_is_the_clip_with_bars(make_clip: MakeClip) -> None:
    made = make_clip()
    made.analyze()
    with av.open(str(made.clip.video)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert [time for time, _ in frames] == pytest.approx([index / 25 for index in range(60)], abs=1e-4)
    best = by_hand(60)[0].argmax()
    colour = np.array([int(EXPRESSION_COLOURS[FER2013_CLASSES[best]][at : at + 2], 16) for at in (1, 3, 5)])

    def has(picture: np.ndarray) -> bool:
        panel = picture[150:330, 320:].astype(int)
        return bool((np.abs(panel - colour).max(axis=2) < 40).sum() > 20)

    assert has(frames[0][1]), "the most probable expression's bar"
    assert not has(frames[45][1]), "no bar without a face"


def test_a_clip_without_a_face(make_clip: MakeClip) -> None:
    made = make_clip((False,) * 12)
    summary = made.analyze()
    assert (summary.face_share, summary.valence_mean, summary.expressions) == (0.0, None, {})
    assert "No face was found in any of 12 frames" in made.clip.report.read_text(encoding="utf-8")
    assert pl.read_parquet(made.clip.table)["expression"].null_count() == 12
    assert str(summary) == "clip: a face in 0.0 % of 12 frames; no face"


def test_a_single_frame(make_clip: MakeClip) -> None:
    made = make_clip((True,))
    assert str(made.analyze()).startswith("clip: a face in 100.0 % of 1 frame; ")


def test_nothing_is_done_twice_and_what_is_gone_is_made_again(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_clip()
    made.analyze()
    key = analysis_key(made.recording, FACES, made.card)
    assert is_finished(made.clip, key)
    before = [path.stat().st_mtime_ns for path in made.clip.results]
    made.clip.report.unlink()
    monkeypatch.setattr(expressions, "write_expressions", _forbidden)
    monkeypatch.setattr(drawn, "write_video", _forbidden)
    made.analyze()
    assert is_finished(made.clip, key)
    after = [path.stat().st_mtime_ns for path in made.clip.results]
    assert (after[0], after[2]) == (before[0], before[2])
    other = analysis_key(made.recording, FACES, made.card.model_copy(update={"weights_sha256": "other"}))
    assert not is_finished(made.clip, other)


def _forbidden(*arguments: object, **options: object) -> None:
    raise AssertionError("done twice")


@pytest.mark.parametrize("stopped_at", ["report", "video"])
def test_a_stopped_analysis_goes_on(make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, stopped_at: str) -> None:
    made = make_clip()
    with monkeypatch.context() as stopped:
        where, name = (report, "write_report") if stopped_at == "report" else (drawn, "write_video")
        stopped.setattr(where, name, _stop)
        with pytest.raises(KeyboardInterrupt):
            made.analyze()
    assert stored_key(made.clip.table) == analysis_key(made.recording, FACES, made.card)
    assert not made.clip.video.exists()
    monkeypatch.setattr(expressions, "write_expressions", _forbidden)
    made.analyze()
    assert is_finished(made.clip, analysis_key(made.recording, FACES, made.card))
    assert {path.name for path in made.clip.out.iterdir()} == {".store", "clip.parquet", "clip.html", "clip.mp4"}


def _stop(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_a_clip_that_fails_is_recorded_and_clears_when_it_succeeds(make_clip: MakeClip) -> None:
    made = make_clip()
    write_rows(made.store, made.recording, made.valid[:-20])
    Path(made.store.frames("clip") / "part-00002.parquet").unlink()
    with pytest.raises(DecodeError, match="rows of clip end before frame 40"):
        made.analyze()
    (failure,) = read_failures(made.store).to_pylist()
    assert (failure["stage"], failure["recording_id"]) == ("analyze", "clip")
    assert not made.clip.video.exists()
    for result in made.clip.results:
        result.unlink(missing_ok=True)
    write_rows(made.store, made.recording, made.valid)
    made.analyze()
    assert read_failures(made.store).num_rows == 0


def test_a_clip_that_changed_is_refused(make_clip: MakeClip) -> None:
    made = make_clip()
    made.clip.path.write_bytes(made.clip.path.read_bytes() + b"more")
    with pytest.raises(SourceError, match="found another under that name"):
        made.analyze()
    assert not made.clip.table.exists()
