"""The hidden valence as if it were a prediction: what a perfect reader of the face would score."""

from __future__ import annotations

import hashlib

import numpy as np

from tasks.demo.corpus import DemoCorpus, read_hidden_valence
from tasks.demo.ratings import RATERS
from tasks.prediction.table import predictions_table
from tasks.store.layout import Store
from tasks.store.parts import Provenance, is_current, stage_key, write_part

CEILING_ID = "hidden-valence"
_VERSION = 1


def write_ceiling(store: Store, corpus: DemoCorpus) -> None:
    """Write the hidden valence of every recording as predictions by `hidden-valence`, the same for every rater.

    Raters react late, with a bias, a scale and noise of their own, so even this scores below 1.
    """
    for recording_id, (times, values) in read_hidden_valence(corpus.root.parent).items():
        path = store.predictions(CEILING_ID, recording_id)
        key = stage_key("ceiling", _VERSION, {}, [hashlib.sha256(times.tobytes() + values.tobytes()).hexdigest()])
        if is_current(path, key):
            continue
        table = predictions_table(
            recording_id,
            CEILING_ID,
            "valence",
            [rater.name for rater in RATERS],
            frame_index=np.arange(times.size, dtype=np.int32),
            times=times,
            values=np.repeat(values[:, None], len(RATERS), axis=1),
            valid=np.ones(times.size, dtype=np.bool_),
        )
        write_part(path, table, Provenance(stage="ceiling", stage_key=key))
