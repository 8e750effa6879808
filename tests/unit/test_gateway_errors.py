"""The error table is total, and every row says what to do."""

import pytest

from gateway.errors import ERRORS, RESULTS, GatewayCode, Refusal, Retry, error_body, error_headers, errors_published
from shared.codes import ResultCode


def test_every_result_code_has_a_row() -> None:
    """No code of the engine can leave the gateway without status, sentence and hint."""
    assert set(RESULTS) == set(ResultCode)
    assert set(ERRORS) == {code.name for code in ResultCode} | {str(code) for code in GatewayCode}


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_row_is_a_sentence(code: str) -> None:
    """Each row has a plausible status, one whole sentence and a retry hint that fits the status."""
    row = ERRORS[code]
    assert 200 <= row.status < 600
    assert row.sentence[0].isupper() or row.sentence.startswith(("slippage", "percent", "Idempotency"))
    assert row.sentence.endswith(".")
    assert row.retry in Retry
    if row.status == 503:
        assert row.retry is not Retry.NEVER


def test_published_table_holds_every_refusal() -> None:
    """What stands at /api/v1/errors is the whole table but OK."""
    assert {row["code"] for row in errors_published()} == set(ERRORS) - {"OK"}


def test_body_and_headers_of_a_refusal() -> None:
    """The body names code, sentence, detail and request; 503 says when to come back, 401 how to sign in."""
    refusal = Refusal(GatewayCode.LOG_UNAVAILABLE, {"reason": "OOM"}, request_id="ab", seq=5)
    body = error_body(refusal, "cd")
    assert body["code"] == "LOG_UNAVAILABLE"
    assert body["detail"] == {"reason": "OOM"}
    assert body["request_id"] == "ab"
    assert body["seq"] == "5"
    assert error_headers(refusal) == {"Retry-After": "1"}
    assert error_headers(Refusal(GatewayCode.UNAUTHENTICATED)) == {"WWW-Authenticate": "Bearer"}
