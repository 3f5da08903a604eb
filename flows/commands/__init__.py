"""The commands of `affectflow`, by what they do; `flows.cli` puts them together."""
