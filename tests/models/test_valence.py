"""Categories to valence: every class of the networks has one, and an expectation is an expectation."""

from __future__ import annotations

import numpy as np
import pytest

from models.valence import VALENCE, expected_valence, valence_of
from schemas.expressions import AFFECTNET_CLASSES, FERPLUS_COLUMNS, FOUR_CLASSES, SEVEN_CLASSES


def test_every_expression_has_a_valence_and_nothing_else() -> None:
    names = {*SEVEN_CLASSES, *FOUR_CLASSES, *FERPLUS_COLUMNS.values(), *AFFECTNET_CLASSES}
    assert names - set(VALENCE) == {"unknown", "no-face", "none", "uncertain"}
    assert set(VALENCE) <= names
    assert all(-1 <= value <= 1 for value in VALENCE.values())
    assert VALENCE["happy"] > VALENCE["surprise"] > VALENCE["neutral"] == 0 > VALENCE["angry"] > VALENCE["fear"]


def test_the_expectation_is_the_sum_over_classes() -> None:
    drawn = np.random.default_rng(0).dirichlet(np.ones(7), size=(3, 5))
    found = expected_valence(drawn, SEVEN_CLASSES)
    assert found.shape == (3, 5)
    for place in np.ndindex(3, 5):
        by_hand = sum(float(drawn[place][k]) * VALENCE[name] for k, name in enumerate(SEVEN_CLASSES))
        assert found[place] == pytest.approx(by_hand, abs=1e-12)
    sure = expected_valence(np.eye(4), FOUR_CLASSES)
    assert sure.tolist() == [VALENCE[name] for name in FOUR_CLASSES]


def test_what_has_no_valence_is_named() -> None:
    with pytest.raises(ValueError, match="got no-face, none"):
        valence_of(["happy", "no-face", "none"])
    with pytest.raises(ValueError, match=r"each of 4 classes, got shape \(2, 7\)"):
        expected_valence(np.ones((2, 7)) / 7, FOUR_CLASSES)
