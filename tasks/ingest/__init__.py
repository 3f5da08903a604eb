"""Ingestion: finds recordings, ratings and partitions, validates them all, and writes the store's first tables."""
