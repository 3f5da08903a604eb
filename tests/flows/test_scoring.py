"""What a report compares: which models, what is said of those left out, and labels that are never the same for two."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Literal

import pytest
import typer

from flows import stages
from flows.commands.shared import command
from flows.results import faces_in, training_of
from flows.scoring import chosen_cards, scoring_of
from schemas.cards import ModelCard, Seen
from schemas.errors import LeakError
from schemas.evaluation import EvaluateSettings
from schemas.tables import PREDICTIONS
from tasks.ingest.recordings import recordings_table
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part, write_text

from ..tasks.conftest import Fake, recording_of


def card(name: str, number: int, *, seed: int = 0, reads: str | None = None, control: bool = False) -> ModelCard:
    kind: Literal["chips", "features"] = "chips" if reads is None else "features"
    return ModelCard(
        model_id=f"{name}-{number:08x}",
        name=name,
        input=kind,
        stage_key="k",
        weights_sha256="0" * 64,
        num_parameters=1,
        dimension="valence",
        raters=("A",),
        features_model_id=reads,
        is_control=control,
        train_recordings=(),
        dev_recordings=(),
        selected_on="dev",
        best_epoch=0,
        dev_ccc=0.1,
        history=(),
        settings={"seed": seed, "label_delay_seconds": 0.0},
        code_version="0",
        torch_version="2",
        device="cpu",
        provenance={},
    )


CNN = card("cnn", 1)
RNN = card("rnn", 2, reads=CNN.model_id)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ([CNN, RNN], ["CNN + RNN", "single-frame CNN"]),
        (
            [CNN, card("rnn", 4, seed=1, reads=CNN.model_id), RNN],
            ["CNN + RNN, seed 0", "CNN + RNN, seed 1", "single-frame CNN"],
        ),
        (
            [CNN, RNN, card("late", 3, reads=CNN.model_id), card("rnn", 4, seed=1, reads=CNN.model_id)],
            ["late", "rnn, seed 0", "rnn, seed 1", "single-frame CNN"],
        ),
        ([CNN, card("cnn", 5)], ["single-frame CNN (00000001)", "single-frame CNN (00000005)"]),
    ],
)
def test_every_model_has_a_label_of_its_own(cards: list[ModelCard], expected: list[str]) -> None:
    rows = scoring_of(cards, EvaluateSettings()).rows
    assert [row.label for row in rows if row.role in ("model", "single-frame")] == expected
    assert len({row.label for row in rows}) == len(rows)


def stored(root: Path, *cards: ModelCard) -> Store:
    """A store with a test recording, cards, and something predicted by each."""
    store = Store(root)
    one = recording_of(Fake(recording_id="C1", partition="test"))
    write_part(store.recordings, recordings_table([one]), Provenance(stage="ingest", stage_key="k"))
    for each in cards:
        write_text(store.model(each.model_id) / "card.json", each.model_dump_json())
        predicted = store.predictions(each.model_id, "C1")
        write_part(predicted, PREDICTIONS.empty_table(), Provenance(stage="predict", stage_key="k"))
    return store


def test_an_old_model_costs_the_others_nothing(tmp_path: Path) -> None:
    gone = card("old", 3).model_copy(update={"train_recordings": ("A9",)})
    known = gone.model_copy(
        update={"model_id": "away-00000004", "seen": {"A9": Seen(subject_id="S9", sha256="9" * 64)}}
    )
    store, settings = stored(tmp_path / "store", CNN, gone, known), EvaluateSettings()
    chosen = chosen_cards(store, (), settings)
    assert [one.model_id for one in chosen.cards] == ["away-00000004", CNN.model_id]
    assert set(chosen.left_out) == {gone.model_id}
    assert [told.partition(" ")[0] for told in chosen.unchecked] == ["away-00000004"]
    assert len(chosen.notes) == 2
    named = chosen_cards(store, (gone.model_id,), settings)  # the evaluation refuses it
    assert ([one.model_id for one in named.cards], named.left_out) == ([gone.model_id], {})
    alone = stored(tmp_path / "alone", gone)
    with pytest.raises(LeakError, match=r"no model can be scored\. old-00000003 was trained or selected on A9"):
        chosen_cards(alone, (), settings)


def test_what_was_left_out_is_said_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left:
        command(lambda: {"failed": [], "left_out": {"old-1": "learned from [A9]"}}, as_json=True)
    told = capsys.readouterr()
    assert (left.value.exit_code, told.err) == (1, "left out: old-1: learned from [A9]\n")
    assert json.loads(told.out)["left_out"] == {"old-1": "learned from [A9]"}


def test_the_last_state_of_a_run_names_them(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", CNN)
    assert stages.concluded(store, 1, left_out={}) == 1
    state: Any = stages.concluded(store, 1, left_out={"old-1": "gone"})
    assert (state.name, state.message) == ("Completed, left out: old-1", "left out: old-1: gone. The others are done.")


def test_next_commands_can_be_pasted(tmp_path: Path) -> None:
    """A store in a folder with a blank."""
    store = stored(tmp_path / "my store", CNN)
    said = [faces_in(store.root)["said"], training_of(store.root, CNN.model_copy(update={"history": ()}))["said"]]
    for one in said:
        words = shlex.split(one.partition("next: ")[2])
        assert words[words.index("--store") + 1] == str(store.root)


def test_controls_are_called_so() -> None:
    controls = [card("cnn-control", 6, control=True), card("other-control", 7, control=True)]
    labels = [row.label for row in scoring_of([CNN, *controls], EvaluateSettings()).rows if row.role == "control"]
    assert labels == ["control: cnn-control", "control: other-control"]
