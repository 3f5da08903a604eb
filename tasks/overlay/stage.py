"""Write an overlay: decode, draw, encode, one frame at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as pq

from schemas.errors import DecodeError, StoreError
from tasks.faces.decode import FrameStream, Picture, shown_size
from tasks.ingest.recordings import Recording, read_corpus_note
from tasks.overlay.canvas import Canvas
from tasks.overlay.inputs import check_source, check_target, choose_model, find_recording, frame_parts
from tasks.overlay.layout import Painter, lay_out
from tasks.overlay.people import OtherPeople
from tasks.overlay.sound import Sound, has_sound
from tasks.overlay.trace import read_trace
from tasks.progress import track
from tasks.report.timeline import read_timeline
from tasks.report.words import corpus_tag
from tasks.store.layout import Store
from tasks.store.parts import replacing

_BATCH_ROWS = 250
_FINEST = 90_000  # ticks a second, at least: times that are off the stream's own grid are kept to 6 microseconds
_TIME_TOLERANCE = 1e-3
_ENCODER = {"preset": "veryfast", "crf": "20", "bf": "0"}  # no B-frames: pictures are stored as they are shown


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What was written."""

    path: Path
    recording_id: str
    model_id: str | None
    num_frames: int
    shares: dict[str, float]
    """Share of the frames by `face_source`."""


def write_overlay(store: Store, name: str, *, target: Path | None = None, model: str | None = None) -> Overlay:
    """Draw a recording's stored rows into its own pictures, and write them as H.264 with the stream's own times.

    Memory does not grow with the recording but for its times and predictions: 9 bytes a frame and 4 for each rater.

    Args:
        store: where the rows stand.
        name: id of a recording, or its name in the corpus.
        target: the video to write, `.mp4`; `ID-overlay.mp4` in the current folder by default.
        model: whose predictions are drawn; by default those of the report's first model, if there are any.

    Raises:
        UnusableInputError: no such recording, its file has changed or is missing, or `target` cannot be used.
        StoreError: there are no rows of it, no predictions by `model`, or the folder cannot be written.
        DecodeError: the pictures are not those that the rows were made from.
    """
    recording = find_recording(store, name)
    target = target or Path.cwd() / f"{recording.recording_id}-overlay.mp4"
    check_target(store, target)
    check_source(store, recording)
    model_id = choose_model(store, recording, model)
    parts = frame_parts(store, recording)
    timeline = read_timeline(parts)
    duration = max(recording.duration_seconds, float(timeline.times[-1]), 1e-3)
    predictions = store.predictions(model_id, recording.recording_id) if model_id else None
    trace = read_trace(
        predictions, store.ratings(recording.recording_id), timeline, model_id=model_id, duration=duration
    )
    layout = lay_out(shown_size(recording), trace)
    tag = corpus_tag(read_corpus_note(store))
    others = OtherPeople(store, recording.recording_id)
    painter = Painter(layout, timeline, trace, duration=duration, tag=tag)
    write_drawn(
        store, recording, target, lambda picture, row: painter.paint(picture, row, others.at(row["frame_index"]))
    )
    return Overlay(
        path=target,
        recording_id=recording.recording_id,
        model_id=model_id,
        num_frames=timeline.num_frames,
        shares=timeline.shares,
    )


def write_drawn(
    store: Store,
    recording: Recording,
    target: Path,
    paint: Callable[[Picture, dict[str, Any]], Canvas],
    *,
    comment: str = "",
) -> None:
    """Decode a recording, have each picture drawn with its row in `frames`, and encode what was drawn and its sound.

    Args:
        store: where the rows stand.
        recording: what is decoded.
        target: the video to write, `.mp4`; it appears there once it is whole.
        paint: draws one picture; the canvas may be the same object each time.
        comment: goes into the video's metadata.

    Raises:
        StoreError: there are no rows, or the folder cannot be written.
        DecodeError: the pictures are not those that the rows were made from.
        AudioError: the sound can no longer be decoded.
    """
    parts = frame_parts(store, recording)
    with (
        replacing(target) as unfinished,
        track(
            f"video {recording.recording_id}",
            recording.num_frames,
            "frames",
            recorded_seconds=recording.duration_seconds,
        ) as bar,
    ):
        drawn = ((paint(picture, row), picture, row) for picture, row in _matched(store, recording, parts))
        for _ in _encoded(unfinished, drawn, recording, comment=comment):
            bar.advance()


def _rate(recording: Recording) -> Fraction:
    """About how many frames a second there are: for the encoder's estimates, not for times."""
    rate = recording.frame_rate_nominal or recording.num_frames / max(recording.duration_seconds, 1e-3)
    return Fraction(min(max(rate, 1.0), 1000.0)).limit_denominator(1001)


def _matched(store: Store, recording: Recording, parts: list[Path]) -> Iterator[tuple[Picture, dict[str, Any]]]:
    """Each picture with its row, by order and by time.

    Raises:
        DecodeError: the stream has more or fewer pictures than there are rows, or at other times.
    """
    again = f"run `affectflow faces --store {store.root}` again"
    rows = _stream_rows(parts)
    zero: float | None = None
    position = -1
    with FrameStream(Path(recording.path), size=shown_size(recording)) as stream:
        for position, picture in enumerate(stream):
            row = next(rows, None)
            if row is None:
                raise DecodeError(
                    f"{recording.path}: the rows of {recording.recording_id} end before frame {position}; {again}"
                )
            if recording.time_source == "stream":
                shown = float(picture.pts * picture.time_base)
                zero = shown - row["time_seconds"] if zero is None else zero
                if abs(shown - zero - row["time_seconds"]) > _TIME_TOLERANCE:
                    raise DecodeError(
                        f"{recording.path}: frame {position} is shown at {shown - zero:.6f} s, "
                        f"its row says {row['time_seconds']:.6f} s; {again}"
                    )
            yield picture, row
    if next(rows, None) is not None:
        raise DecodeError(f"{recording.path}: ends after frame {position}, but there are rows of more frames; {again}")


def _stream_rows(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Every row as a dictionary, in order, with a few hundred in memory at a time."""
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from batch.to_pylist()


def _encoded(
    path: Path, drawn: Iterator[tuple[Canvas, Picture, dict[str, Any]]], recording: Recording, *, comment: str
) -> Iterator[None]:
    """Encode canvases at their rows' times, beside the recording's sound if it has one; yields once for each.

    Raises:
        StoreError: encoding failed.
        AudioError: the sound can no longer be decoded.
    """
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata["comment"] = comment
            stream = container.add_stream("libx264", rate=_rate(recording), options=_ENCODER)
            sound = Sound(recording, container) if has_sound(recording) else None
            time_base: Fraction | None = None
            for canvas, picture, row in drawn:
                if time_base is None:
                    time_base = picture.time_base / max(1, math.ceil(_FINEST * picture.time_base))
                    stream.width, stream.height, stream.pix_fmt = canvas.width, canvas.height, "yuv420p"
                    stream.codec_context.time_base = stream.time_base = time_base
                    _declare_colours(stream.codec_context)
                frame = av.VideoFrame.from_ndarray(canvas.array, format="yuv420p")
                frame.pts, frame.time_base = round(row["time_seconds"] / time_base), time_base
                container.mux(stream.encode(frame))
                if sound is not None:
                    container.mux(sound.until(row["time_seconds"]))
                yield
            container.mux(stream.encode())
            if sound is not None:
                container.mux(sound.rest())
    except av.FFmpegError as error:
        raise StoreError(f"{path}: cannot be encoded ({error}); free space, or name another file with --out") from error


def _declare_colours(context: av.VideoCodecContext) -> None:
    """Limited-range BT.601, as the pictures are: a player that has to guess would take a large one for BT.709."""
    context.color_range = 1  # AVCOL_RANGE_MPEG
    context.colorspace = context.color_primaries = context.color_trc = 6  # SMPTE 170M
