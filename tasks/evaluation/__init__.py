"""Scores under a protocol: per rater, gold standard and recording, beside people and what predicts without looking."""
