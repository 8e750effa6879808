"""Entries of the log in canonical form -> command records, compiled, straight from the bytes of Redis' answer."""
