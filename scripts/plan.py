"""What a venue is asked to be: its options, each process's command and environment, the words of its welcome."""

import dataclasses
import hashlib
import os
import socket
import sys
from pathlib import Path

from scripts.ready import Ready

HOST = "127.0.0.1"
PORT_DEFAULT = 8080
PORTS_TRIED = 100
MARKETS_DEFAULT = "BTC_USDC_PERP,ETH_USDC_PERP,SOL_USDC_PERP,ADA_USDC_PERP"
RATE_FACTOR_LOOPBACK = "1000"
GO_FILE = "feed.go"  # in the data folder; a held feed waits for it


class PlanError(Exception):
    """Options that cannot be followed; the text says which and why."""


@dataclasses.dataclass
class Options:
    """What the user asked for."""

    data_dir: Path
    feed: str = "simulated"  # or `live`, or a recording's path
    speed: float = 1.0  # 0: as fast as it goes
    hold: bool = False
    loop: bool = False
    seed: int = 1
    port: int | None = None
    ready_file: Path | None = None
    engines: int = 1  # one leads, the others stand by
    feed_url: str = ""  # known once the simulator listens
    port_claim: socket.socket | None = None

    @property
    def simulator(self) -> bool:
        """Return whether the feed comes from the local simulator."""
        return self.feed != "live"

    @property
    def feed_source(self) -> str:
        """Return the feed's name as the log and every answer state it."""
        if self.feed in ("simulated", "live"):
            return {"live": "backpack"}.get(self.feed, self.feed)
        return "recording:" + Path(self.feed).name.partition(".")[0]

    @property
    def feed_words(self) -> str:
        """Return one line about the feed; invented prices say so loudly."""
        held = "; HELD until `tidemark feed go`" if self.hold else ""
        if self.feed == "simulated":
            return f"SIMULATED prices, invented here: not a real market{held}"
        pace = "as fast as it goes" if self.speed == 0 else f"speed {self.speed:g}"
        return f"RECORDED prices, {'HELD, ' * self.hold}{pace}: {Path(self.feed).name}"

    @property
    def url(self) -> str:
        """Return where the gateway answers."""
        return f"http://{HOST}:{self.port}"


def port_choose(options: Options) -> None:
    """Settle the port: the one that was asked for or nothing; else the next free one, saying so."""
    if options.port is not None:
        if not port_take(options, options.port):
            raise PlanError(f"port {options.port} is taken; choose another one or leave --port out")
        return
    for port in range(PORT_DEFAULT, PORT_DEFAULT + PORTS_TRIED):
        if port_take(options, port):
            options.port = port
            if port != PORT_DEFAULT:
                print(f"Port {PORT_DEFAULT} is taken: this venue answers on {port}.", flush=True)
            return
    raise PlanError(f"no free port from {PORT_DEFAULT} on; name one with --port")


def port_take(options: Options, port: int) -> bool:
    """
    Return whether the port is ours; other supervisors leave it alone as long as this process lives.

    The gateway listens seconds later: two venues that start at once would both find the port free.
    """
    claim = socket.socket(socket.AF_UNIX)
    if sys.platform.startswith("linux"):
        try:
            claim.bind(f"\0tidemark-port-{port}")  # no file: the kernel forgets it with the process
        except OSError:
            claim.close()
            return False
    if not port_free(port):
        claim.close()
        return False
    options.port_claim = claim
    return True


def port_free(port: int) -> bool:
    """Return whether the gateway could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def command(module: str) -> list[str]:
    """Return the command of one of our own processes."""
    return [sys.executable, "-m", module]


def command_metered(module: str, port: int) -> list[str]:
    """Return the command of one of our own processes that serves its metrics on a port."""
    return [*command(module), "--metrics-port", str(port)]


def port_any(taken: set[int]) -> int:
    """Return a free port that is not among those given out already; who finds it taken after all does without."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def simulator_command(options: Options, port_file: Path, port: int) -> list[str]:
    """Return the command of the local Backpack; speed is written as a person would."""
    words = command("poller.simulator")
    words += ["--feed", options.feed, "--speed", f"{options.speed:g}", "--seed", str(options.seed)]
    words += ["--port", str(port), "--port-file", str(port_file), "--go-file", str(options.data_dir / GO_FILE)]
    words += ["--markets", os.environ.get("TIDEMARK_MARKETS") or MARKETS_DEFAULT]
    return words + ["--hold"] * options.hold + ["--loop"] * options.loop


def environment(options: Options, ready: Ready) -> dict[str, str]:
    """Return the environment of our own processes: the user's, and what follows from the options."""
    stated = {
        "REDIS_URL": ready.redis_url,
        "DATABASE_URL": ready.database_url,
        "TIDEMARK_DATA": str(options.data_dir),
        "TIDEMARK_HOST": HOST,
        "TIDEMARK_PORT": str(options.port),
        "TIDEMARK_FEED_SOURCE": options.feed_source,
        "PYTHONUNBUFFERED": "1",
    }
    if options.feed_url:
        stated["TIDEMARK_FEED_URL"] = options.feed_url
    # Loopback: nobody but this machine's own users is limited.
    return {"TIDEMARK_RATE_FACTOR": RATE_FACTOR_LOOPBACK, "TIDEMARK_BASE_URL": options.url, **os.environ, **stated}


def migrations_digest() -> str:
    """Return a digest of the numbered SQL files."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).resolve().parent.parent / "shared" / "migrations").glob("*.sql")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def shown(path: Path) -> str:
    """Return a path the way the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def mail_leaves() -> bool:
    """Return whether sign-in links go out by mail: then none is made for the console, which nobody would receive."""
    return os.environ.get("TIDEMARK_MAIL", "").strip() not in ("", "console")


def development() -> bool:
    """Return whether this is somebody's own machine: then who follows the console's link is an operator too."""
    return os.environ.get("TIDEMARK_ENV", "").strip() in ("", "development")


def welcome(options: Options, ready: Ready, seconds: float) -> list[str]:
    """Return the lines that greet the user when the venue takes instructions."""
    link = ready.sign_in_url or "(no link could be made: see logs/gateway.log)"
    lines = ["", f"Ready after {seconds:.1f} s. Sign in, once, within 15 minutes:", "", f"  {link}", ""]
    if mail_leaves():
        lines = ["", f"Ready after {seconds:.1f} s at {options.url}. Sign-in links go out by mail.", ""]
    elif ready.sign_in_url and development():
        lines.append(f"It signs in an operator: {options.url}/ops shows the whole venue.")
    if options.feed == "simulated":
        lines.append("THE PRICES ARE SIMULATED. Real ones: --feed live, or a recording: --feed FILE")
    if options.hold:
        lines.append("The feed is held: `./scripts/tidemark feed go` lets it run.")
    lines.append(f"Rate limits are x{RATE_FACTOR_LOOPBACK} on this machine. Logs: {shown(options.data_dir / 'logs')}")
    lines.append("Ctrl-C stops everything; nothing is lost.")
    return lines
