"""The ways out for mails, against servers that speak their protocols."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.mail import Mail, Mailer, MailFailed
from gateway.mail_letter import Sender
from gateway.mail_send import MailResend, MailSmtp, SmtpPlace
from tests.gateway_doubles import NOW_US, Clock, Log, eventually

pytestmark = pytest.mark.anyio
SENDER = Sender("Tidemark", "tidemark@venue.example")
LINK = "https://venue.example/api/v1/auth/verify?token=" + "t" * 43
MAIL = Mail("ada@example.com", LINK, "Sign in to Tidemark", "k1", NOW_US, NOW_US + 900_000_000)
KEY = "re_test_123456789"


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


class Sink:
    """An SMTP server's inside: keeps mails, answers RCPT and DATA as it is told."""

    def __init__(self) -> None:
        """Take everything."""
        self.envelopes: list[Envelope] = []
        self.rcpt: list[str] = []
        self.data: list[str] = []
        self.cut = 0  # so many mails are taken, and the connection is cut before the answer

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, to: str, _options: Any) -> str:
        """Answer one recipient."""
        answer = self.rcpt.pop(0) if self.rcpt else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(to)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Any, envelope: Envelope) -> str:
        """Take one mail."""
        answer = self.data.pop(0) if self.data else "250 OK"
        if answer.startswith("250"):
            self.envelopes.append(envelope)
        if self.cut:
            self.cut -= 1
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return answer


@asynccontextmanager
async def smtp(sink: Sink, implicit: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """Yield the port of an SMTP server over a sink."""
    loop = asyncio.get_running_loop()
    given: dict[str, Any] = {"hostname": "sink.example", "enable_SMTPUTF8": False, "loop": loop} | options
    server = await loop.create_server(lambda: SMTP(sink, **given), "127.0.0.1", 0, ssl=implicit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def place_of(port: int, **changes: Any) -> SmtpPlace:
    """Return a server on loopback, in the clear."""
    return SmtpPlace("127.0.0.1", port, None, None, "none")._replace(**changes)


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a certificate of its own for loopback, and a client's that trusts it."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink.example")])
    begins = datetime.datetime.fromtimestamp(1_600_000_000, datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begins)
    builder = builder.not_valid_after(begins + datetime.timedelta(days=36_500)).add_extension(address, critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "both.pem").write_bytes(private + certificate)
    (folder / "certificate.pem").write_bytes(certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cafile=str(folder / "certificate.pem"))


async def failing(transport: Any, mail: Mail = MAIL) -> MailFailed:
    """Return how a try fails."""
    with pytest.raises(MailFailed) as caught:
        await transport.send(mail)
    assert "ada" not in caught.value.reason
    assert "token" not in caught.value.reason
    return caught.value


async def test_smtp_hands_over_the_message() -> None:
    """The server gets one mail from the sender to the address, with the link in it."""
    sink = Sink()
    async with smtp(sink) as port:
        await MailSmtp(place_of(port), SENDER).send(MAIL)
    [envelope] = sink.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER.address, [MAIL.to])
    assert isinstance(envelope.content, bytes)
    assert LINK.encode() in envelope.content
    assert b"Message-ID: <k1@venue.example>" in envelope.content


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_smtp_signs_in_over_tls_alone(tls: str, certified: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """With STARTTLS or from the first byte: the password goes over TLS, to a server whose certificate holds."""
    sink, seen = Sink(), []

    def authenticator(server: SMTP, _session: Any, _envelope: Any, _mechanism: str, auth: Any) -> AuthResult:
        assert server.transport is not None
        seen.append((auth.login, auth.password, server.transport.get_extra_info("cipher") is not None))
        return AuthResult(success=auth.password == b"p:w@1", handled=False)

    options: dict[str, Any] = {"authenticator": authenticator, "auth_require_tls": tls == "starttls"}
    if tls == "starttls":
        options |= {"tls_context": certified[0], "require_starttls": True, "auth_required": True}
    async with smtp(sink, certified[0] if tls == "implicit" else None, **options) as port:
        place = place_of(port, tls=tls, username="user", password="p:w@1")
        await MailSmtp(place, SENDER, certified[1]).send(MAIL)
        assert seen == [(b"user", b"p:w@1", True)]
        refused = await failing(MailSmtp(place._replace(password="wrong"), SENDER, certified[1]))
        assert refused.final
        assert refused.reason.startswith("SMTP 535")
        count = len(seen)
        await failing(MailSmtp(place, SENDER))
        assert len(seen) == count, "nothing was said to a server whose certificate does not hold"
    assert len(sink.envelopes) == 1


async def test_smtp_never_falls_back_to_the_clear() -> None:
    """A server, or somebody between, that offers no STARTTLS gets neither password nor mail."""
    sink = Sink()
    async with smtp(sink) as port:
        await failing(MailSmtp(place_of(port, tls="starttls", username="user", password="secret"), SENDER))
    assert sink.envelopes == []


@pytest.mark.parametrize(
    ("where", "answer", "final", "reason"),
    [
        ("rcpt", "550 5.1.1 <ada@example.com> unknown", True, "SMTP 550 5.1.1"),
        ("rcpt", "451 4.7.1 ada@example.com: greylisted", False, "SMTP 451 4.7.1"),
        ("data", "554 ada, no", True, "SMTP 554"),
        ("data", "421 too busy", False, "SMTP 421"),
    ],
)
async def test_smtp_refusals_are_final_or_not(where: str, answer: str, final: bool, reason: str) -> None:
    """5xx is the last word, 4xx is not; of the server's text only the enhanced code is kept, for it names people."""
    sink = Sink()
    getattr(sink, where).append(answer)
    async with smtp(sink) as port:
        failure = await failing(MailSmtp(place_of(port), SENDER))
        assert (failure.final, failure.reason) == (final, reason)
        await MailSmtp(place_of(port), SENDER).send(MAIL)
    assert len(sink.envelopes) == 1


async def test_a_server_that_is_away_may_come_back() -> None:
    """A refused connection and one that is cut before the answer are no last word."""
    sink = Sink()
    async with smtp(sink) as port:
        sink.cut = 1
        assert not (await failing(MailSmtp(place_of(port), SENDER))).final
    assert not (await failing(MailSmtp(place_of(port), SENDER))).final


async def test_smtp_international_addresses() -> None:
    """An international host needs nothing special; an international name does, and is refused for good without it."""
    sink = Sink()
    async with smtp(sink) as port:
        await MailSmtp(place_of(port), SENDER).send(MAIL._replace(to="ada@bücher.example"))
        assert (await failing(MailSmtp(place_of(port), SENDER), MAIL._replace(to="adä@bücher.example"))).final
    async with smtp(sink, enable_SMTPUTF8=True) as port:
        await MailSmtp(place_of(port), SENDER).send(MAIL._replace(to="adä@bücher.example"))
    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [["ada@xn--bcher-kva.example"], ["adä@bücher.example"]]


async def test_a_lost_answer_gives_the_same_message_again() -> None:
    """When the answer to a whole mail is lost the mailer sends it again, byte for byte, under the same Message-ID."""
    sink, clock = Sink(), Clock()
    sink.cut = 2
    async with smtp(sink) as port:
        soon: Callable[..., Any] = lambda _delay_s, call, job: asyncio.get_running_loop().call_later(0.01, call, job)  # noqa: E731
        mailer = Mailer(MailSmtp(place_of(port), SENDER), clock.now_us, Log(), lambda _bits: 0, soon)
        task = asyncio.ensure_future(mailer.run())
        mailer.put(MAIL)
        await eventually(lambda: mailer.waiting == 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert dict(mailer.outcomes) == {"retried": 2, "sent": 1}
    contents = {envelope.content for envelope in sink.envelopes}
    assert (len(sink.envelopes), len(contents)) == (3, 1)


class Resend:
    """Resend's API as far as we use it: one mail an Idempotency-Key, whatever happens to the answer."""

    def __init__(self) -> None:
        """Start with no mails."""
        self.mails: dict[str, dict[str, Any]] = {}
        self.answers: list[Response] = []
        self.seen: list[Request] = []

    async def emails(self, request: Request) -> Response:
        """Take a mail, then answer as told."""
        body = await request.json()
        self.seen.append(request)
        if request.headers["authorization"] != f"Bearer {KEY}":
            return JSONResponse({"statusCode": 403, "name": "invalid_api_key", "message": "API key is invalid"}, 403)
        key = request.headers["idempotency-key"]
        if self.mails.setdefault(key, body) != body:
            return JSONResponse({"statusCode": 409, "name": "invalid_idempotent_request", "message": "differs"}, 409)
        return self.answers.pop(0) if self.answers else JSONResponse({"id": f"id-{key}"})


@asynccontextmanager
async def resending(server: Resend) -> AsyncIterator[str]:
    """Yield the address of a server that speaks Resend's API."""
    app = Starlette(routes=[Route("/emails", server.emails, methods=["POST"])])
    http = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    serving = asyncio.ensure_future(http.serve())
    await eventually(lambda: http.started)
    yield f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}"
    http.should_exit = True
    await serving


@asynccontextmanager
async def resend(server: Resend, key: str = KEY) -> AsyncIterator[MailResend]:
    """Yield the transport to such a server."""
    async with resending(server) as url:
        transport = MailResend(url, key, SENDER)
        yield transport
        await transport.close()


async def test_resend_takes_the_mail() -> None:
    """Both forms of the mail, the sender and the Message-ID stand in the body; the key in its header."""
    server = Resend()
    async with resend(server) as transport:
        await transport.send(MAIL)
    body = server.mails["k1"]
    assert (body["from"], body["to"]) == ("Tidemark <tidemark@venue.example>", ["ada@example.com"])
    assert LINK in body["text"]
    assert LINK in body["html"]
    assert body["headers"]["Message-ID"] == "<k1@venue.example>"


async def test_resend_repeats_are_one_mail() -> None:
    """A lost answer, a busy server and a try still under way all end in one mail under one key."""
    server = Resend()
    concurrent = {"statusCode": 409, "name": "concurrent_idempotent_requests", "message": "wait"}
    server.answers = [
        Response("<html>bad gateway</html>", 502),
        JSONResponse(concurrent, 409),
        JSONResponse({"name": "rate_limit_exceeded"}, 429, {"Retry-After": "7"}),
    ]
    async with resend(server) as transport:
        failures = [await failing(transport) for _ in range(3)]
        await transport.send(MAIL)
    assert [failure.final for failure in failures] == [False] * 3
    assert [failure.wait_s for failure in failures] == [0, 0, 7]
    assert failures[0].reason == "HTTP 502"
    assert failures[2].reason == "HTTP 429 rate_limit_exceeded"
    assert len(server.seen) == 4
    assert list(server.mails) == ["k1"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 451, 302])
async def test_resend_last_words(status: int) -> None:
    """Every other refusal, a way to elsewhere included, is final; only a word that is one is passed on."""
    server = Resend()
    server.answers = [JSONResponse({"name": "ada@example.com is blocked"}, status, {"Location": "http://127.0.0.1/"})]
    async with resend(server) as transport:
        failure = await failing(transport)
    assert (failure.final, failure.reason) == (True, f"HTTP {status}")


async def test_resend_key_is_refused_once() -> None:
    """A wrong key ends the mail, and says so in Resend's own word."""
    async with resend(Resend(), "re_wrong_key") as transport:
        failure = await failing(transport)
    assert (failure.final, failure.reason) == (True, "HTTP 403 invalid_api_key")
    assert not (await failing(MailResend("http://127.0.0.1:9", KEY, SENDER))).final


async def test_sending_holds_up_nothing(tmp_path: Path) -> None:
    """While a server takes the connection and never answers, the event loop goes on and the try ends by itself."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tries: list[Callable[[], Awaitable[None]]] = [
        lambda: MailSmtp(place_of(port), SENDER).send(MAIL),
        lambda: MailResend(f"http://127.0.0.1:{port}", KEY, SENDER).send(MAIL),
    ]
    for begin in tries:
        task = asyncio.ensure_future(begin())
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    server.close()
