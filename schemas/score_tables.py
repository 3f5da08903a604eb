"""Arrow schemas of what is measured: scores, gold standards as they were fused, sweeps, agreement, delays.

Contracts as those of `schemas.tables`.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.tables import column

METRICS = pa.schema(
    [
        column("model_id", pa.string()),
        column("protocol", pa.string()),
        column("partition", pa.string()),
        column("pooling", pa.string()),  # concatenated | per_recording
        column("recording_id", pa.string(), nullable=True),  # null when pooled
        column("dimension", pa.string()),
        column("rater", pa.string()),  # or the gold standard's name, or `mean over raters`: `target` tells them apart
        column("metric", pa.string()),  # rmse | mae | cc | ccc | sagr
        column("value", pa.float64(), nullable=True),  # null when degenerate
        column("ci_low", pa.float64(), nullable=True),  # 95 %, recordings resampled
        column("ci_high", pa.float64(), nullable=True),
        column("n", pa.int64()),  # label samples scored
        column("degenerate", pa.bool_()),
        column("target", pa.string(), nullable=True),  # rater | gold | mean; null in files of schema 1.1: rater
        column("reason", pa.string(), nullable=True),  # why there is no value, or no interval
        column("protocol_line", pa.string(), nullable=True),  # the protocol in words, what it selects on included
    ]
)
"""Scores of one model under one protocol. Whoever averages over raters takes the rows whose `target` is `rater` (or
null), or those of `mean`: since schema 1.2 gold standards have rows of their own."""

FUSIONS = pa.schema(
    [
        column("protocol", pa.string()),
        column("dimension", pa.string()),
        column("partition", pa.string()),
        column("recording_id", pa.string()),
        column("fusion", pa.string()),  # mean | ewe | ewe-loo | avec2018
        column("rater", pa.string()),
        column("weight", pa.float64(), nullable=True),  # as the fusion defines it; null for a rater without a value
        column("share", pa.float64(), nullable=True),  # of all weights that counted; 0 to 1 where none is negative
        column("fallback", pa.string(), nullable=True),  # why the plain mean stands there instead, or null
    ]
)
"""How the gold standards that a protocol scores against were fused: a row for each recording, fusion and rater. In
`avec2018` weights set the offset alone; after a fallback every rater has the same share."""

SWEEP_ROWS = pa.schema(
    [
        column("sweep", pa.string()),
        column("row", pa.string()),
        column("model", pa.string(), nullable=True),
        column("partition", pa.string()),
        column("pooling", pa.string()),
        column("rater", pa.string(), nullable=True),
        column("metric", pa.string()),
        column("published", pa.float64(), nullable=True),
        column("measured", pa.float64(), nullable=True),
        column("spread", pa.float64(), nullable=True),
        column("num_seeds", pa.int32()),
        column("selected_here", pa.bool_()),
        column("published_protocol", pa.string()),
        column("measured_protocol", pa.string()),
        column("corpus_note", pa.string()),
        column("model_ids", pa.string()),
        column("missing", pa.string()),
    ]
)
"""A paper's table, run here. `rater` is null for the mean over raters; `measured` is the mean over `num_seeds` seeds,
`spread` their sample standard deviation, null of a single one; `selected_here`: the epoch was chosen on this partition;
`model_ids` are separated by spaces; `missing` says why nothing was measured, "" where something was."""

AGREEMENT = pa.schema(
    [
        column("dimension", pa.string()),
        column("pooling", pa.string()),  # recording | concatenated | per_recording (mean of the recordings' values)
        column("recording_id", pa.string(), nullable=True),  # null when pooled
        column("statistic", pa.string()),  # pearson | ccc | share_positive | cronbach_alpha | icc_2k
        column(
            "of", pa.string()
        ),  # pair | others | rater | all: `rater` with `other`, with the mean of the others, ...
        column("rater", pa.string(), nullable=True),  # null: of all raters; of pairs: their mean
        column("other", pa.string(), nullable=True),
        column("value", pa.float64(), nullable=True),  # null where it is not defined
        column("n", pa.int64()),  # samples; of a mean of values: how many values
    ]
)
"""How far raters agree. A pair stands once, in the order of the raters' names."""

AGREEMENT_LAGS = pa.schema(
    [
        column("dimension", pa.string()),
        column("rater", pa.string()),
        column("lag_seconds", pa.float64()),  # positive: the rater against what the others said that much earlier
        column("pearson", pa.float64(), nullable=True),
        column("n", pa.int64()),
    ]
)

AGREEMENT_FINDINGS = pa.schema(
    [
        column("dimension", pa.string()),
        column("recording_id", pa.string(), nullable=True),  # null: over all recordings
        column("rater", pa.string(), nullable=True),
        column("kind", pa.string()),  # docs/ratings.md, "Agreement"
        column("value", pa.float64(), nullable=True),
        column("message", pa.string()),
    ]
)
"""What looks wrong with ratings, in words. Nothing is dropped because of it."""

DELAYS = pa.schema(
    [
        column("dimension", pa.string()),
        column("features_model_id", pa.string()),
        column("rater", pa.string()),
        column("delay_seconds", pa.float64()),
        column("ccc", pa.float64(), nullable=True),  # out of fold, concatenated, within the training partition
        column("n", pa.int64()),
        column("is_best", pa.bool_()),
    ]
)
"""The search for each rater's delay: a row for every rater and delay."""
