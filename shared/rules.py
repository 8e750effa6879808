"""
The number of the rules this build knows, alone in its file: a build of other rules differs here and nowhere compiled.

A rule is everything that decides what an entry of the log causes. It changes only at a `lead` (docs/recovery.md).
"""

RULES_VERSION = 3
