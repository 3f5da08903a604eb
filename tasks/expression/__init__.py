"""Expressions: labelled sets of faces, networks trained to name the expression, their scores and reports."""
