"""Backpack's frames: what is forwarded, what is counted, and that nothing can make the parser raise."""

import gzip
import random
from pathlib import Path

import orjson
import pytest

from poller.backpack import FrameKind, frame_parse, streams_of, subscribe_frame
from tests.poller_doubles import mark_frame, price_frame

MARKETS = frozenset({"BTC_USDC_PERP", "ETH_USDC_PERP"})
GENUINE = Path(__file__).resolve().parents[3] / "shared" / "data" / "backpack_genuine_frames.jsonl.gz"
FRAME = (
    b'{"data":{"A":"2.01178","B":"1.94230","E":1790134357267285,"T":1790134357267074,"a":"86656.0","b":"86655.9",'
    b'"e":"bookTicker","s":"BTC_USDC_PERP","u":6730019258},"stream":"bookTicker.BTC_USDC_PERP"}'
)


def price_data(**changes: object) -> bytes:
    """Return the sample frame with some keys of its data changed; None removes nothing, `...` does."""
    message = orjson.loads(FRAME)
    for key, value in changes.items():
        if value is ...:
            del message["data"][key]
        else:
            message["data"][key] = value
    return orjson.dumps(message)


def test_price_frame_is_forwarded_byte_for_byte() -> None:
    """A canonical frame's data object leaves as it came."""
    frame = frame_parse(FRAME, MARKETS)
    assert (frame.kind, frame.market) == (FrameKind.PRICE, "BTC_USDC_PERP")
    assert frame.body == FRAME[len(b'{"data":') : FRAME.index(b',"stream"')]


def test_mark_frame_keeps_all_digits() -> None:
    """A mark with a funding rate of 28 digits is forwarded unshortened, its keys in the log's order."""
    frame = frame_parse(mark_frame(), MARKETS)
    assert frame.kind == FrameKind.MARK
    assert list(orjson.loads(frame.body)) == ["E", "T", "e", "f", "i", "n", "p", "s"]
    assert orjson.loads(frame.body)["f"] == "-0.0000125131640625000000000001"


def test_key_order_and_blanks_become_canonical() -> None:
    """Another order of keys, blanks, text instead of bytes: the same canonical body."""
    message = orjson.loads(FRAME)
    shuffled = {"stream": message["stream"], "data": dict(reversed(message["data"].items()))}
    text = orjson.dumps(shuffled, option=orjson.OPT_INDENT_2).decode()
    assert frame_parse(text, MARKETS) == frame_parse(FRAME, MARKETS)


def test_unknown_keys_are_left_out() -> None:
    """A key that Backpack adds one day does not reach the log, whose rules would refuse it."""
    assert frame_parse(price_data(Z="new"), MARKETS).body == frame_parse(FRAME, MARKETS).body


@pytest.mark.parametrize("side", ["a", "A", "b", "B"])
@pytest.mark.parametrize("value", [None, ...])
def test_empty_side_is_null(side: str, value: object) -> None:
    """A null or absent side is forwarded as null: the engine counts such quotes by their reason."""
    frame = frame_parse(price_data(**{side: value}), MARKETS)
    assert frame.kind == FrameKind.PRICE
    assert orjson.loads(frame.body)[side] is None


def test_update_id_as_text_becomes_a_number() -> None:
    """An update id written as text, as the documentation shows it, is forwarded as the number of the wire."""
    assert frame_parse(price_data(u="6730019258"), MARKETS).body == frame_parse(FRAME, MARKETS).body


def test_bad_quotes_are_not_judged() -> None:
    """Crossed, zero and negative quotes are readable, hence forwarded: refusing them is the engine's."""
    for changes in ({"a": "1.0", "b": "2.0"}, {"a": "0.00000"}, {"b": "-5"}):
        assert frame_parse(price_data(**changes), MARKETS).kind == FrameKind.PRICE


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"data":', "not_json"),
        (b'{"data":{"u":NaN}}', "not_json"),
        (b"[]", "not_a_data_frame"),
        (b"null", "not_a_data_frame"),
        (b'"text"', "not_a_data_frame"),
        (b'{"data":[],"stream":"bookTicker.BTC_USDC_PERP"}', "not_a_data_frame"),
        (b'{"data":{},"stream":5}', "not_a_data_frame"),
        (b'{"data":{},"stream":"depth.BTC_USDC_PERP"}', "stream_unknown"),
        (b'{"data":{},"stream":""}', "stream_unknown"),
        (b'{"data":{},"stream":"bookTicker.DOGE_USDC_PERP"}', "market_unknown"),
        (b'{"data":{},"stream":"bookTicker"}', "market_unknown"),
        (price_data(s="ETH_USDC_PERP"), "market_contradictory"),
        (price_data(e="markPrice"), "market_contradictory"),
        (price_data(u=...), "field_missing"),
        (price_data(E=None), "field_missing"),
        (price_data(T=...), "field_missing"),
        (price_data(u=True), "field_wrong"),
        (price_data(u=1.5), "field_wrong"),
        (price_data(u=-1), "field_wrong"),
        (price_data(u="12x"), "field_wrong"),
        (price_data(u="٣٤"), "field_wrong"),
        (price_data(E="yesterday"), "field_wrong"),
        (price_data(E=2**63), "field_wrong"),
        (price_data(a=86656.0), "field_wrong"),
        (price_data(a="NaN"), "field_wrong"),
        (price_data(a="1e400"), "field_wrong"),
        (price_data(a=" 1"), "field_wrong"),
        (price_data(a="1\n"), "field_wrong"),
        (price_data(a="9" * 40), "field_wrong"),
        (price_data(a={"x": 1}), "field_wrong"),
    ],
)
def test_unreadable_frames_say_why(raw: bytes, fault: str) -> None:
    """Every kind of garbage has the fault under which it is counted."""
    frame = frame_parse(raw, MARKETS)
    assert (frame.kind, frame.fault, frame.body) == (FrameKind.UNREADABLE, fault, b"")


def test_error_frames_carry_their_code() -> None:
    """Backpack's error frames are recognised; odd ones too, with code 0."""
    frame = frame_parse(b'{"error":{"code":4006,"message":"Invalid stream"},"id":null}', MARKETS)
    assert (frame.kind, frame.code, frame.body) == (FrameKind.ERROR, 4006, b"Invalid stream")
    assert frame_parse(b'{"error":{"code":"x","message":7},"id":null}', MARKETS).code == 0


def test_parse_is_total() -> None:
    """Ten thousand mutilated frames never raise."""
    chance = random.Random(9)
    for _ in range(10_000):
        raw = bytearray(price_frame(chance.randrange(2**40)) if chance.random() < 0.5 else mark_frame())
        for _ in range(chance.randint(1, 6)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        assert frame_parse(bytes(raw), MARKETS).kind in FrameKind


def test_subscribe_frame_names_all_streams() -> None:
    """One frame subscribes to quotes and marks of every market."""
    streams = streams_of(["A_P", "B_P"])
    assert streams == ["bookTicker.A_P", "bookTicker.B_P", "markPrice.A_P", "markPrice.B_P"]
    assert orjson.loads(subscribe_frame(streams)) == {"method": "SUBSCRIBE", "params": streams}


@pytest.mark.skipif(not GENUINE.exists(), reason="the shared data set is not here")
def test_genuine_frames_are_readable() -> None:
    """Frames that Backpack really sent are readable and already canonical."""
    with gzip.open(GENUINE) as file:
        for line in file:
            market = orjson.loads(line)["data"]["s"]
            frame = frame_parse(line, {market})
            assert frame.kind == FrameKind.PRICE
            assert frame.body in line
