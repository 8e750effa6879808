"""The instruments on offer: their parameters, as genesis stated them and later events changed them."""

from typing import Any

import orjson

from gateway.tail import events_read
from shared.streams import Keys, StreamsAsync

REQUEST_WINDOW_MS = 120_000


class Markets:
    """The markets of one venue, by name."""

    def __init__(self) -> None:
        """Start empty; `load` fills."""
        self._markets: dict[str, dict[str, Any]] = {}
        self.request_window_ms = REQUEST_WINDOW_MS

    async def load(self, streams: StreamsAsync, keys: Keys) -> None:
        """Take the venue's settings from the first entry of the log and the markets from what it caused."""
        for entry in await streams.range_log(keys, 1, 1, 1):
            for name, value in entry.fields:
                if name == b"genesis":
                    self.genesis(orjson.loads(value))
        for events in await streams.range_events(keys, (1, 0), (1, 64), 64):
            for event in events_read(events):
                if event.get("e") == "market_changed":
                    self.changed(event)

    def genesis(self, genesis: dict[str, Any]) -> None:
        """Take the venue's first configuration."""
        self.request_window_ms = int(genesis["venue_set"].get("request_window_ms", REQUEST_WINDOW_MS))
        for market in genesis["markets"]:
            self.changed(market)

    def changed(self, market: dict[str, Any]) -> None:
        """Take a market's new parameters."""
        fields = {name: value for name, value in market.items() if name != "e"}
        self._markets[market["market"]] = self._markets.get(market["market"], {}) | fields

    def all(self) -> list[dict[str, Any]]:
        """Return every market's parameters, in the order of their names."""
        return [self._markets[name] for name in sorted(self._markets)]

    def one(self, market: str) -> dict[str, Any] | None:
        """Return one market's parameters."""
        return self._markets.get(market)
