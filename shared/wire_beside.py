"""
What entries hold beyond one record: the commands of a batch, the other leg of an OCO, configurations.

Rows are appended while a batch of entries is read and forgotten with it; a full array is replaced by one twice as long.
"""

import struct

import numpy as np

from shared import records as r
from shared.wire_rows import Row

_PART = struct.Struct(f"={r.COMMAND_WORDS}q")
_CONFIG = struct.Struct(f"={r.CONFIG_WORDS}q")


class Beside:
    """
    The rows beside a batch: `parts` is COMMAND[n] and `configs` CONFIG[m], other arrays after they grew.

    Shapes: `parts_count` and `configs_count` of them are filled; a new row overwrites every word of its place.
    """

    def __init__(self) -> None:
        self.parts = np.zeros(r.PARTS_MAX, r.COMMAND)
        self.configs = np.zeros(r.MARKETS_CAPACITY, r.CONFIG)
        self.parts_count = 0
        self.configs_count = 0

    def clear(self) -> None:
        """Forget the rows; the arrays are used again."""
        self.parts_count = 0
        self.configs_count = 0

    def parts_add(self, rows: list[Row]) -> int:
        """Append these commands and return the place of the first."""
        first = self.parts_count
        if first + len(rows) > len(self.parts):
            self.parts = np.concatenate((self.parts, np.zeros_like(self.parts)))
        assert len(rows) <= r.PARTS_MAX
        data = self.parts.view(np.uint8).data.cast("B")
        for at, row in enumerate(rows, first):
            _PART.pack_into(data, at * r.COMMAND.itemsize, *row)
        self.parts_count = first + len(rows)
        return first

    def configs_add(self, rows: list[Row]) -> int:
        """Append these configurations and return the place of the first."""
        first = self.configs_count
        if first + len(rows) > len(self.configs):
            self.configs = np.concatenate((self.configs, np.zeros_like(self.configs)))
        assert len(rows) <= r.MARKETS_CAPACITY
        data = self.configs.view(np.uint8).data.cast("B")
        for at, row in enumerate(rows, first):
            _CONFIG.pack_into(data, at * r.CONFIG.itemsize, *row)
        self.configs_count = first + len(rows)
        return first
