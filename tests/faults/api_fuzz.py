"""
The API against its own document: generated requests to every operation of a running venue, and what they must not find.

    python -m tests.faults.api_fuzz --cases 1000 --processes 3
    python -m tests.faults.api_fuzz --cases 1000 --destructive

Of each operation a third of the requests are what the document allows, a part is what it forbids, the others are wishes
that can be granted (api_wishes.py). No answer may be a 5xx or a status, media type, header, key or code that the
document does not state; what it forbids must be refused, what it allows never for its shape. `--destructive` takes the
operations that end sessions and reset accounts, which the other run leaves out.
"""

import argparse
import contextlib
import json
import multiprocessing
import random
import string
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, checks
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks as openapi_checks

from gateway.documents.abouts import ABOUTS
from tests.documented import problem_of, route_of
from tests.faults.api_wishes import Wish, wish_for
from tests.faults.api_world import Trader, World
from tests.faults.venue_client import Venue, eventually, venue_running

TRADERS_EACH = 12  # of an operation: accounts of its own, so that no operation spoils another's
CASES_A_TRADER = 60
SHARE_NEGATIVE = 0.2
SHARE_WISHED = 0.45
UNSIGNED_LIKELY = 0.03
KEYED_LIKELY = 0.15  # signed by a key in the place of a session
LIVE_LIKELY = 0.6
GRANTED_MIN = 50  # of a thousand
DESTRUCTIVE = {"sign_out", "session_revoke", "account_reset"}
REFUSING = {400, 401, 403, 404, 405, 408, 409, 410, 413, 422, 429}
STRANGE_HEADERS = ["Accept", "If-None-Match", "Range", "Accept-Language", "X-Forwarded-For", "Referer"]
STRANGE_VALUES = ["", "*", "text/html", '"x"', "bytes=0-0", "127.0.0.1", "../../etc", "%00", "'; --", "x" * 2_000]
# How a session is presented: by a program, or as a browser does.
SESSION_WAYS = [("Authorization", "Bearer "), ("Authorization", "Bearer "), ("Cookie", "tidemark=")]
# What breaks a shape; the engine's own rules have the same names but name no key.
SHAPE_CODES = {
    "BODY_MALFORMED", "FIELD_UNKNOWN", "FIELD_MISSING", "FIELD_TYPE_INVALID", "NUMBER_NOT_TEXT", "NUMBER_MALFORMED",
    "FIELD_VALUE_UNKNOWN", "TEXT_INVALID", "OP_UNKNOWN", "BATCH_SIZE_INVALID",
}  # fmt: skip
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]
PHASES = [Phase.generate]
ENVIRONMENT = {"TIDEMARK_RATE_FACTOR": "1000000"}


@dataclass
class Told:
    """What became of one operation."""

    label: str
    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    found: dict[str, str] = field(default_factory=dict)  # kind of finding -> its first request and answer

    @property
    def granted(self) -> int:
        """Return how many were answered 2xx."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)


class Campaign:
    """The requests to some operations of one venue."""

    def __init__(
        self, url: str, mail: Path, traders: list[Trader], cases: int, number: int, document: Any = None
    ) -> None:
        """Take a document, or read the one that the gateway serves."""
        self.url, self.mail, self.cases, self.number = url, mail, cases, number
        self.traders = traders
        self.schema = schemathesis.openapi.from_dict(document or httpx2.get(f"{url}/openapi.json").json())
        self.schema.config.generation.update(with_security_parameters=False)

    def operations(self) -> dict[str, Any]:
        """Return the operations by their labels."""
        return {found.ok().label: found.ok() for found in self.schema.get_all_operations()}

    def run(self, label: str) -> Told:
        """Send the cases of one operation."""
        operation = self.operations()[label]
        rng = random.Random(f"{self.number} {label}")
        told = Told(label)
        wished = int(self.cases * SHARE_WISHED)
        negative = int(self.cases * SHARE_NEGATIVE)
        with contextlib.closing(World(self.url, self.mail, self.traders, rng)) as world, halted(told):
            for kind, mode, count in (
                ("positive", GenerationMode.POSITIVE, self.cases - wished - negative),
                ("negative", GenerationMode.NEGATIVE, negative),
                ("wished", GenerationMode.POSITIVE, wished),
            ):
                for case in cases_of(operation, mode, count, rng.getrandbits(32)):
                    self.send(case, kind, world, told)
        return told

    def send(self, case: Case, kind: str, world: World, told: Told) -> None:
        """Send one case and look at its answer."""
        rng = world.rng
        wish = wish_for(operation_id(case), case.path, world) if kind == "wished" else Wish()
        if kind == "positive":
            tame(case, world)
        elif kind == "wished":
            shape(case, wish)
        security = case.operation.definition.raw.get("security", [])
        private, by_key = bool(security), any(len(each) > 1 for each in security)
        # What is wished is asked for in a way that can be granted.
        unsigned = private and kind != "wished" and rng.random() < UNSIGNED_LIKELY
        keyed = private and not unsigned and (by_key or kind != "wished") and rng.random() < KEYED_LIKELY
        keyed = keyed and wish.token is None and world.signer() is not None
        headers = dict(wish.headers or {})
        if private and not unsigned and not keyed:
            name, text = rng.choice(SESSION_WAYS)
            headers[name] = text + (wish.token or world.trader.token)
        signing = {"auth": world.sign} if keyed else {}
        response = case.call(base_url=self.url, headers=headers, allow_redirects=False, **signing)
        world.turn += kind != "wished" and rng.random() < 1 / 16
        told.cases += 1
        told.kinds[kind] += 1
        told.statuses[response.status_code] += 1
        body = body_of(response)
        code = str(body.get("code", "")) if isinstance(body, dict) else ""
        if code:
            told.codes[code] += 1
        for name, text in problems(case, kind, unsigned, response, code, body):
            request = f"{case.method} {response.request.url} {case.body if case.body is not None else ''!r}"
            told.found.setdefault(
                name, f"{text[:700]}\n  {request[:900]}\n  {response.status_code} {response.content[:500]!r}"
            )
        if wish.after is not None:
            wish.after(body)


@contextlib.contextmanager
def halted(told: Told) -> Iterator[None]:
    """Count it as a finding of an operation when the campaign itself cannot go on with it; the others go on."""
    try:
        yield
    except Exception:
        told.found["halted"] = traceback.format_exc()[-1_500:]


def cases_of(operation: Any, mode: GenerationMode, count: int, number: int) -> Iterator[Case]:
    """Yield so many generated cases; where a request cannot be varied, what it does not know is added."""
    made: list[Case] = []

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        made.append(case)

    try:
        collect()
    except Unsatisfiable:
        # Nothing in such a request could be wrong.
        yield from cases_of(operation, GenerationMode.POSITIVE, count, number)
        return
    yield from made
    rng = random.Random(number)
    assert len(made) == count or not (made and made[0].path_parameters), "chance brought too few addresses"
    for _ in range(count - len(made)):
        yield operation.Case(query=strange(rng), headers={rng.choice(STRANGE_HEADERS): rng.choice(STRANGE_VALUES)})


def strange(rng: random.Random) -> dict[str, str]:
    """Return a query of a parameter that no route knows, now and then none."""
    name = "".join(rng.choices(string.printable, k=rng.randint(1, 12)))
    return {name: rng.choice(STRANGE_VALUES)} if rng.random() < 0.8 else {}


def tame(case: Case, world: World) -> None:
    """Put in what chance never gets right: mostly no other's account, no time that is not now; often what is live."""
    rng = world.rng
    if case.query and rng.random() < 0.9:
        case.query.pop("account", None)
    if case.headers and rng.random() < 0.9:
        case.headers.pop("Request-Time", None)
    if isinstance(case.body, dict):
        case.body = with_live(case.body, world)
    if case.path_parameters:
        case.path_parameters = with_live(case.path_parameters, world)


def with_live(values: dict[str, Any], world: World) -> dict[str, Any]:
    """Return values, some of which name what there is: a market, an order, a position."""
    live: dict[str, Any] = {
        "market": world.market,
        "order_id": lambda: world.order()["order_id"],
        "position_id": lambda: world.position_id(world.rng.choice([world.net, world.ticket])()),
        "account_to": world.sub,
    }
    found = {}
    for name, value in values.items():
        if name in live and world.rng.random() < LIVE_LIKELY:
            found[name] = live[name]()
        elif name == "commands" and isinstance(value, list):
            found[name] = [with_live(each, world) if isinstance(each, dict) else each for each in value]
        elif name == "body" and isinstance(value, dict):
            found[name] = with_live(value, world)
        else:
            found[name] = value
    return found


def shape(case: Case, wish: Wish) -> None:
    """Put what is wished in the place of what was generated."""
    case.headers.clear() if case.headers else None
    case.query = dict(wish.query or {})
    if wish.path is not None:
        case.path_parameters = dict(wish.path)
    if wish.body is not None:
        case.body = wish.body
        case.media_type = "application/json"


def operation_id(case: Case) -> str:
    """Return the operation's name in the document."""
    return str(case.operation.definition.raw["operationId"])


def body_of(response: Any) -> Any:
    """Return the JSON of an answer, None when it is none."""
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def problems(case: Case, kind: str, unsigned: bool, response: Any, code: str, body: Any) -> Iterator[tuple[str, str]]:
    """Yield what an answer should not have been."""
    # Of /ready 503 is the answer: not ready.
    excluded = [checks.not_a_server_error] if case.path == "/ready" else []
    try:
        case.validate_response(response, checks=CHECKS, excluded_checks=excluded)
    except FailureGroup as group:
        for failure in group.exceptions:
            yield type(failure).__name__, str(failure)
    route = route_of(case.method, response.request.path_url.partition("?")[0])
    if route is not None:
        media = response.headers.get("content-type", [""])[0].partition(";")[0]
        problem = problem_of(route, ABOUTS[route.method, route.path], response.status_code, media, response.content)
        if problem is not None:
            yield "undocumented", problem
    if unsigned:
        if response.status_code != 401:
            yield "unsigned", "answered without a session"
        return
    if kind == "negative":
        try:
            case.validate_response(response, checks=[openapi_checks.negative_data_rejection])
        except FailureGroup as group:
            yield "taken", str(group.exceptions[0])
    elif code in SHAPE_CODES and {"field", "fields"} & set(body.get("detail", {})) and not has_float(case.body):
        yield "shape", f"{code} for what the document allows"


def has_float(value: Any) -> bool:
    """Return whether a body holds a number with a fraction or an exponent, which JSON Schema may call an integer."""
    if isinstance(value, dict):
        return any(map(has_float, value.values()))
    if isinstance(value, list):
        return any(map(has_float, value))
    return isinstance(value, float)


def share_run(url: str, mail: Path, shares: list[tuple[str, list[Trader]]], cases: int, number: int) -> list[Told]:
    """Return what became of some operations, each with accounts of its own."""
    told = []
    for label, traders in shares:
        told.append(Campaign(url, mail, traders, cases, number).run(label))
        print(line_of(told[-1]), file=sys.stderr, flush=True)
    return told


def line_of(told: Told) -> str:
    """Return one operation's figures."""
    statuses = " ".join(f"{status}:{count}" for status, count in sorted(told.statuses.items()))
    return f"{told.label:<50} {told.cases:>5} cases  {told.granted:>5} granted  {statuses}  {' '.join(told.found)}"


def campaign(venue: Venue, cases: int, processes: int, number: int, destructive: bool, only: str = "") -> list[Told]:
    """Return what became of every operation of the document, or of those that only the other run leaves out."""
    first = Campaign(venue.url, venue.data_dir / "mail", [], cases, number)
    labels = [
        label
        for label, operation in first.operations().items()
        if (operation.definition.raw["operationId"] in DESTRUCTIVE) == destructive and only in label
    ]
    opened = venue.traders_open(min(TRADERS_EACH, 2 + cases // CASES_A_TRADER) * len(labels))
    accounts = [Trader(each.account, each.token) for each in opened]
    shares = [(label, accounts[index :: len(labels)]) for index, label in enumerate(labels)]
    parts = [shares[index::processes] for index in range(processes)]
    arguments = [(venue.url, venue.data_dir / "mail", part, cases, number) for part in parts if part]
    if len(arguments) == 1:
        return share_run(*arguments[0])
    with multiprocessing.get_context("spawn").Pool(len(arguments)) as pool:
        return [told for share in pool.starmap(share_run, arguments) for told in share]


def mistakes_logged(venue: Venue) -> list[str]:
    """Return what the gateway logged as its own mistake."""
    return [json.dumps(line)[:600] for line in venue.log_lines("gateway") if line.get("event") == "request_failed"]


def main() -> int:
    """Run a campaign against a venue of its own and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=1_000, help="requests to each operation")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--destructive", action="store_true")
    parser.add_argument("--only", default="", help="operations whose method and address hold this text")
    options = parser.parse_args()
    begin_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        venue_running(Path(folder), "--feed", "simulated", environment=ENVIRONMENT) as venue,
    ):
        eventually(lambda: bool(venue.ticker("BTC_USDC_PERP").get("fresh")), "a fresh price")
        told = campaign(venue, options.cases, options.processes, options.seed, options.destructive, options.only)
        mistakes = mistakes_logged(venue)
    for each in told:
        for name, text in each.found.items():
            print(f"{each.label}: {name}: {text}\n")
    print("\n".join(mistakes))
    granted_min = options.cases * GRANTED_MIN // 1_000
    result = {
        "operations": len(told),
        "cases": sum(each.cases for each in told),
        "cases_least": min(each.cases for each in told),
        "granted_least": min(each.granted for each in told),
        "short": [each.label for each in told if each.granted < granted_min or each.cases < options.cases],
        "findings": sum(len(each.found) for each in told),
        "mistakes": len(mistakes),
        "codes": sorted({code for each in told for code in each.codes}),
        "seconds": round(time.monotonic() - begin_s),
    }
    print(json.dumps(result))
    return 1 if result["findings"] or result["short"] or mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
