"""The local Backpack: a plausible, repeatable synthetic market, and requests read as the venue reads them."""

import asyncio
import itertools
from typing import Any

import orjson
import pytest

from poller.backpack import FrameKind, frame_parse, streams_of
from poller.hub import Hub
from poller.playback import SyntheticPlayer
from poller.simulator import error_text, options_read, request_read
from poller.synthetic import ASSETS, synthetic_frames
from tests.poller_doubles import NOW_US, Clock

BTC = "BTC_USDC_PERP"
QUOTES = f"bookTicker.{BTC}"
MARKS = f"markPrice.{BTC}"


class Listening(Hub):
    """A hub that keeps what is published."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, dict[str, Any]]] = []

    def publish(self, stream: str, text: str) -> None:
        """Keep a frame."""
        self.published.append((stream, orjson.loads(text)["data"]))


def test_synthetic_market_is_a_function_of_its_seed() -> None:
    """The same seed gives the same frames; another seed others; one market does not depend on the others."""

    def taken(seed: int, markets: tuple[str, ...], market: str = BTC) -> list[Any]:
        frames = itertools.islice(synthetic_frames(seed, markets, 8.0), 4_000)
        return [frame for frame in frames if frame.data["s"] == market][:500]

    everything = taken(1, tuple(ASSETS))
    assert everything == taken(1, tuple(ASSETS))
    assert everything == taken(1, (BTC,))
    assert everything != taken(2, tuple(ASSETS))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_synthetic_market_is_plausible(seed: int) -> None:
    """An hour of it: readable frames, never crossed, on the tick, small steps, marks near the mid, a steady rate."""
    mids: dict[str, list[float]] = {market: [] for market in ASSETS}
    marks: dict[str, int] = dict.fromkeys(ASSETS, 0)
    update_ids: dict[str, int] = dict.fromkeys(ASSETS, 0)
    for frame in synthetic_frames(seed, (*ASSETS, "DOGE_USDC_PERP"), 8.0):
        if frame.time_s > 3_600:
            break
        data = frame.data
        market = data["s"]
        decimals = ASSETS[market].price_decimals
        if "u" in data:
            bid, ask = (round(float(data[side]) * 10**decimals) for side in "ba")
            assert 1 <= ask - bid <= 20
            assert float(data["A"]) > 0
            assert float(data["B"]) > 0
            assert len(data["a"].partition(".")[2]) == decimals
            assert data["u"] > update_ids[market]
            update_ids[market] = data["u"]
            mids[market].append((bid + ask) / 2)
        else:
            marks[market] += 1
            price = float(data["p"]) * 10**decimals
            assert not mids[market] or abs(price / mids[market][-1] - 1) < 0.01
            assert abs(float(data["f"])) <= 0.0005
        stamped = {**data, "E": NOW_US, "T": NOW_US, "n": 1}
        raw = orjson.dumps({"data": stamped, "stream": frame.stream})
        assert frame_parse(raw, ASSETS).kind in (FrameKind.PRICE, FrameKind.MARK)
    for market, series in mids.items():
        assert marks[market] in (3_600, 3_601)
        assert 3 * 3_600 < len(series) < 20 * 3_600
        assert max(abs(b / a - 1) for a, b in itertools.pairwise(series)) < 0.01
        assert 0.0005 < max(series) / min(series) - 1 < 0.25


def test_synthetic_player_paces_and_holds() -> None:
    """Held, each market's first quote and marks come again and again with lower ids; then quotes at their pace."""

    async def main() -> None:
        clock, hub, going = Clock(), Listening(), False
        published = hub.published
        player = SyntheticPlayer(synthetic_frames(5, tuple(ASSETS), 8.0), hub, clock.timing, 1.0, lambda: going)
        task = asyncio.create_task(player.run())
        await clock.advance(30)
        assert 12 <= sum(stream.startswith("book") for stream, _ in published) <= 20
        assert sum(stream == MARKS for stream, _ in published) >= 28
        going = True
        await clock.advance(60)
        by_market = [data for stream, data in published if stream == QUOTES]
        assert 60 * 3 < len(by_market) < 60 * 20
        assert all(a["u"] < b["u"] and a["E"] <= b["E"] for a, b in itertools.pairwise(by_market))
        assert max(b["E"] - a["E"] for a, b in itertools.pairwise(by_market)) <= 11_000_000
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_requests_are_read_as_backpack_does() -> None:
    """Subscribe and unsubscribe frames are read with any id; everything else is a parse error."""
    assert request_read('{"method":"SUBSCRIBE","params":["a.b"],"id":7}') == ("SUBSCRIBE", ["a.b"])
    assert request_read(b'{"method":"UNSUBSCRIBE","params":[]}') == ("UNSUBSCRIBE", [])
    for raw in (
        "",
        "{",
        "[]",
        "5",
        '{"method":"PING"}',
        '{"method":"SUBSCRIBE"}',
        '{"method":"SUBSCRIBE","params":[5]}',
    ):
        assert request_read(raw) is None
    assert error_text(4006, "Invalid stream") == '{"error":{"code":4006,"message":"Invalid stream"},"id":null}'


def test_options_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A hold without a go-file, a negative speed, a synthetic market without a clock end with a sentence."""
    for arguments in (["--hold"], ["--speed", "-1"], ["--speed", "0"], ["--rate", "0"]):
        with pytest.raises(SystemExit):
            options_read(arguments)
        assert "error: --" in capsys.readouterr().err
    options = options_read(["--feed", "x.jsonl", "--speed", "0", "--markets", "A_P,B_P"])
    assert (options.markets, options.speed, options.port) == (("A_P", "B_P"), 0.0, 0)
    assert len(streams_of(options.markets)) == 4
