"""Per-rater predictions of every frame."""
