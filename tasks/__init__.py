"""The stages of the pipeline, one folder each: plain modules do the work, `task.py` wraps them for Prefect."""
