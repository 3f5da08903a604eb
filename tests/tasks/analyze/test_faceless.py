"""What a clip without a face is told: ffmpeg itself carries the advice out, and turns the picture as it says."""

from __future__ import annotations

import dataclasses
import html
import shlex
from pathlib import Path

import numpy as np
import pytest

from tasks.analyze.faceless import why_no_face
from tasks.ingest.probe import probe_video

from ..ingest.conftest import run_ffmpeg
from .conftest import MakeClip


def film(path: Path, *, metadata: str) -> Path:
    """A film that is dark on top and bright below, whose metadata turn it."""
    plain = path.with_name("plain.mp4")
    run_ffmpeg("-f", "lavfi", "-i", "gradients=s=128x64:c0=black:c1=white:x0=0:y0=0:x1=0:y1=63:d=0.4:speed=0", plain)
    return run_ffmpeg("-display_rotation", metadata, "-i", plain, "-c", "copy", path)


def shown(path: Path) -> np.ndarray:
    """The first picture as a player shows it, gray, `[height, width]`."""
    from PIL import Image

    picture = run_ffmpeg("-i", path, "-frames:v", "1", "-pix_fmt", "gray", path.with_suffix(".png"))
    with Image.open(picture) as image:
        return np.asarray(image, dtype=float)


def carried_out(command: str) -> Path:
    """The file that a command makes, run word by word as a shell would."""
    program, *arguments = shlex.split(command)
    assert program == "ffmpeg"
    return run_ffmpeg(*arguments)


@pytest.mark.parametrize(
    ("metadata", "turns"), [("90", "a quarter anticlockwise"), ("-90", "a quarter clockwise"), ("180", "upside down")]
)
def test_metadata_that_turn_the_picture_are_told_and_taken_away(
    make_clip: MakeClip, tmp_path: Path, metadata: str, turns: str
) -> None:
    path = film(tmp_path / "it's lying.mp4", metadata=metadata)
    rotation = probe_video(path).rotation
    recording = dataclasses.replace(make_clip((False,) * 2).recording, path=str(path), rotation=rotation)
    advice = why_no_face(recording)
    assert f"metadata turn the picture {turns}," in advice.text
    copy = carried_out(advice.command)
    assert probe_video(copy).rotation == 0
    np.testing.assert_array_equal(shown(copy), shown(tmp_path / "plain.mp4"))


def test_a_picture_that_nothing_turns_can_be_turned(make_clip: MakeClip, tmp_path: Path) -> None:
    path = film(tmp_path / "lying.mov", metadata="0")
    recording = dataclasses.replace(make_clip((False,) * 2).recording, path=str(path), rotation=0)
    advice = why_no_face(recording)
    assert "metadata" not in advice.text
    assert "here a quarter anticlockwise" in advice.text
    before = shown(path)
    assert before[-1].mean() - before[0].mean() > 150
    np.testing.assert_allclose(shown(carried_out(advice.command)), np.rot90(before), atol=8)


def test_page_and_summary_say_it(make_clip: MakeClip) -> None:
    made = make_clip((False,) * 12)
    (note,), page = made.analyze().notes, made.clip.report.read_text(encoding="utf-8")
    advice = why_no_face(made.recording)
    assert note == f"{advice.text}: {advice.command}"
    assert advice.text in html.unescape(page)
    assert f"<code>{advice.command}</code>" in html.unescape(page)
    assert "labeller would probably have written" not in page


def test_where_there_is_a_face_nothing_is_said(make_clip: MakeClip) -> None:
    made = make_clip()
    assert made.analyze().notes == ()
    assert "-display_rotation" not in made.clip.report.read_text(encoding="utf-8")
