"""Event records become the bytes of events entries, compiled; shared.wire_events says in Python what they must be."""
