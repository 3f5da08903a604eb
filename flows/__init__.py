"""Prefect flows, one verb_noun module each, and the command line that starts them."""
