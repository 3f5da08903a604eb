"""Networks, losses, metrics, windows and alignment: pure numpy and torch, no files, no Prefect."""
