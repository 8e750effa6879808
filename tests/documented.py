"""Holds what a test is answered or told against the documents: route, status, media type, codes, keys, messages."""

from typing import Any

import httpx2
import msgspec
from starlette.routing import compile_path

from gateway.app import ROUTES, Address, template
from gateway.documents.about import HTML, JSON, About
from gateway.documents.abouts import ABOUTS
from gateway.documents.components import schema_of
from gateway.documents.describe import ALWAYS, codes_by_status, contents_of, headers_of
from gateway.documents.describe_messages import HELD
from gateway.documents.event_images import IMAGES, OF_ACCOUNT
from gateway.documents.replies import Refused
from gateway.documents.replies_market import LiquidationTold
from gateway.documents.replies_socket import Standing
from gateway.socket import messages
from shared.codes import EventKind

_PATTERNS = [(compile_path(template(route.path))[0], route) for route in ROUTES]
# Under the old names an answer may come under `type` too; they are described in docs/old_front_ends.md.
OLD_ANSWERS = frozenset({"orderCreated", "orderCancelled", "orderStatus", "priceChecked", "monitoringStatus"})
# Outside every route.
NOWHERE = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def route_of(method: str, path: str) -> Address | None:
    """Return the route that answers a request; HEAD is answered by GET's."""
    wanted = "GET" if method == "HEAD" else method
    return next((route for pattern, route in _PATTERNS if pattern.match(path) and route.method == wanted), None)


async def answer_check(response: httpx2.Response) -> None:
    """Fail unless the documents say that this route may answer so."""
    request = response.request
    path = request.url.path
    if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
        return  # asked by a browser, answered before any route
    content = await response.aread()
    media = response.headers.get("content-type", "").partition(";")[0]
    route = route_of(request.method, path)
    told = f"{request.method} {path} -> {response.status_code} {media} {content[:600]!r}"
    if request.method == "HEAD":
        assert not content, told
        return
    if route is None:
        assert refused_code(content, told) == NOWHERE.get(response.status_code), told
        known = {route.method for pattern, route in _PATTERNS if pattern.match(path)}
        allowed = set(response.headers.get("allow", "").split(", ")) - {"", "HEAD"}
        assert allowed == (known if response.status_code == 405 else set()), told
        return
    about = ABOUTS[(route.method, route.path)]
    problem = problem_of(route, about, response.status_code, media, content)
    assert problem is None, f"{problem}: {told}"
    wanted = [name for name in headers_of(response.status_code, about) if name in ALWAYS]
    assert all(name in response.headers for name in wanted), f"not all of {wanted}: {told}"


def problem_of(route: Address, about: About, status: int, media: str, content: bytes) -> str | None:
    """Return what the documents do not say of an answer, None when they say all of it."""
    codes = codes_by_status(route, about).get(status, [])
    options = contents_of(about.ok[status]) if status in about.ok else ()
    if status in about.ok and not options:
        return "a body where none is documented" if content else None
    if media != JSON:
        page_refused = about.form and media == HTML and bool(codes)
        return None if media in options or page_refused else "an undocumented media type"
    problems = [shape_problem(option, content) for option in options if not isinstance(option, str)]
    if JSON in options or None in problems:
        return None
    problem = shape_problem(Refused, content)
    if problem is not None:
        return "; ".join(filter(None, [*problems, problem]))
    code = msgspec.json.decode(content)["code"]
    return None if code in codes else f"the code {code} is not documented for {status}"


def shape_problem(struct: type[msgspec.Struct], content: bytes) -> str | None:
    """Return how a body differs from a struct, None when it does not."""
    try:
        msgspec.json.decode(content, type=struct, strict=True)
    except msgspec.DecodeError as error:
        return f"no {struct.__name__}: {error}"
    return None


def refused_code(content: bytes, told: str) -> Any:
    """Return the code of a refusal."""
    problem = shape_problem(Refused, content)
    assert problem is None, f"{problem}: {told}"
    return msgspec.json.decode(content)["code"]


def message_check(frame: str | bytes) -> Any:
    """Return a message of the WebSocket once the documents say that there may be such a one; old names have no type."""
    message = msgspec.json.decode(frame)
    if "type" in message and message["type"] not in OLD_ANSWERS:
        told = {str(struct.__struct_config__.tag): struct for struct in messages.TOLD}
        assert message["type"] in told, f"an undocumented message: {frame[:900]!r}"
        problem = message_problem(message, told[message["type"]])
        assert problem is None, f"{problem}: {frame[:900]!r}"
    return message


def message_problem(message: dict[str, Any], struct: type[msgspec.Struct]) -> str | None:
    """Return what the documents do not say of a message, None when they say all of it."""
    shown = schema_of(struct)["properties"]
    if not message.keys() <= shown.keys():
        return f"undocumented keys {message.keys() - shown.keys()}"
    problem = shape_problem(struct, msgspec.json.encode(message))
    if problem is not None or struct not in (messages.Event, messages.Snapshot, *HELD):
        return problem
    name, held = HELD.get(struct, ("data", (Standing if struct is messages.Snapshot else LiquidationTold,)))
    value = message[name]
    if struct is messages.Event and "e" in value:
        kind = EventKind[value["e"].upper()]
        hidden = ("e", "account") if kind in OF_ACCOUNT else ("e",)
        value, held = {key: each for key, each in value.items() if key not in hidden}, (IMAGES[kind],)
    problems = [shape_problem(each, msgspec.json.encode(value)) for each in held]
    return None if None in problems else "; ".join(filter(None, problems))


HOOKS = {"response": [answer_check]}
