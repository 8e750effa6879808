"""
The venue again, written from the design and not from the core: dicts, Fractions, linear scans, no cleverness.

Where the design is silent the twin, and with it the engine, does what `docs/commands.md`, `docs/fills.md` and
`docs/risk.md` say; the choices that are easily missed are in `choices.md` beside this file.
"""

from tests.reference.venue import Reference

__all__ = ["Reference"]
