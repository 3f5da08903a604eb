"""Scores: each rater's CCC, CC and RMSE, per recording and pooled, beside what predicts without looking."""
