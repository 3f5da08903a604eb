"""What damaged containers do to PyAV, and that it stays an error with a name. Found by `benchmarks/damage.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.errors import AudioError, ProbeError
from tasks.ingest.audio import AudioTrack
from tasks.ingest.media import packets
from tasks.ingest.probe import probe_video


def renamed(clip: Path, target: Path, *boxes: bytes) -> Path:
    """A copy whose boxes of these names have one that nobody knows."""
    data = clip.read_bytes()
    for box in boxes:
        data = data.replace(box, b"zzzz")
    target.write_bytes(data)
    return target


def test_an_unknown_codec_has_a_name(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(ProbeError, match="found one of an unknown codec"):
        probe_video(renamed(clip, tmp_path / "video.mp4", b"avc1"))
    silent = renamed(clip, tmp_path / "audio.mp4", b"mp4a", b"esds")
    assert probe_video(silent).num_frames == 50
    with pytest.raises(AudioError, match="found a track of an unknown codec"):
        list(AudioTrack(silent).blocks())


def test_a_stream_that_turns_up_on_the_way_ends_nothing() -> None:
    """As PyAV's loop does it: everything is read, then flushing the newcomer fails."""

    class Container:
        def demux(self, _: object) -> Iterator[str]:
            yield from ("packet", "flush")
            raise IndexError("list index out of range")

    found: list[Any] = list(packets(cast(Any, Container()), cast(Any, None)))
    assert found == ["packet", "flush"]
