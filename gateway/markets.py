"""The configuration in force: the markets' parameters and the venue's, by genesis and by later events."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.tail import CONFIGURING, events_read
from shared.streams import Keys, StreamsAsync

REQUEST_WINDOW_MS = 120_000


class Markets:
    """The markets of one venue, by name, and the venue's own parameters; a change older than the known is ignored."""

    def __init__(self) -> None:
        """Start empty; `load` fills."""
        self._markets: dict[str, dict[str, Any]] = {}
        self._seqs: dict[str, int] = {}  # of each market's last change; "" is the venue's own
        self.venue: dict[str, Any] = {}  # the venue's parameters, as far as they are known
        self.request_window_ms = REQUEST_WINDOW_MS

    async def load(self, streams: StreamsAsync, keys: Keys) -> None:
        """Take the first configuration from the first entry of the log and what it caused, unless both are gone."""
        for entry in await streams.range_log(keys, 1, 1, 1):
            for name, value in entry.fields:
                if name == b"genesis":
                    self.genesis(orjson.loads(value))
        for events in await streams.range_events(keys, (1, 0), (1, 64), 64):
            for event in events_read(events):
                if event.get("e") == "market_changed":
                    self.configured(event, 1)

    def genesis(self, genesis: dict[str, Any]) -> None:
        """Take the venue's first configuration."""
        self.venue = dict(genesis["venue_set"])
        self.request_window_ms = int(genesis["venue_set"].get("request_window_ms", REQUEST_WINDOW_MS))
        for market in genesis["markets"]:
            self._markets[market["market"]] = dict(market)

    def configured(self, event: Mapping[str, Any], seq: int) -> None:
        """Take an event that states a new configuration, unless a later one is known."""
        name = str(event.get("market", ""))
        if seq < self._seqs.get(name, 0):
            return
        self._seqs[name] = seq
        fields = {key: value for key, value in event.items() if key not in ("e", "seq")}
        if name:
            self._markets[name] = self._markets.get(name, {}) | fields
        else:
            self.venue = self.venue | fields
            self.request_window_ms = int(event["request_window_ms"])

    def stored(self, fields: Mapping[str, str]) -> None:
        """Take the configuration that the view reader keeps."""
        for text in fields.values():
            event = orjson.loads(text)
            if event.get("e") in CONFIGURING:
                self.configured(event, int(event["seq"]))

    def all(self) -> list[dict[str, Any]]:
        """Return every market's parameters, in the order of their names."""
        return [self._markets[name] for name in sorted(self._markets)]

    def one(self, market: str) -> dict[str, Any] | None:
        """Return one market's parameters."""
        return self._markets.get(market)
