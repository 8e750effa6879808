"""Reading: accounts, markets, history, outcomes, readiness; and the layers around every answer."""

import asyncio
from pathlib import Path

import orjson
import pytest

from gateway.app import ROUTES
from gateway.readiness import VenueLost
from shared.refusal import REFUSAL_FILE, RefusalStands
from shared.streams import event_id
from tests.gateway_doubles import MARKET, NOW_US, events_entry
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
BUY = {"market": MARKET, "side": "buy", "qty": "0.001"}
ORDER = "/api/v1/trade/order"
VIEW = {
    "bid": "60999.9",
    "ask": "61000.1",
    "mark": "61000.0",
    "quote_us": str(NOW_US - 250_000),
    "mark_us": str(NOW_US - 900_000),
    "fresh": "1",
    "seq": "9",
}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def market_write(house: House, **changes: str) -> None:
    """Write the market's view as the engine does."""
    view = {name: text.encode() for name, text in (VIEW | changes).items()}
    house.streams.hashes[house.streams.keys.view_market(MARKET)] = view


async def test_account_and_its_parts(tmp_path: Path) -> None:
    """Equity is free, reserved, margin and unrealised PnL at the view's mark, in each place where it is told."""
    async with House(tmp_path) as house:
        market_write(house)
        caller = await house.sign_in()
        seq = (await house.client.post(ORDER, json=BUY, headers=caller)).json()["seq"]
        account = (await house.client.get("/api/v1/account", headers=caller)).json()
        assert account["account_id"] == 100
        assert (account["equity"], account["free"], account["margin"]) == ("5000.970000", "4993.970000", "6.000000")
        assert (account["pnl_unrealised"], account["positions_count"], account["seq"]) == ("1.000000", 1, seq)
        balance = (await house.client.get("/api/v1/account/balance", headers=caller)).json()
        assert [row["equity"] for row in balance["items"]] == ["5000.970000"]
        assert (await house.client.get("/api/v1/account/balance/usd", headers=caller)).json()["equity"] == "5000.970000"
        positions = (await house.client.get("/api/v1/account/positions", headers=caller)).json()["items"]
        assert [(row["pnl_unrealised"], row["price_mark"]) for row in positions] == [("1.000000", "61000.0")]
        assets = (await house.client.get("/api/v1/account/assets", headers=caller)).json()["items"]
        assert [row["market"] for row in assets] == [MARKET]
        orders = (await house.client.get("/api/v1/account/orders", headers=caller)).json()
        assert (orders["items"], orders["next_cursor"], orders["env"]) == ([], None, "paper")


async def test_a_missing_view_is_503_never_zero(tmp_path: Path) -> None:
    """Without the account's view, or the mark of a market it has a position in, nothing is valued."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        await house.client.post(ORDER, json=BUY, headers=caller)
        for path in ("/api/v1/account", "/api/v1/account/positions", f"/api/v1/market/{MARKET}/ticker"):
            answer = await house.client.get(path, headers=caller)
            assert (answer.status_code, answer.json()["code"]) == (503, "VIEW_UNAVAILABLE")
        market_write(house)
        house.streams.hashes[house.streams.keys.view_account(100)].clear()
        answer = await house.client.get("/api/v1/account", headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (503, "VIEW_UNAVAILABLE")


async def test_one_reads_ones_own_writes_or_is_told(tmp_path: Path) -> None:
    """A read behind what this gateway has seen waits for the view, and says behind_seq when that does not help."""
    async with House(tmp_path) as house:
        market_write(house)
        caller = await house.sign_in()
        view = house.streams.hashes[house.streams.keys.view_account(100)]
        cursor = house.streams.values[house.streams.keys.views_cursor]
        seq = len(house.streams.log) + 1
        house.streams.events.append(events_entry(seq, [{"e": "x", "account": 100}], _tip(house), NOW_US))
        house.streams.applied.set()
        await asyncio.sleep(0.01)
        behind = (await house.client.get("/api/v1/account", headers=caller)).json()
        assert behind["behind_seq"] == str(seq)
        assert behind["seq"] == view["seq"].decode()

        async def catch_up() -> None:
            await asyncio.sleep(0.05)
            house.streams.values[house.streams.keys.views_cursor] = f"{seq}-0".encode()

        assert cursor != f"{seq}-0".encode()
        waited, _ = await asyncio.gather(house.client.get("/api/v1/account", headers=caller), catch_up())
        assert "behind_seq" not in waited.json()
        assert waited.json()["seq"] == str(seq)


def _tip(house: House) -> bytes:
    """Return the id of the newest events entry."""
    return event_id(house.streams.events[-1].seq, house.streams.events[-1].chunk)


@pytest.mark.parametrize("path", ["history/orders", "positions", "orders"])
@pytest.mark.parametrize("market", ["%00", "ETH_USDC_PERP", ""])
async def test_a_market_that_is_not_ours_is_refused(tmp_path: Path, path: str, market: str) -> None:
    """What is no market of this venue is refused as such, whatever characters it has."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        answer = await house.client.get(f"/api/v1/account/{path}?market={market}", headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (400, "QUERY_INVALID")
        assert answer.json()["detail"]["parameter"] == "market"


async def test_leverages_are_told(tmp_path: Path) -> None:
    """Setting leverage answers with it, and the account lists what was set by market."""
    async with House(tmp_path) as house:
        market_write(house)
        caller = await house.sign_in()
        body = {"market": MARKET, "leverage": 7}
        answer = await house.client.post("/api/v1/trade/leverage", json=body, headers=caller)
        assert answer.json()["leverages"] == [body | {"mode": "isolated"}]
        assert (await house.client.get("/api/v1/account", headers=caller)).json()["leverages"] == {MARKET: 7}


async def test_markets_and_tickers(tmp_path: Path) -> None:
    """Markets are listed with their parameters, the ticker with ages; an unknown market is 404."""
    async with House(tmp_path) as house:
        market_write(house)
        listed = (await house.client.get("/api/v1/market")).json()["items"]
        assert [(row["market"], row["tick"], row["state"]) for row in listed] == [(MARKET, "0.1", "open")]
        assert (await house.client.get(f"/api/v1/market/{MARKET}")).json()["leverage_max"] == 50
        ticker = (await house.client.get(f"/api/v1/market/{MARKET}/ticker")).json()
        assert (ticker["bid"], ticker["quote_age_ms"], ticker["mark_age_ms"]) == ("60999.9", 250, 900)
        assert (ticker["fresh"], ticker["seq"], ticker["quote_us"]) == (True, "9", NOW_US - 250_000)
        unknown = await house.client.get("/api/v1/market/DOGE")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "MARKET_UNKNOWN")


@pytest.mark.parametrize(
    ("log_time_s", "outcome_ts_s", "status", "http"),
    [
        (4, None, "UNKNOWN", 200),
        (5, None, "UNKNOWN", 200),
        (6, None, "NOT_ACCEPTED", 200),
        (119, None, "NOT_ACCEPTED", 200),
        (120, None, None, 410),
        (6, -1, "NOT_ACCEPTED", 200),
        (6, 0, "REFUSED", 200),
        (500, 1, "REFUSED", 200),
    ],
)
async def test_what_became_of_a_request(
    tmp_path: Path, log_time_s: int, outcome_ts_s: int | None, status: str | None, http: int
) -> None:
    """NOT_ACCEPTED only while it is certain; a refusal of an earlier sending does not answer for a later one."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        keys, request_id = house.streams.keys, "7" * 32
        if outcome_ts_s is not None:
            seq = house.streams.entry_add([(b"ts", str(NOW_US + outcome_ts_s * 1_000_000).encode()), (b"x", b"{}")])
            response = {"e": "order_response", "account": 100, "request_id": request_id, "op": "order_place"}
            stored = {"seq": seq, "log_time_us": NOW_US, "response": response | {"result": "PRICE_STALE"}}
            house.streams.values[keys.outcome(100, request_id)] = orjson.dumps(stored)
        house.clock.us = NOW_US + log_time_s * 1_000_000
        house.streams.publish(len(house.streams.log) + 1, [{"e": "candle", "market": MARKET}])
        answer = await house.client.get(f"/api/v1/requests/{request_id}?ts={NOW_US}", headers=caller)
        assert answer.status_code == http
        assert answer.json().get("status") == status
        if http == 410:
            assert answer.json()["code"] == "OUTCOME_EXPIRED"
        without = await house.client.get(f"/api/v1/requests/{request_id}", headers=caller)
        assert without.json()["status"] == ("REFUSED" if outcome_ts_s is not None else "UNKNOWN")


async def test_an_accepted_outcome_answers_for_every_sending(tmp_path: Path) -> None:
    """What was accepted is told whatever time is asked for, also by the key it was sent under, to its owner only."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        sent = await house.client.post(ORDER, json=BUY, headers=caller | {"Idempotency-Key": "k1"})
        request_id = sent.json()["request_id"]
        for path in (request_id, f"{request_id}?ts={NOW_US + 9}", "k1"):
            body = (await house.client.get(f"/api/v1/requests/{path}", headers=caller)).json()
            assert (body["status"], body["op"], body["order_id"], body["seq"]) == (
                "ACCEPTED", "order_place", 1, sent.json()["seq"],
            )  # fmt: skip
        other = await house.sign_in("bob@example.com")
        assert (await house.client.get(f"/api/v1/requests/{request_id}", headers=other)).json()["status"] == "UNKNOWN"
        for path in ("x" * 65, f"{request_id}?ts=5"):
            assert (await house.client.get(f"/api/v1/requests/{path}", headers=caller)).status_code == 400


async def test_requests_are_503_when_the_source_is_down(tmp_path: Path) -> None:
    """Without Redis nobody guesses what became of a request."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        house.streams.down = True
        answer = await house.client.get(f"/api/v1/requests/{'7' * 32}?ts={NOW_US}", headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (503, "VIEW_UNAVAILABLE")


async def test_ready_says_what_is_missing_and_what_is_degraded(tmp_path: Path) -> None:
    """Ready needs Redis, a living leader and the tail; Postgres and stale prices only degrade; ?strict wants all."""
    async with House(tmp_path) as house:
        market_write(house)
        for _ in range(100):
            await asyncio.sleep(0.02)
            if not house.desk.watch.missing() and not house.desk.watch.degraded():
                break
        ready = await house.client.get("/ready?strict")
        assert (ready.status_code, ready.json()["status"], ready.json()["degraded"]) == (200, "ready", [])
        house.database.down = True
        market_write(house, fresh="0")
        house.desk.watch._degraded = await house.desk.watch._look_wide()
        body = (await house.client.get("/ready")).json()
        assert (body["status"], sorted(body["degraded"])) == ("ready", ["postgres", f"price:{MARKET}"])
        assert (await house.client.get("/ready?strict")).status_code == 503
        house.passed_s = 10
        lost = await house.client.get("/ready")
        assert (lost.status_code, lost.headers["retry-after"]) == (503, "1")
        assert set(lost.json()["missing"]) == {"redis", "leader", "tail"}


async def test_before_there_is_a_venue(tmp_path: Path) -> None:
    """Until the venue is founded the process lives, says what it waits for, and refuses everything else with 503."""
    house = House(tmp_path)
    assert (await house.client.get("/health")).json()["status"] == "ok"
    ready = await house.client.get("/ready")
    assert ready.status_code == 503
    assert "founded" in ready.json()["missing"]["venue"]
    for path in ("/api/v1/market", "/api/v1/account"):
        answer = await house.client.get(path, headers={"Authorization": "Bearer x"})
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert (await house.client.get("/")).status_code == 200


@pytest.mark.parametrize("loss", ["pointer", "key", "file", "row"])
async def test_a_lost_venue_ends_the_process(tmp_path: Path, loss: str) -> None:
    """Another pointer, or a refusal that stands, ends the work of this desk."""
    house = House(tmp_path)
    await house.desk.open()
    if loss == "pointer":
        house.streams.venue_name = "anothervenu"
    elif loss == "key":
        house.streams.values[house.streams.keys.refused] = b'{"text":"the log went back"}'
    elif loss == "file":
        (tmp_path / REFUSAL_FILE).write_text('{"text":"the log went back"}')
    else:
        house.database.refused = {"reason": {"text": "the log went back"}}
    with pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(house.desk.run(), 5)
    assert caught.value.subgroup(VenueLost if loss == "pointer" else RefusalStands) is not None


async def test_every_answer_carries_the_security_headers(tmp_path: Path) -> None:
    """Pages, answers and refusals, unknown addresses included, forbid framing, sniffing, foreign content."""
    async with House(tmp_path) as house:
        answers = [await house.client.get(path) for path in ("/", "/health", "/nowhere", "/api/v1/auth/verify?token=x")]
        answers.append(await house.client.post("/health"))
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy and "*" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "same-origin"
        assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 405]
        assert answers[2].json()["code"] == "NOT_FOUND"
        assert answers[4].json()["code"] == "METHOD_NOT_ALLOWED"
        assert len(answers[4].json()["request_id"]) == 32
        assert "//" not in answers[0].text.partition("<body>")[2]


async def test_the_verify_page_escapes_what_it_shows(tmp_path: Path) -> None:
    """A token from outside cannot become markup."""
    async with House(tmp_path) as house:
        page = await house.client.get("/api/v1/auth/verify", params={"token": '"><script>alert(1)</script>'})
        assert page.text.count("<script") == 1 and "<script>" not in page.text, "but for our own"


async def test_a_mistake_of_ours_shows_no_trace(tmp_path: Path) -> None:
    """An unexpected exception is a 500 with the request id and nothing of the inside; the log has the rest."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        house.desk.markets.all = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        answer = await house.client.get("/api/v1/account/assets", headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
        assert "ZeroDivision" not in answer.text
        assert house.log.lines[-1][0] == "request_failed"


async def test_the_errors_are_published(tmp_path: Path) -> None:
    """Anybody can read what each code means."""
    async with House(tmp_path) as house:
        rows = (await house.client.get("/api/v1/errors")).json()["items"]
        assert {"PRICE_STALE", "RATE_LIMITED"} <= {row["code"] for row in rows}


def test_the_docs_name_every_route_and_code() -> None:
    """docs/api.md cannot fall behind the routes table or the table of errors."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for method, address, _handler, _limit, _signed_in in ROUTES:
        assert f"`{method} {address}`" in text, (method, address)
    from gateway.errors import ERRORS

    for code, row in ERRORS.items():
        assert code == "OK" or f"| `{code}` | {row.status} | {row.retry} | {row.sentence} |" in text, code
