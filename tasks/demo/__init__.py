"""The synthetic sample corpus of `affectflow demo`: two public-domain portraits, warped by a hidden valence."""
