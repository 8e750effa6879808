"""
The number of the rules this build knows, and its own: a build of other rules differs here and nowhere compiled.

A rule is everything that decides what an entry of the log causes. It changes only at a `lead` (docs/recovery.md).
"""

RULES_VERSION = 3
BUILD_VERSION = "0.1.0"
