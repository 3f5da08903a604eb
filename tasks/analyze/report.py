"""The page of a clip: one HTML file that fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.classification import recalls
from models.valence import VALENCE, valence_of
from schemas.cards import ExpressionCard, ExpressionScore
from schemas.tables import CHIP_SIZE
from tasks.analyze.charts import ROW_HEIGHT, VALENCE_HEIGHT, draw_charts
from tasks.analyze.clips import WORK_FOLDER, Clip
from tasks.analyze.content import (
    EXPRESSION_COLOURS,
    NOUNS,
    Analysis,
    Moment,
    read_analysis,
    sampled_moments,
    strongest_moments,
)
from tasks.analyze.faceless import why_no_face
from tasks.analyze.plan import KEY_MARK, SMOOTHING_SECONDS, VIEWS
from tasks.expression.pictures import face_uri
from tasks.ingest.checks import broken_off
from tasks.ingest.recordings import Recording
from tasks.report import templates, words
from tasks.report.drawing import WIDTH
from tasks.report.ink import FACE_COLOURS, FACE_WORDS
from tasks.store.layout import Store
from tasks.store.parts import code_version, write_text
from tasks.training.data import chip_batches

SAMPLES_SHOWN = 12
GAPS_SHOWN = 12

VALENCE_SOURCE = (
    "Mean pleasure of the terms angry, disgusted, fearful, happy, sad and surprised: Russell, Mehrabian 1977, "
    "\N{LEFT DOUBLE QUOTATION MARK}Evidence for a three-factor theory of emotions\N{RIGHT DOUBLE QUOTATION MARK}, "
    "Journal of Research in Personality 11, from \N{MINUS SIGN}1 to 1. Neutral is set to 0 here, contempt to "
    "\N{MINUS SIGN}0.4. They are norms of words for feelings, not of faces; surprise is the weakest, for it can be "
    "pleasant or not."
)
LIMITS = (
    "It is an estimate of the word that the people who labelled {learned_from} would have given this face in a still "
    "picture. It is no reading of what the person feels: a smile can be polite, a frown can be attention.",
    "Photographs of faces are often posed; those of FER2013 were found by web search, cropped and made gray. "
    "Talking faces in a conversation are something else: an open mouth looks like surprise, and a resting face "
    "or one that looks down often like sadness.",
    "Even on photographs of its own kind the network is wrong about a large part of the faces, and people disagree "
    "with each other about many of them. Single frames flicker; trust stretches, not moments.",
    "Accuracy differs between people, ages, skin tones, lighting and head poses, and nobody has measured here by how "
    "much. Do not compare people by it.",
    "Valence here is a sum over those words. It is not what a rater would have rated while watching, and not what "
    "AffectFlow predicts after training on ratings. Arousal is not estimated: still faces say too little of it.",
    "Do not use it to judge, select or watch people, and analyze nobody who has not agreed to it.",
)


@dataclass(frozen=True)
class Shown:
    """A moment with its picture and its words."""

    uri: str
    title: str
    time: str
    told: tuple[str, ...]


def write_report(store: Store, recording: Recording, clip: Clip, card: ExpressionCard) -> Analysis:
    """Write the page of a clip from its table, and return what the table says.

    Raises:
        StoreError: table or chips are missing, or the folder cannot be written.
    """
    analysis = read_analysis(clip.table, card.classes)
    environment = templates.environment(Path(__file__).parent)
    content = _content(store, recording, clip, card, analysis)
    write_text(clip.report, environment.get_template("analysis.html.j2").render(content))
    return analysis


def _content(
    store: Store, recording: Recording, clip: Clip, card: ExpressionCard, analysis: Analysis
) -> dict[str, Any]:
    duration = max(recording.duration_seconds, float(analysis.times[-1]), 1e-3)
    gaps = analysis.gaps(duration)
    known = analysis.valence[analysis.valid]
    strongest, sampled = strongest_moments(analysis), sampled_moments(analysis, SAMPLES_SHOWN)
    learned_from = " and ".join(card.learned_from)
    uris = _pictures(store, recording, {moment.frame for moment in (*strongest, *sampled)})
    return {
        "mark": f"{KEY_MARK}{analysis.key}",
        "clip": clip,
        "recording": recording,
        "analysis": analysis,
        "card": card,
        "verdict": verdict(analysis),
        "why_no_face": why_no_face(recording),
        "broken_off": broken_off(store, recording),
        "charts": draw_charts(analysis, duration),
        "box": (WIDTH, VALENCE_HEIGHT, ROW_HEIGHT),
        "order": sorted(analysis.shares, key=lambda name: -analysis.shares[name]),
        "colours": EXPRESSION_COLOURS,
        "valence": VALENCE,
        "valence_source": VALENCE_SOURCE,
        "valence_mean": float(known.mean()) if known.size else None,
        "valence_unsure": float(valence_of(analysis.classes).mean()),
        "smoothing_seconds": SMOOTHING_SECONDS,
        "views": VIEWS,
        "strongest": [_shown(analysis, moment, uris) for moment in strongest],
        "sampled": [_shown(analysis, moment, uris) for moment in sampled],
        "sources": [(FACE_WORDS[name], FACE_COLOURS[name], analysis.sources.count(name)) for name in FACE_COLOURS],
        "gaps": sorted(sorted(gaps, key=lambda span: span[0] - span[1])[:GAPS_SHOWN]),
        "num_gaps": len(gaps),
        "longest_gap": max((end - start for start, end in gaps), default=0.0),
        "duration": duration,
        "scores": [score for score in card.scores if score.split != "choice"],
        "split_words": split_words,
        "scored_views": int(card.settings.get("test_views", 1)),
        "used_accuracy": partial(used_accuracy, card),
        "recalls": class_recalls(card),
        "learned_from": learned_from,
        "limits": [text.format(learned_from=learned_from) for text in LIMITS],
        "work_folder": WORK_FOLDER,
        "written_at": datetime.now(UTC),
        "code_version": code_version(),
    }


def verdict(analysis: Analysis) -> str:
    """One sentence: how often which expression, and how much of the clip shows a face."""
    if not analysis.num_faces:
        return f"No face was found in any of {words.count(analysis.num_frames, 'frame')}, so nothing can be said."
    leading = sorted(analysis.shares.items(), key=lambda one: -one[1])
    told = [f"{NOUNS[name]} in {100 * share:.0f} %" for name, share in leading if share >= 0.05][:3]
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    face = 100 * analysis.num_faces / analysis.num_frames
    return f"The face looks {listed} of the frames that show one, which are {face:.1f} % of the clip."


def split_words(score: ExpressionScore) -> str:
    """What a score is of, for people."""
    name = {"public_test": "PublicTest", "private_test": "PrivateTest"}.get(score.split, score.split)
    return name if score.subset == "all" else f"{name}, without faces that also stand in Training"


def used_accuracy(card: ExpressionCard, score: ExpressionScore) -> str:
    """Accuracy as clips are analyzed, measured when the weights were rounded to ship; a dash where it was not."""
    split = score.split if score.subset == "all" else f"{score.split} {score.subset}"
    found = None if card.shipped is None else card.shipped.accuracy_after.get(split)
    return words.DASH if found is None else f"{100 * found:.1f} %"


def class_recalls(card: ExpressionCard) -> list[tuple[str, float, str]]:
    """For each class with faces the share of them that were named right, and what the others were called most often.

    On the first split that nothing was chosen on; none if the network was scored on none.
    """
    score = next((one for one in card.scores if one.split != "choice" and one.subset == "all"), None)
    if score is None:
        return []
    confusion = np.array(score.confusion)
    right = recalls(confusion)
    rows = []
    for place, name in enumerate(card.classes):
        others = confusion[place].copy()
        others[place] = -1
        most = int(others.argmax())
        if faces := int(confusion[place].sum()):
            share = confusion[place, most] / faces
            rows.append((name, float(right[place]), f"{card.classes[most]}, {100 * share:.0f} %"))
    return rows


def _shown(analysis: Analysis, moment: Moment, uris: dict[int, str]) -> Shown:
    values = analysis.probabilities[moment.frame]
    first, second = np.argsort(-values, kind="stable")[:2].tolist()
    told = tuple(f"{analysis.classes[place]} {100 * values[place]:.0f} %" for place in (first, second))
    valence = f"valence {words.number(float(analysis.smoothed[moment.frame]), 2)}"
    time = words.precise_clock(float(analysis.times[moment.frame]))[:-2]
    return Shown(uris[moment.frame], moment.title, time, (*told, valence))


def _pictures(store: Store, recording: Recording, frames: set[int]) -> dict[int, str]:
    """Chips of frames with a face, as data URIs by frame."""
    wanted = sorted(frames)
    use = np.zeros(max(wanted, default=-1) + 1, dtype=bool)
    use[wanted] = True
    use = np.concatenate([use, np.zeros(max(recording.num_frames - len(use), 0) + 1, dtype=bool)])
    found: Sequence[str] = [
        face_uri(chip.reshape(CHIP_SIZE, CHIP_SIZE, -1))
        for chips in chip_batches(store.frames(recording.recording_id), use)
        for chip in chips
    ]
    return dict(zip(wanted, found, strict=True))
