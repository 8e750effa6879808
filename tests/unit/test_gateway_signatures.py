"""What is signed, in which form, for how long; and which public keys nobody but their holder can sign under."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.sign_in.signatures import (
    AHEAD_MAX_US,
    Signed,
    Subject,
    base64_read,
    in_window,
    public_key_read,
    signed_of_headers,
    signed_read,
    signing_text,
    verifies,
)
from tests.gateway_doubles import NOW_US, VENUE

SIGNATURE = base64.b64encode(bytes(range(64))).decode()
SIGNED = Signed("ab12", NOW_US, 5_000, bytes(range(64)))
PRIME = 2**255 - 19
CURVE_D = -121_665 * pow(121_666, -1, PRIME) % PRIME
# RFC 8032, 7.1, test 2: secret, public, message, signature.
RFC_SECRET = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
RFC_PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
RFC_SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_the_text_is_ten_lines() -> None:
    """The text holds version, venue, key, time, window, method, target, both headers and the body's digest."""
    body = b'{"market":"BTC_USDC_PERP"}'
    subject = Subject("POST", b"/api/v1/trade/order?account=105", b"key-1", b"1763700000000000", body)
    assert signing_text(VENUE, SIGNED, subject).decode().split("\n") == [
        "tidemark-v1",
        VENUE,
        "ab12",
        str(NOW_US),
        "5000",
        "POST",
        "/api/v1/trade/order?account=105",
        "key-1",
        "1763700000000000",
        hashlib.sha256(body).hexdigest(),
    ]


def test_whatever_changes_changes_the_text() -> None:
    """No two requests that differ in anything that decides what happens have the same text."""
    subject = Subject("POST", b"/a", b"k", b"t", b"{}")
    others = [
        signing_text("othervenue", SIGNED, subject),
        *(
            signing_text(VENUE, SIGNED._replace(**change), subject)
            for change in ({"key_id": "cd34"}, {"time_us": NOW_US + 1}, {"window_ms": 5_001})
        ),
        *(
            signing_text(VENUE, SIGNED, subject._replace(**change))
            for change in (
                {"method": "PUT"},
                {"target": b"/a?"},
                {"target": b"/b"},
                {"idempotency_key": b""},
                {"request_time": b""},
                {"idempotency_key": b"t", "request_time": b"k"},
                {"body": b"{} "},
                {"body": b""},
            )
        ),
    ]
    texts = {signing_text(VENUE, SIGNED, subject), *others}
    assert len(texts) == len(others) + 1


@pytest.mark.parametrize(
    "values",
    [
        ("", "1763700000000000", "5000", SIGNATURE),
        ("k" * 65, "1763700000000000", "5000", SIGNATURE),
        ("k\n", "1763700000000000", "5000", SIGNATURE),
        ("ключ", "1763700000000000", "5000", SIGNATURE),
        ("ab12", "", "5000", SIGNATURE),
        ("ab12", "176370000000000", "5000", SIGNATURE),
        ("ab12", "１７６３７０００００００００００", "5000", SIGNATURE),
        ("ab12", "-763700000000000", "5000", SIGNATURE),
        ("ab12", "1763700000000000", "0", SIGNATURE),
        ("ab12", "1763700000000000", "60001", SIGNATURE),
        ("ab12", "1763700000000000", "05000", SIGNATURE),
        ("ab12", "1763700000000000", "+5000", SIGNATURE),
        ("ab12", "1763700000000000", "5000", ""),
        ("ab12", "1763700000000000", "5000", SIGNATURE[:-4]),
        ("ab12", "1763700000000000", "5000", SIGNATURE.rstrip("=")),
        ("ab12", "1763700000000000", "5000", SIGNATURE[:-3] + "x=="),
        ("ab12", "1763700000000000", "5000", SIGNATURE + "\n"),
        ("ab12", "1763700000000000", "5000", "ü" * 88),
    ],
    ids=str,
)
def test_what_has_not_its_form_is_no_signature(values: tuple[str, str, str, str]) -> None:
    """Ids, times, windows and signatures have one spelling; everything else is none."""
    assert signed_read("ab12", "1763700000000000", "5000", SIGNATURE) is not None
    assert signed_read(*values) is None


def test_headers_come_once() -> None:
    """A header that is missing or comes twice makes no signature; without a window it is five seconds."""
    good = [["ab12"], ["1763700000000000"], ["60000"], [SIGNATURE]]
    assert signed_of_headers(good) == SIGNED._replace(time_us=1763700000000000, window_ms=60_000)
    for index in range(4):
        assert signed_of_headers([*good[:index], good[index] * 2, *good[index + 1 :]]) is None
        if index != 2:
            assert signed_of_headers([*good[:index], [], *good[index + 1 :]]) is None
    without = signed_of_headers([*good[:2], [], good[3]])
    assert without is not None
    assert without.window_ms == 5_000


def test_base64_has_one_spelling() -> None:
    """Other bits in the last sign, another alphabet, no padding or more of it name the same bytes and are refused."""
    assert base64_read("AAA=", 2) == b"\0\0"
    for text in ("AAB=", "AAA", "AAA==", "AA A=", "-_8=", " AAA="):
        assert base64_read(text, 2) is None


@pytest.mark.parametrize(
    ("age_us", "holds"),
    [(0, True), (5_000_000, True), (5_000_001, False), (-AHEAD_MAX_US, True), (-AHEAD_MAX_US - 1, False)],
)
def test_a_signature_holds_in_its_window(age_us: int, holds: bool) -> None:
    """It holds from a second before its time to the end of its window, to the microsecond."""
    assert in_window(SIGNED, NOW_US + age_us) is holds


def test_signatures_are_those_of_the_standard() -> None:
    """A vector of RFC 8032 verifies; a changed bit anywhere, or S + L in place of S, does not."""
    public, signature = bytes.fromhex(RFC_PUBLIC), bytes.fromhex(RFC_SIGNATURE)
    assert Ed25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_SECRET)).sign(b"\x72") == signature
    assert verifies(public, signature, b"\x72")
    assert not verifies(public, signature, b"\x73")
    for place in range(64):
        changed = bytearray(signature)
        changed[place] ^= 1
        assert not verifies(public, bytes(changed), b"\x72")
    order = 2**252 + 27742317777372353535851937790883648493
    twin = int.from_bytes(signature[32:], "little") + order
    assert not verifies(public, signature[:32] + twin.to_bytes(32, "little"), b"\x72")
    assert not verifies(b"short", signature, b"\x72")


def points_of_small_order() -> set[tuple[int, int]]:
    """Return the eight points that some small multiple makes the neutral one, found by the group's own law."""

    def add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2) = one, two
        product = CURVE_D * x1 * x2 * y1 * y2
        x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME) % PRIME
        return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME) % PRIME

    def root(square: int) -> int | None:
        found = pow(square, (PRIME + 3) // 8, PRIME)
        for candidate in (found, found * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
            if candidate * candidate % PRIME == square % PRIME:
                return candidate
        return None

    # Any point times the large order of the group is of small order; a generator of them all is soon among them.
    points: set[tuple[int, int]] = set()
    for y in range(2, 200):
        x = root((y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME)
        if x is None:
            continue
        total, doubled, times = (0, 1), (x, y), 2**252 + 27742317777372353535851937790883648493
        while times:
            if times & 1:
                total = add(total, doubled)
            doubled, times = add(doubled, doubled), times >> 1
        points.add(total)
        if len(points) == 8:
            return points
    raise AssertionError("the group has eight such points")


def test_keys_under_which_anybody_can_sign_are_refused() -> None:
    """None of the eight points of small order is a public key, in no spelling; nor is what is no point at all."""
    points = points_of_small_order()
    refused = {y | sign << 255 for _x, y in points for sign in (0, 1)}
    refused |= {y + PRIME | sign << 255 for _x, y in points if y + PRIME < 2**255 for sign in (0, 1)}
    assert len(points) == 8
    for number in refused:
        assert public_key_read(base64.b64encode(number.to_bytes(32, "little")).decode()) is None
    usable = [number for number in range(2, 40) if public_key_read(key_text(number)) is not None]
    for number in range(2, 40):
        x_square = (number * number - 1) * pow(CURVE_D * number * number + 1, -1, PRIME) % PRIME
        assert (number in usable) == (pow(x_square, (PRIME - 1) // 2, PRIME) == 1)
    assert public_key_read(base64.b64encode(bytes.fromhex(RFC_PUBLIC)).decode()) == bytes.fromhex(RFC_PUBLIC)
    for text in ("", "AAAA", base64.b64encode(bytes(33)).decode(), "x" * 44):
        assert public_key_read(text) is None


def key_text(number: int) -> str:
    """Return the point whose y is a number, as a public key is written."""
    return base64.b64encode(number.to_bytes(32, "little")).decode()
