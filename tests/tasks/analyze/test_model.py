"""Which network clips are analyzed with: the package's, or a folder of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import ANY

import polars as pl
import pytest
import torch

from schemas.cards import ExpressionCard, StartCard
from schemas.errors import StoreError, UnusableInputError
from schemas.settings import FacesSettings
from schemas.training import NamedNetwork
from tasks.analyze.model import analysis_model
from tasks.analyze.report import class_recalls
from tasks.analyze.stage import analyze_clip
from tasks.expression import shipped
from tasks.expression.networks import build_network
from tasks.expression.plan import FinishedModel
from tasks.store.cards import CARD_FILE, WEIGHTS_FILE
from tasks.store.parts import read_provenance
from tasks.training.networks import weights_bytes, weights_sha256

from .conftest import TINY, MakeClip


def own_model(folder: Path, card: ExpressionCard, *classes: str, **changes: object) -> FinishedModel:
    """A random network of a user's own."""
    torch.manual_seed(8)
    data = weights_bytes(build_network(NamedNetwork(name="shallow", options=TINY), len(classes)))
    sha256 = weights_sha256(data)
    found = {"classes": classes, "weights_sha256": sha256, "model_id": f"own-{sha256[:8]}", "scores": (), **changes}
    own = card.model_copy(update={**found, "shipped": None})
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(data)
    (folder / CARD_FILE).write_text(own.model_dump_json(), encoding="utf-8")
    return FinishedModel(folder, own)


def test_a_folder_is_a_model_and_shipped_is_the_packages(tmp_path: Path, card: ExpressionCard) -> None:
    model = own_model(tmp_path / "own", card, "happy", "sad", "contempt")
    assert analysis_model(str(model.folder)) == model
    assert analysis_model("shipped").card == shipped.shipped_card()


def test_what_cannot_serve_is_refused(tmp_path: Path, card: ExpressionCard) -> None:
    with pytest.raises(UnusableInputError, match=r"nowhere: expected shipped, or the folder of .* found no card\.json"):
        analysis_model(str(tmp_path / "nowhere"))
    model = own_model(tmp_path / "own", card, "happy", "bored")
    with pytest.raises(UnusableInputError, match=r"expected classes that have a valence \(angry, .*found bored too"):
        analysis_model(str(model.folder))
    (model.folder / CARD_FILE).write_text('{"input": "chips", "model_id": "cnn"}', encoding="utf-8")
    with pytest.raises(StoreError, match=r"card\.json: expected .* found a valence model's \(input chips\)"):
        analysis_model(str(model.folder))
    gone = own_model(tmp_path / "gone", card, "happy", "sad")
    (gone.folder / WEIGHTS_FILE).unlink()
    with pytest.raises(StoreError, match=r"model\.safetensors: cannot be read"):
        analysis_model(str(gone.folder))
    four = own_model(tmp_path / "four", card, "happy", "sad", channels=4)
    with pytest.raises(UnusableInputError, match="1 channel or 3, found 4"):
        analysis_model(str(four.folder))


def test_another_network_takes_the_place_of_the_results(
    tmp_path: Path, card: ExpressionCard, make_clip: MakeClip
) -> None:
    made = make_clip()
    made.analyze()
    model = own_model(tmp_path / "own", card, "contempt", "happy", "neutral")

    def analyzed() -> pl.DataFrame:
        analyze_clip(made.store, made.recording, made.clip, model, FacesSettings(), device="cpu")
        return pl.read_parquet(made.clip.table)

    table = analyzed()
    said = table.filter("face_valid")
    names = [name for name in table.columns if name.startswith("probability_")]
    assert names == ["probability_contempt", "probability_happy", "probability_neutral"]
    expected = -0.40 * said["probability_contempt"] + 0.81 * said["probability_happy"]
    assert (said["valence_estimate"] - expected).abs().max() < 1e-6  # type: ignore[operator]
    provenance = read_provenance(made.clip.table) or {}
    assert provenance["model_hash"] == model.card.weights_sha256
    page = made.clip.report.read_text(encoding="utf-8")
    assert model.card.model_id in page
    assert ">contempt<" in page
    written = made.clip.table.stat().st_mtime_ns
    analyzed()
    assert made.clip.table.stat().st_mtime_ns == written


def test_damaged_weights_of_ones_own_are_told(tmp_path: Path, card: ExpressionCard, make_clip: MakeClip) -> None:
    model = own_model(tmp_path / "own", card, "happy", "neutral")
    shutil.copyfile(shipped.shipped_folder() / WEIGHTS_FILE, model.folder / WEIGHTS_FILE)
    made = make_clip()
    with pytest.raises(StoreError, match=r"sha256 .* expected .*train the model again"):
        analyze_clip(made.store, made.recording, made.clip, model, FacesSettings(), device="cpu")


def test_the_page_says_what_all_of_the_network_learned_from(card: ExpressionCard) -> None:
    first = StartCard(model_id="a-00000000", weights_sha256="0", dataset="FER2013", terms="t", licence="l")
    second = first.model_copy(update={"dataset": "theirs", "start": first})
    assert card.learned_from == ("invented",)
    assert card.model_copy(update={"start": second}).learned_from == ("FER2013", "theirs", "invented")


def test_a_class_that_nobody_tested_has_no_row(card: ExpressionCard) -> None:
    (score,) = card.scores
    confusion = [[0] * 7 for _ in range(7)]
    confusion[1][1], confusion[1][3], confusion[3][3] = 3, 1, 2
    tested = card.model_copy(update={"scores": (score.model_copy(update={"confusion": confusion}),)})
    assert class_recalls(tested) == [(card.classes[1], 0.75, f"{card.classes[3]}, 25 %"), (card.classes[3], 1.0, ANY)]
