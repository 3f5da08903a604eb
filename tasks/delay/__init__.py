"""How late each rater reacts, searched on the training partition."""
