"""The environment, read once into one frozen struct; the only reader of it."""

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

REPOSITORY = Path(__file__).resolve().parent.parent
MARKETS_DEFAULT = ("BTC_USDC_PERP", "ETH_USDC_PERP", "SOL_USDC_PERP", "ADA_USDC_PERP")
FEED_URL_LIVE = "wss://ws.backpack.exchange"

# Environment name -> field. Everything else that starts with TIDEMARK_ is refused, so that no typing error is silent.
NAMES = {
    "REDIS_URL": "redis_url",
    "DATABASE_URL": "database_url",
    "TIDEMARK_DATA": "data_dir",
    "TIDEMARK_ENV": "environment",
    "TIDEMARK_HOST": "host",
    "TIDEMARK_PORT": "port",
    "TIDEMARK_BASE_URL": "base_url",
    "TIDEMARK_CORS_ORIGINS": "cors_origins",
    "TIDEMARK_PROXIES": "proxies",
    "TIDEMARK_SECRET_FILE": "secret_file",
    "TIDEMARK_MAIL": "mail",
    "TIDEMARK_MAIL_FROM": "mail_from",
    "TIDEMARK_SMTP_URL": "smtp_url",
    "TIDEMARK_RESEND_KEY_FILE": "resend_key_file",
    "TIDEMARK_RESEND_URL": "resend_url",
    "TIDEMARK_FEED_URL": "feed_url",
    "TIDEMARK_FEED_SOURCE": "feed_source",
    "TIDEMARK_MARKETS": "markets",
    "TIDEMARK_PRICE_AGE_MAX_MS": "price_age_max_ms",
    "TIDEMARK_RESPONSE_TIMEOUT": "response_timeout_s",
    "TIDEMARK_RATE_FACTOR": "rate_limit_factor",
    "TIDEMARK_LOG_LEVEL": "log_level",
    "TIDEMARK_ARCHIVE_DIR": "archive_dir",
    "TIDEMARK_TRIM": "trim",
    "TIDEMARK_KEEP_KEYFRAMES_S": "keep_keyframes_s",
    "TIDEMARK_KEEP_EVENTS_S": "keep_events_s",
    "TIDEMARK_METRICS_TOKEN": "metrics_token",
    "TIDEMARK_WIRE": "wire",
}
# Read by the start scripts, the tests and the compiler's cache, never by a process's own code.
NAMES_ELSEWHERE = frozenset({"TIDEMARK_VENV", "TIDEMARK_KERNEL_CACHE", "TIDEMARK_BOOTSTRAPPED", "TIDEMARK_BROWSER"})
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?", re.ASCII)
PREFIX_TESTS = "TIDEMARK_TEST_"


class SettingsError(Exception):
    """A setting that cannot be used; its text names the variable and what would be right."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process is told from outside."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    database_url: str = "postgresql://127.0.0.1:5432/tidemark"
    data_dir: Path = REPOSITORY / ".tidemark"  # logs, mails, snapshot files, the secret; embedded servers' data
    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"  # where the gateway listens
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8080
    base_url: str = ""  # as users see it, in links; empty: http://127.0.0.1:PORT
    cors_origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded-For is believed; no others' is
    secret_file: Path = Path()  # empty: <data_dir>/secret
    mail: Literal["console", "smtp", "resend"] = "console"  # console: every mail is a file in <data_dir>/mail as well
    mail_from: str = ""  # needed by smtp and resend: `Tidemark <tidemark@example.org>`
    smtp_url: str = ""  # smtp://user:password@host:587 (STARTTLS), smtps://…; `?tls=none` on loopback alone
    resend_key_file: Path = Path()  # holds the key of Resend's HTTP API; empty: none
    resend_url: str = "https://api.resend.com"
    feed_url: str = FEED_URL_LIVE
    feed_source: Annotated[str, msgspec.Meta(pattern=r"^(backpack|simulated|recording:[ -~]{1,100})$")] = "backpack"
    markets: tuple[str, ...] = MARKETS_DEFAULT
    price_age_max_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None  # None: feed_status does not state it
    response_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
    rate_limit_factor: Annotated[int, msgspec.Meta(ge=1)] = 1  # every rate limit times this
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    archive_dir: Path = Path()  # the log as files, for ever; empty: <data_dir>/archive
    trim: Literal["on", "off"] = "on"  # whether the streams lose what archive, snapshots and readers have
    keep_keyframes_s: Annotated[float, msgspec.Meta(ge=0)] = 600.0  # the log keeps what follows a keyframe this young
    keep_events_s: Annotated[float, msgspec.Meta(ge=0)] = 3600.0  # of log time, for clients that resume
    wire: Literal["fast", "plain"] = "fast"  # whether compiled code reads and writes the engine's streams
    metrics_token: str = ""  # who bears it may read /metrics from anywhere; empty: loopback alone


def settings_read(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process; raises SettingsError with one clear sentence."""
    source = os.environ if environment is None else environment
    known = NAMES.keys() | NAMES_ELSEWHERE
    for name in source:
        if name.startswith("TIDEMARK_") and name not in known and not name.startswith(PREFIX_TESTS):
            near = difflib.get_close_matches(name, sorted(known), 1)
            raise SettingsError(f"{name} is no setting" + (f"; is {near[0]} meant?" if near else "."))
    values: dict[str, object] = {}
    for name, field in NAMES.items():
        text = source.get(name, "").strip()
        if not text:
            continue
        if field in ("cors_origins", "markets", "proxies"):
            values[field] = [part.strip() for part in text.split(",") if part.strip()]
        elif field not in ("data_dir", "secret_file", "archive_dir", "resend_key_file"):
            values[field] = text
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].rstrip("`").partition("[")[0]
        name = next((name for name, candidate in NAMES.items() if candidate == field), "A setting")
        raise SettingsError(f"{name}: {str(error).partition(' - at ')[0]}.") from None
    return settings_complete(settings, source)


def settings_complete(settings: Settings, source: Mapping[str, str]) -> Settings:
    """Return the settings with the fields filled that follow from others."""
    data_dir = Path(source.get("TIDEMARK_DATA") or settings.data_dir).expanduser().absolute()
    secret = source.get("TIDEMARK_SECRET_FILE")
    archive = source.get("TIDEMARK_ARCHIVE_DIR")
    resend_key = source.get("TIDEMARK_RESEND_KEY_FILE")
    if not settings.markets or len(set(settings.markets)) != len(settings.markets):
        raise SettingsError("TIDEMARK_MARKETS must name each market once.")
    for origin in settings.cors_origins:
        if ORIGIN.fullmatch(origin) is None:
            raise SettingsError(f"TIDEMARK_CORS_ORIGINS: {origin!r} is no origin such as https://app.example.org.")
    for proxy in settings.proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise SettingsError(f"TIDEMARK_PROXIES: {proxy!r} is no address and no network.") from None
    return msgspec.structs.replace(
        settings,
        data_dir=data_dir,
        # What is compiled would run interpreted, far slower than the plain way.
        wire=settings.wire if source.get("NUMBA_DISABLE_JIT", "0") in ("", "0") else "plain",
        archive_dir=Path(archive).expanduser().absolute() if archive else data_dir / "archive",
        secret_file=Path(secret).expanduser().absolute() if secret else data_dir / "secret",
        resend_key_file=Path(resend_key).expanduser().absolute() if resend_key else Path(),
        base_url=(settings.base_url or f"http://127.0.0.1:{settings.port}").rstrip("/"),
    )


def environment_interpreted() -> dict[str, str]:
    """Return this process's environment for one that it starts and in which the core runs without its compiler."""
    return {**os.environ, "NUMBA_DISABLE_JIT": "1"}
