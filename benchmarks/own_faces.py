"""What training on from the network that ships brings for a few hundred labelled faces of one's own.

    uv run benchmarks/own_faces.py --data fer2013.csv --votes fer2013new.csv --scratch DIR

The faces are those of FER2013's *choice*, which no weights that ship were fitted on; their labels are the majority of
FER+'s raters, ten other people than those behind FER2013's own. For every draw some are a laboratory's own faces (class
folders, `train/`) and all others its test. The network that ships as it is, the same network trained on from there
(`own-faces`) and its own recipe from chance name the same test faces. PublicTest is never looked at.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
from PIL import Image

from schemas.cards import ExpressionScore
from schemas.expressions import ExpressionTraining, load_expression_training
from schemas.presets import preset_path
from tasks.expression.duplicates import find_duplicates
from tasks.expression.faces import LabelledFaces, load_faces
from tasks.expression.prepare import IntArray, judge, prepare
from tasks.expression.scoring import score_expression
from tasks.expression.shipped import shipped_card
from tasks.expression.source import open_source
from tasks.expression.split import split_training
from tasks.expression.stage import train_expression

SIZES = (200, 600)
DRAWS = 3
RARE = "disgust"
"""Left out: FER+'s raters see it in so few faces that a small draw has none to train on."""
VIEWS = 2


def voted(data: Path, votes: Path, cache: Path) -> tuple[LabelledFaces, IntArray, IntArray]:
    """The faces, FER+'s majority `[face]` (a position in the classes), and the faces of *choice* to draw from."""
    card = shipped_card()
    faces = load_faces(open_source(data, votes=votes, picture_size=card.input_size), cache)
    if faces.sha256[data.name] not in card.dataset.sha256.values():
        raise SystemExit(f"{data}: expected the file behind the weights that ship, whose *choice* they have not seen")
    labels = judge(faces, card.classes, merge={}, by_votes=True).labels
    choice = prepare(faces, ExpressionTraining.model_validate(card.settings)).choice
    own = [place for place, name in enumerate(card.classes) if name != RARE]
    return faces, labels, choice[np.isin(labels[choice], own)]


def write_folders(root: Path, faces: LabelledFaces, labels: IntArray, splits: dict[str, IntArray]) -> None:
    """Class folders `root/split/class/position.png` of the positions in each split."""
    classes = shipped_card().classes
    for split, positions in splits.items():
        for position in positions.tolist():
            folder = root / split / classes[labels[position]]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(faces.pictures[position, :, :, 0]).save(folder / f"{position}.png")


def measure(store: Path, data: Path, seed: int) -> dict[str, ExpressionScore]:
    """The three networks' scores on `data`'s test faces."""
    found = {"ships": score_expression(store, data, views=VIEWS).card.scores[0]}
    for name, preset in (("trained on", "own-faces"), ("from chance", "shipped")):
        settings = load_expression_training(preset_path(f"expression/{preset}")).model_copy(
            update={"name": name.replace(" ", "-"), "seeds": (seed,), "test_views": VIEWS, "choice_share": 0.2}
        )
        card = train_expression(store, data, settings, score_test=True).cards[0]
        found[name] = next(score for score in card.scores if score.split == "test")
    return found


def main() -> None:
    """Draw, train, score; a line for each number of own faces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the fer2013.csv behind the weights that ship")
    parser.add_argument("--votes", type=Path, required=True, help="FER+'s fer2013new.csv")
    parser.add_argument("--scratch", type=Path, required=True, help="an empty folder")
    arguments = parser.parse_args()
    faces, labels, at = voted(arguments.data, arguments.votes, arguments.scratch / "faces")
    groups = find_duplicates(faces).groups[at]
    print(f"{len(at)} faces of choice with a majority; accuracy in per cent on those that are not one's own")
    print(f"own faces  {'ships':>16}  {'trained on':>16}  {'from chance':>16}   (mean and s.d. of {DRAWS} draws)")
    for size in SIZES:
        draws = []
        for seed in range(DRAWS):
            own = split_training(labels[at], groups, share=size / len(at), seed=seed)
            folder = arguments.scratch / f"own-{size}-{seed}"
            write_folders(folder, faces, labels, {"train": at[own], "test": at[~own]})
            draws.append(measure(arguments.scratch / f"store-{size}-{seed}", folder, seed))
        told = []
        for name in draws[0]:
            accuracies = [100 * draw[name].accuracy for draw in draws]
            told.append(f"{statistics.mean(accuracies):8.2f} \N{PLUS-MINUS SIGN} {statistics.stdev(accuracies):5.2f}")
        print(f"{size:9}  " + "  ".join(told), flush=True)


if __name__ == "__main__":
    main()
