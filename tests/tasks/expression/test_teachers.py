"""Teachers and training without a held-out part, on SYNTHETIC faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from schemas.errors import SettingsError, StoreError
from tasks.expression.networks import load_expression
from tasks.expression.plan import predictions_path
from tasks.expression.stage import ExpressionRun, train_expression
from tasks.expression.teachers import taught

from .conftest import NUM_SHARED, TINY, Fer, changed


@pytest.fixture(scope="module")
def school(fer: Fer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a trained teacher, and the teacher's id."""
    store = tmp_path_factory.mktemp("school")
    run = train_expression(store, fer.path, changed(name="teacher", max_epochs=8))
    return store, run.cards[0].model_id


def test_targets_are_the_mix_of_labels_and_the_teachers_mean() -> None:
    torch.manual_seed(0)
    teachers = [nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2)]
    images, targets = torch.rand(5, 1, 2, 2), torch.eye(3)[[0, 1, 2, 0, 1]]

    [(same, mixed)] = taught(iter([(images, targets)]), teachers, share=0.7, precision="float32")

    assert same is images
    assert not mixed.requires_grad
    answers = []
    for teacher in teachers:
        linear = teacher[1]
        assert isinstance(linear, nn.Linear)
        logits = images.reshape(5, 4).double().numpy() @ linear.weight.detach().double().numpy().T
        powers = np.exp(logits + linear.bias.detach().double().numpy())
        answers.append(powers / powers.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(mixed.numpy(), 0.3 * targets.numpy() + 0.7 * np.mean(answers, axis=0), atol=1e-6)


def test_a_pupil_learns_from_answers_alone(fer: Fer, school: tuple[Path, str]) -> None:
    """With a share of 1 no label is read: what the pupil knows, it has from its teacher."""
    store, teacher = school
    settings = changed(name="pupil", max_epochs=8, teachers=[teacher], teacher_share=1.0)
    card = train_expression(store, fer.path, settings).cards[0]
    assert card.scores[0].accuracy > 0.6  # of seven classes
    assert card.settings["teachers"] == [teacher]


def test_a_teacher_has_to_fit(fer: Fer, school: tuple[Path, str]) -> None:
    store, teacher = school
    taught_by: dict[str, object] = {"name": "pupil", "teachers": [teacher], "teacher_share": 0.5}
    with pytest.raises(SettingsError, match=f"teacher {teacher} has split_seed 0, its pupil 1"):
        train_expression(store, fer.path, changed(**taught_by, split_seed=1))
    with pytest.raises(SettingsError, match=f"teacher {teacher} has classes"):
        train_expression(store, fer.path, changed(**taught_by, classes="four"))
    with pytest.raises(SettingsError, match=f"teacher {teacher} has choice_share 0.1, its pupil 0.2"):
        train_expression(store, fer.path, changed(**taught_by, choice_share=0.2))
    with pytest.raises(StoreError, match="nobody"):
        train_expression(store, fer.path, changed(**{**taught_by, "teachers": ["nobody-00000000"]}))


@pytest.fixture(scope="module")
def everything(fer: Fer, tmp_path_factory: pytest.TempPathFactory) -> ExpressionRun:
    """Trained with nothing held out."""
    return train_expression(tmp_path_factory.mktemp("store"), fer.path, changed(choice_share=0.0), score_test=True)


def test_nothing_is_held_out_and_the_last_epoch_counts(everything: ExpressionRun) -> None:
    card = everything.cards[0]
    assert sum(card.dataset.fit.values()) == 210 - NUM_SHARED
    assert card.dataset.choice == {}
    assert card.selected_on is None
    assert card.best_epoch == len(card.history) - 1 == TINY.max_epochs - 1
    assert all(record.choice_accuracy is None for record in card.history)
    assert [(score.split, score.subset) for score in card.scores] == [("public_test", "all"), ("public_test", "unseen")]
    assert not predictions_path(everything.models / card.model_id, "choice").exists()
    load_expression(everything.models / card.model_id)
    page = everything.report.read_text(encoding="utf-8")
    assert "nothing is held out; the last epoch counts" in page


def test_a_model_that_nothing_judges_is_refused(fer: Fer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="only a test split can judge"):
        train_expression(tmp_path, fer.path, changed(choice_share=0.0))


def test_settings_that_contradict_each_other() -> None:
    for values, told in (
        ({"teachers": ["a-00000000"]}, "together with teacher_share"),
        ({"teacher_share": 0.5}, "together with teacher_share"),
        ({"choice_share": 0.0, "patience": 3}, "nothing to choose on"),
        ({"choice_share": 0.0, "schedule": "plateau"}, "nothing to choose on"),
    ):
        with pytest.raises(ValidationError, match=told):
            changed(**values)
