"""Analysis of clips with the weights that ship: a table, a page and a video each, with no corpus and no training."""
