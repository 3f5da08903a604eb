"""From expression categories to valence: where each category lies on the axis from unpleasant (-1) to pleasant (1).

The values are the mean pleasure scores of the terms angry, disgusted, fearful, happy, sad and surprised in Russell and
Mehrabian 1977, "Evidence for a three-factor theory of emotions" (Journal of Research in Personality 11, table of 151
terms), scaled -1 to 1 there. Chosen here: neutral, 0 by definition of the scale's middle; contempt, -0.4, between
neutral and the other unpleasant ones.

They are norms of words for feelings, not of faces, and one number stands for faces as different as a polite smile and
a laugh. Surprise is the weakest: pleasant or not depends on what comes next, and its 0.4 is that of the word. What is
computed with them is an estimate of how an expression would be read, and no rating of RECOLA or anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

VALENCE = {
    "angry": -0.51,
    "disgust": -0.60,
    "fear": -0.64,
    "happy": 0.81,
    "sad": -0.63,
    "surprise": 0.40,
    "neutral": 0.0,
    "contempt": -0.40,
}
"""Valence of each class of `schemas.expressions` that names an expression."""


def valence_of(classes: Sequence[str]) -> FloatArray:
    """Valence of each class, `[class]`, in -1 to 1.

    Raises:
        ValueError: a class has none, such as `none`, `uncertain` or `no-face`.

    >>> valence_of(["happy", "neutral"]).tolist()
    [0.81, 0.0]
    """
    unknown = [name for name in classes if name not in VALENCE]
    if unknown:
        raise ValueError(f"expected classes with a valence ({', '.join(VALENCE)}), got {', '.join(unknown)}")
    return np.array([VALENCE[name] for name in classes])


def expected_valence(probabilities: npt.ArrayLike, classes: Sequence[str]) -> FloatArray:
    """The mean of the classes' valences, weighted by their probabilities.

    Args:
        probabilities: `[..., class]`, each row >= 0 with sum 1.
        classes: their names, in order.

    Returns: `[...]`, between the lowest and the highest valence of the classes.

    Raises:
        ValueError: a class has no valence, or the number of classes differs.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape[-1] != len(classes):
        raise ValueError(f"expected a probability for each of {len(classes)} classes, got shape {values.shape}")
    return np.asarray(values @ valence_of(classes))
