"""The store on disk: layout, Parquet parts with provenance, stage keys, the writer lock, failures."""
