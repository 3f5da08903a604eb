"""Leaks are errors, and a model that would leak costs the others nothing unless it is asked for by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.errors import LeakError
from schemas.evaluation import Partition
from tasks.evaluation.compare import compare
from tasks.evaluation.leaks import MARK, left_out, unchecked
from tasks.evaluation.plan import TRAINING_MEAN
from tasks.evaluation.protocol import describe
from tasks.evaluation.stage import evaluate
from tasks.store.cards import CARD_FILE

from ..conftest import Corpus
from .conftest import FULL, scored


def test_leaks_are_errors(full_corpus: Corpus) -> None:
    store, recordings, ids = full_corpus.store, full_corpus.recordings, [full_corpus.rnn.model_id]
    twice = [replace(r, subject_id="same") if r.recording_id in ("A1", "C1") else r for r in recordings]
    with pytest.raises(LeakError, match="subject same is in two partitions: A1 in train, C1 in test"):
        evaluate(store, twice, ids, "valence", FULL)
    undeclared = FULL.model_copy(update={"scored_on": ("dev",)})
    with pytest.raises(LeakError, match=r"scored on dev, where dev served to fit or select.*declares_overlap = true"):
        evaluate(store, recordings, ids, "valence", undeclared)
    moved = [replace(r, partition="test") if r.recording_id == "A2" else r for r in recordings]
    with pytest.raises(LeakError, match=r"tiny-.*was trained on A2 .*A2 of test is to be scored"):
        evaluate(store, moved, ids, "valence", FULL)
    moved = [replace(r, partition="test") if r.recording_id == "B2" else r for r in recordings]
    with pytest.raises(LeakError, match=r"tiny-.*was selected on B2"):
        evaluate(store, moved, ids, "valence", FULL)
    copied = [replace(r, sha256="c" * 64) if r.recording_id in ("A1", "C1") else r for r in recordings]
    with pytest.raises(LeakError, match=r"the video of C1 \(sha256 cccccccccccc\) is in two partitions: A1 in train"):
        evaluate(store, copied, ids, "valence", FULL)
    twins = [replace(r, sha256="c" * 64) if r.recording_id in ("B1", "B2") else r for r in recordings]
    evaluate(store, twins, ids, "valence", FULL)  # one video twice in a partition is no leak
    kin = [replace(r, subject_id="kin") if r.recording_id in ("A1", "D1") else r for r in recordings]
    evaluate(store, kin, ids, "valence", FULL)  # D1 is in no partition
    (store.model(full_corpus.cnn.model_id) / CARD_FILE).unlink()
    with pytest.raises(LeakError, match=r"reads the features of tiny-cnn-.*, whose card is not in the store"):
        evaluate(store, recordings, ids, "valence", FULL)


def test_who_left_the_store_is_known_by_the_card(full_corpus: Corpus) -> None:
    """Subject and video stand in it, so that a leak is noticed, and the rest is said not to be checked."""
    store, recordings, ids = full_corpus.store, full_corpus.recordings, [full_corpus.rnn.model_id]
    assert full_corpus.rnn.seen["A2"].model_dump() == {"subject_id": "A2", "sha256": "4132".ljust(64, "0")}
    without = [r for r in recordings if r.recording_id != "A2"]
    assert unchecked(recordings, full_corpus.cards) == ()
    (told,) = unchecked(without, [full_corpus.rnn])
    assert told.startswith(f"{ids[0]} learned from A2, which the store does not hold")
    evaluate(store, without, ids, "valence", FULL)
    one = next(r for r in without if r.recording_id == "C1")
    for same in (replace(one, subject_id="A2"), replace(one, sha256="4132".ljust(64, "0"))):  # under another name
        back = [same if r.recording_id == "C1" else r for r in without]
        with pytest.raises(LeakError, match=r"tiny-.*was trained on A2 \(subject A2\), and C1 of test is to be scored"):
            evaluate(store, back, ids, "valence", FULL)


def test_models_that_would_leak_are_left_out(full_corpus: Corpus) -> None:
    """Cards that do not say who A2 was: refused, and told apart from those that can be scored."""
    store, recordings = full_corpus.store, full_corpus.recordings
    without = [r for r in recordings if r.recording_id != "A2"]
    path = store.model(full_corpus.rnn.model_id) / CARD_FILE
    old = full_corpus.rnn.model_copy(update={"seen": {}})
    path.write_text(old.model_dump_json(), encoding="utf-8")
    wanted = (
        r"was trained or selected on A2, which the store does not hold, and its card does not say who they are: .*"
        r"Put them back .* or train again; or score the others: evaluate without --model"
    )
    with pytest.raises(LeakError, match=wanted):
        evaluate(store, without, [old.model_id], "valence", FULL)
    cards = [full_corpus.cnn, old]
    found = left_out(without, cards, cards, FULL)
    assert list(found) == [old.model_id]
    assert "--model" not in found[old.model_id]
    assert left_out(recordings, cards, cards, FULL) == {}
    forgetful = full_corpus.cnn.model_copy(update={"seen": {}})
    assert set(left_out(without, [forgetful, full_corpus.rnn], [forgetful], FULL)) == {card.model_id for card in cards}
    twice = [replace(r, subject_id="same") if r.recording_id in ("A1", "C1") else r for r in recordings]
    with pytest.raises(LeakError, match="in two partitions"):
        left_out(twice, cards, cards, FULL)


@pytest.mark.parametrize("scored_on", [("test",), ("dev", "test"), ("train",)])
def test_nothing_is_fitted_where_it_is_scored_unless_declared(
    full_corpus: Corpus, scored_on: tuple[Partition, ...]
) -> None:
    """A protocol that fits its chain and selects its epoch on test is refused; so is one that scores on train."""
    store, recordings, ids = full_corpus.store, full_corpus.recordings, [full_corpus.cnn.model_id]
    selected_on: Partition = "dev" if scored_on == ("train",) else "test"
    wrong = FULL.model_copy(update={"scored_on": scored_on, "selected_on": selected_on})
    with pytest.raises(LeakError, match="served to fit or select"):
        evaluate(store, recordings, ids, "valence", wrong)
    declared = wrong.model_copy(update={"declares_overlap": True})
    assert MARK in describe(declared, [full_corpus.cnn])
    if selected_on == "test":  # declared, and still: the epoch was selected elsewhere than it says
        with pytest.raises(LeakError, match=r"its epoch was selected on dev, and protocol full says test"):
            evaluate(store, recordings, ids, "valence", declared)
    else:
        assert all(MARK in line for line in scored(full_corpus, ids[0], declared)["protocol_line"])


def test_compare_refuses_what_evaluate_refuses(full_corpus: Corpus) -> None:
    store, recordings = full_corpus.store, full_corpus.recordings
    ids = (full_corpus.cnn.model_id, TRAINING_MEAN)
    twice = [replace(r, subject_id="same") if r.recording_id in ("A1", "C1") else r for r in recordings]
    with pytest.raises(LeakError, match="subject same is in two partitions"):
        compare(store, twice, ids, "valence", FULL)
    with pytest.raises(LeakError, match="served to fit or select"):
        compare(store, recordings, ids, "valence", FULL.model_copy(update={"scored_on": ("dev",)}))


def test_a_card_that_was_selected_elsewhere_is_an_error(full_corpus: Corpus) -> None:
    card = full_corpus.cnn
    path = full_corpus.store.model(card.model_id) / CARD_FILE
    path.write_text(card.model_copy(update={"selected_on": "test"}).model_dump_json(), encoding="utf-8")
    for model_id in (card.model_id, full_corpus.rnn.model_id):  # the RNN reads that CNN's features
        with pytest.raises(LeakError, match=rf"{card.model_id}: its epoch was selected on test, .* says dev"):
            evaluate(full_corpus.store, full_corpus.recordings, [model_id], "valence", FULL)
