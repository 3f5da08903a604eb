"""Faces: decode, detect, align. One row for every decoded frame.

The supervisor hands segments of recordings to worker processes that never import Prefect; each worker decodes its
segment through ffmpeg and writes one Parquet part.
"""
