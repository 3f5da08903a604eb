"""Everybody in the picture: a row for every face, and one number for each person of a recording."""
