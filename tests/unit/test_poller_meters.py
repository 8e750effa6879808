"""A poller's page says what came, how old it is, and what the log took; before there is a venue, which build it is."""

from pathlib import Path

from poller.meters import Page, Working
from shared.metric_names import EXPORTED
from shared.metrics import page_render
from tests.metrics_text import read
from tests.poller_doubles import mark_frame, price_frame
from tests.unit.test_poller_venue import Bench, run

ERROR = b'{"error":{"code":4002,"message":"x"},"id":null}'


def test_the_page_follows_the_feed(tmp_path: Path) -> None:
    """Frames are counted by kind and a market's age begins anew with each; what was appended adds up to the log."""

    async def scene(bench: Bench) -> None:
        page = Page()
        page.working = Working(bench.feed, bench.forwarder, bench.watch)
        socket = bench.connector.sockets[-1]
        for frame in (price_frame(1), mark_frame(), b"no json", ERROR):
            socket.put(frame)
        await bench.clock.advance(1.0)
        await bench.clock.advance(2.0)
        found = read(page_render(page.samples()))
        for kind in ("price", "mark", "error", "unreadable"):
            assert found["tidemark_feed_frames_total", (("kind", kind),)] == 1, kind
        assert 2.0 <= found["tidemark_feed_age_seconds", (("market", "BTC_USDC_PERP"),)] <= 3.0
        assert found["tidemark_feed_up", ()] == 1
        appended = sum(value for (name, _), value in found.items() if name == "tidemark_feed_appended_total")
        assert appended == len(bench.streams.entries) > 2
        assert found["tidemark_feed_append_seconds_count", ()] >= 1
        assert found["tidemark_feed_reconnects_total", (("reason", "half_open"),)] == 0
        exported = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name, _ in found}
        assert exported == set(EXPORTED["poller"])

    run(scene, tmp_path)


def test_a_market_that_never_delivered_grows_old(tmp_path: Path) -> None:
    """Its age counts from the process's begin: a market that is silent from the first must not look fresh."""

    async def scene(bench: Bench) -> None:
        page = Page()
        assert {name for name, _ in read(page_render(page.samples()))} == {"tidemark_build_info"}
        page.working = Working(bench.feed, bench.forwarder, bench.watch)
        await bench.clock.advance(4.0)
        found = read(page_render(page.samples()))
        assert found["tidemark_feed_age_seconds", (("market", "BTC_USDC_PERP"),)] >= 4.0

    run(scene, tmp_path)
