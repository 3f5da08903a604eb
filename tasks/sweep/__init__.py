"""Tables of the papers, run on a corpus."""
