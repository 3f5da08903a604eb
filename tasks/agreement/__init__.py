"""Agreement among raters: how far, and who looks wrong."""
