"""A key always names the same request id, and no id is mistaken for another kind."""

import secrets
import uuid

import pytest

from gateway.errors import Refusal
from gateway.identity import request_id_fresh, request_id_of_key, request_id_of_order, request_ids_of_path

NOW_US = 1_763_700_000_000_000


def test_fresh_ids_are_uuid7_of_now() -> None:
    """A fresh id carries the time, so that the engine refuses it for ever once it is old."""
    fresh = uuid.UUID(request_id_fresh(NOW_US))
    assert (fresh.version, fresh.variant) == (7, uuid.RFC_4122)
    assert fresh.int >> 80 == NOW_US // 1_000
    assert len({request_id_fresh(NOW_US) for _ in range(100)}) == 100


def test_key_that_is_an_id_of_ours_stays_itself() -> None:
    """Sending again under the request id of an answer is a repeat."""
    for request_id in (request_id_fresh(NOW_US), request_id_of_key("mine"), request_id_of_order("order_place", "a")):
        assert request_id_of_key(request_id) == request_id
        assert request_id_of_key(str(uuid.UUID(request_id))) == request_id
        assert request_ids_of_path(request_id) == [request_id]


def test_other_keys_become_digests_that_carry_no_time() -> None:
    """A random key, hex or not, is never read as a UUIDv7 that is too old."""
    for _ in range(2_000):
        request_id = request_id_of_key(secrets.token_hex(16))
        assert uuid.UUID(request_id).version == 8 or uuid.UUID(request_id).int >> 80 > 1_577_836_800_000
    assert uuid.UUID(request_id_of_key("order 1")).version == 8
    assert request_id_of_key("order 1") != request_id_of_key("order 2")
    assert request_id_of_order("order_place", "a") != request_id_of_order("trade_create", "a")


@pytest.mark.parametrize("key", ["", " ", " a", "a ", "a" * 65, "ä", "a\tb", "a\x7f"])
def test_unusable_keys_are_refused(key: str) -> None:
    """A key is 1 to 64 printable ASCII characters."""
    with pytest.raises(Refusal, match="IDEMPOTENCY_KEY_INVALID"):
        request_id_of_key(key)


def test_path_may_be_an_id_or_a_key() -> None:
    """An id written by somebody else's client is looked for as it is, and as a key."""
    foreign = "0" * 31 + "1"
    assert request_ids_of_path(foreign) == [foreign, request_id_of_key(foreign)]
    assert request_ids_of_path("mine") == [request_id_of_key("mine")]
