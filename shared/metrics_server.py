"""
The page of metrics of a process that serves nothing else: /health and /metrics, from a thread of their own.

A page that cannot be served is no reason to stop: the process says so in its log and goes on with its work. Who may
read is one rule, here and in the gateway: this very machine, or the bearer of TIDEMARK_METRICS_TOKEN.
"""

import argparse
import hmac
import ipaddress
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from shared.metrics import CONTENT_TYPE, Sample, page_render

HOST = "127.0.0.1"
LOCAL = "localhost"
REQUEST_TIMEOUT_S = 5.0
READERS_MAX = 8  # pages that are read at once; one more is closed unanswered


def arguments_add(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the page is served."""
    parser.add_argument("--metrics-port", type=port_of, default=0, metavar="N", help="serve /health, /metrics; 0: no")
    parser.add_argument("--metrics-host", default=HOST, metavar="ADDRESS", help="where; 127.0.0.1 alone by default")


def port_of(text: str) -> int:
    """Return a port; raises ValueError."""
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError(text)
    return port


def reader_permitted(host: str, headers: Mapping[str, str], token: str) -> bool:
    """
    Return whether a caller may read the metrics: one that bears the token, or one on this machine that asks for it.

    Who comes through a proxy is not on this machine, and a browser that was led here under another name is not meant.
    """
    scheme, _, stated = headers.get("authorization", "").partition(" ")
    if token and scheme.lower() == "bearer" and hmac.compare_digest(stated.strip().encode(), token.encode()):
        return True
    forwarded = any(name in headers for name in ("x-forwarded-for", "forwarded"))
    return not forwarded and is_loopback(host) and asks_for_loopback(headers.get("host", LOCAL))


def asks_for_loopback(stated: str) -> bool:
    """Return whether a Host header names this very machine."""
    try:
        named = urlsplit(f"//{stated}").hostname or ""
    except ValueError:
        return False
    return named == LOCAL or is_loopback(named)


def is_loopback(host: str) -> bool:
    """Return whether an address is of this very machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class MetricsServer(ThreadingHTTPServer):
    """Serves one process's samples until the process ends."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], samples: Callable[[], Iterable[Sample]], token: str, log: Any) -> None:
        """Listen; raises OSError."""
        super().__init__(address, MetricsHandler)
        self.samples = samples
        self.token = token
        self.log = log
        self.room = threading.BoundedSemaphore(READERS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, while there are few of them."""
        if self.room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()


class MetricsHandler(BaseHTTPRequestHandler):
    """Answers /health and /metrics."""

    server: MetricsServer
    timeout = REQUEST_TIMEOUT_S
    server_version = "tidemark"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the two addresses."""
        path = self.path.partition("?")[0]
        if path == "/health":
            self.answer(200, b'{"status":"ok"}', "application/json")
        elif path != "/metrics":
            self.answer(404, b"/health and /metrics are here\n", "text/plain")
        elif not reader_permitted(self.client_address[0], dict_lower(self.headers.items()), self.server.token):
            self.answer(401, b"from this machine, or with TIDEMARK_METRICS_TOKEN\n", "text/plain")
        else:
            self.answer(200, page_render(self.server.samples()), CONTENT_TYPE)

    def handle(self) -> None:
        """Answer one request; a fault of ours is told in the log, never to the reader."""
        try:
            super().handle()
        except OSError:
            pass  # the reader went away
        except Exception as error:
            self.server.log.warning("metrics_failed", reason=f"{type(error).__name__}: {error}")

    def answer(self, status: int, content: bytes, kind: str) -> None:
        """Send one answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: a scrape is no fact."""


def dict_lower(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case."""
    return {name.lower(): value for name, value in pairs}


def metrics_serve(
    host: str, port: int, samples: Callable[[], Iterable[Sample]], token: str, log: Any
) -> MetricsServer | None:
    """Return the server of a process's page, already answering; None when none is wanted or it cannot listen."""
    if not port:
        return None
    try:
        server = MetricsServer((host, port), samples, token, log)
    except OSError as error:
        log.warning("metrics_unserved", host=host, port=port, reason=str(error))
        return None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
