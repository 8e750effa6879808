"""The proxy itself: each of its faults and weathers does what its name says, seen from a client's socket."""

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import DELAY_S, FAULTS, WEATHERS, Proxy

SILENCE_S = 0.15


class Echo:
    """A server that sends back what it hears, and remembers it."""

    def __init__(self, path: str) -> None:
        self.heard = b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """Serve every connection."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        """Echo one connection to its end."""
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(4_096):
                self.heard += data
                connection.sendall(data)


@pytest.fixture
def echo_and_proxy() -> Iterator[tuple[Echo, Proxy]]:
    """Lend a proxy before an echoing server."""
    with tempfile.TemporaryDirectory(prefix="tidemark-", dir="/tmp") as folder:
        path = str(Path(folder) / "e")
        echo, proxy = Echo(path), Proxy(path)
        yield echo, proxy
        proxy.close()
        echo.listener.close()


def client_of(proxy: Proxy) -> socket.socket:
    """Return a connection through the proxy."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5.0)
    client.connect(proxy.path)
    return client


def said(client: socket.socket, data: bytes, patience_s: float = 5.0) -> bytes | None:
    """Return the whole answer to what is sent, b"" when the connection ends, None when nothing comes."""
    client.settimeout(patience_s)
    answer = b""
    try:
        client.sendall(data)
        while len(answer) < len(data):
            part = client.recv(4_096)
            if not part:
                return answer
            answer += part
    except TimeoutError:
        return None
    except OSError:
        return b""
    return answer


EXPECTED_FAULTS = {
    "cut_request": (b"", b""),
    "cut_in_batch": (b"", b"abc"),
    "cut_reply": (b"", b"abcdef"),
    "deaf": (None, b"abcdef"),
    "answer": (b"so-so!", b""),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_fault_strikes_once(echo_and_proxy: tuple[Echo, Proxy], fault: str) -> None:
    """A fault strikes the next request that holds its words, that one alone, and the server hears what it should."""
    echo, proxy = echo_and_proxy
    proxy.set(fault, on=b"abc", answer=b"so-so!")
    with client_of(proxy) as other:
        assert said(other, b"xyz") == b"xyz"
    echo.heard = b""
    answer, heard = EXPECTED_FAULTS[fault]
    with client_of(proxy) as client:
        assert said(client, b"abcdef", SILENCE_S if answer is None else 5.0) == answer
    time.sleep(0.05)
    assert echo.heard == heard
    assert proxy.hit == 1
    with client_of(proxy) as client:
        assert said(client, b"abcdef") == b"abcdef"


EXPECTED_WEATHERS = {
    "cut": (b"", b""),
    "deaf": (None, b"abcdef"),
    "hole": (None, b""),
    "half_close": (b"", b"abcdef"),
    "trickle": (b"abcdef", b"abcdef"),
}


@pytest.mark.parametrize("weather", list(EXPECTED_WEATHERS))
def test_weather_lasts(echo_and_proxy: tuple[Echo, Proxy], weather: str) -> None:
    """A weather is for connections that are open and for new ones, until it ends."""
    echo, proxy = echo_and_proxy
    answer, heard = EXPECTED_WEATHERS[weather]
    with client_of(proxy) as before:
        assert said(before, b"xyz") == b"xyz"
        proxy.turn(weather)
        echo.heard = b""
        patience_s = SILENCE_S if answer is None else 5.0
        assert said(before, b"abcdef", patience_s) == answer
        with client_of(proxy) as client:
            assert said(client, b"abcdef", patience_s) == answer
        time.sleep(0.05)
        assert echo.heard == 2 * heard
        proxy.turn("")
    with client_of(proxy) as client:
        assert said(client, b"abcdef") == b"abcdef"


def test_delay_and_refusal(echo_and_proxy: tuple[Echo, Proxy]) -> None:
    """Delayed, request and answer are each held back; refused, nobody gets in and nobody stays."""
    _, proxy = echo_and_proxy
    with client_of(proxy) as client:
        proxy.turn("delay")
        client.settimeout(5.0)
        begin_s = time.monotonic()
        client.sendall(b"abcdef")
        assert client.recv(64) == b"abcdef"
        assert time.monotonic() - begin_s >= 2 * DELAY_S
        proxy.turn("refuse")
        assert said(client, b"abcdef") == b""
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            client_of(proxy)
        proxy.turn("")
    with client_of(proxy) as client:
        assert said(client, b"abcdef") == b"abcdef"
    assert set(WEATHERS) == {*EXPECTED_WEATHERS, "", "delay", "refuse"}
