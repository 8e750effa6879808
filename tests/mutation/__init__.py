"""Mechanical mutation of the core: small wrong changes, made one at a time, which the suite must notice."""
