"""The documents name every route, code, key and message; what the engine really tells has the keys that they state."""

import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import schemathesis

from gateway import bodies, schemas
from gateway.app import ROUTES
from gateway.documents import op_codes
from gateway.documents.abouts import ABOUTS
from gateway.documents.components import PLACE
from gateway.documents.describe import IN_PATH, codes_by_status, names_in, openapi
from gateway.documents.describe_messages import asyncapi, event_name
from gateway.documents.event_images import IMAGES, OF_ACCOUNT, UNTOLD
from gateway.documents.meanings import MEANINGS
from gateway.errors import ERRORS, Refusal
from gateway.pages import CONTENT_SECURITY_POLICY
from gateway.shapes import NULLABLE, WORDS, Shape, plain_read, shape_schema
from gateway.sign_in.callers import SESSION_PATHS, scope_needed
from gateway.socket import messages
from shared.codes import EventKind
from tests.gateway_house import House
from tests.property.venues import TwinVenue
from tests.scenario.runner import START_US, Runner, scenarios_all
from tests.unit.test_commands_page import codes_in, section_of
from tests.unit.test_commands_page import codes_of as codes_of_page

DOCUMENT = openapi(ROUTES, ABOUTS)
MESSAGES = asyncapi()
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
TYPES_ALONE = {"", "whole number", "true or false", 'decimal text such as "1.5"', "1 to 64 printable ASCII characters"}
# What the page lists for every operation: an unreadable entry has no answer, a repeat is answered by its first outcome.
NEVER_ANSWERED = {"RECORD_MALFORMED", "REQUEST_REPEATED"}
OF_MARKET = {"MARKET_UNKNOWN", "MARKET_HALTED", "MARKET_REDUCE_ONLY"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def references(value: Any) -> set[str]:
    """Return every reference in a document."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(references, value.values()))


def resolved(document: Any, reference: str) -> Any:
    """Return what a reference of a document means."""
    place = document
    for part in reference.removeprefix("#/").split("/"):
        place = place[part]
    return place


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    """The table of what is said is total over the routes table."""
    assert ABOUTS.keys() == {(route.method, route.path) for route in ROUTES}
    assert {(method.upper(), path) for path, method, _operation in OPERATIONS} == ABOUTS.keys()


def test_the_document_says_what_a_key_may_call_and_with_which_scope() -> None:
    """Nobody is named where everybody may call; sessions and keys are a session's alone; else the scope is told."""
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        keys = [each for each in operation["security"] if "Tidemark-Key" in each]
        closed = route.path.startswith(SESSION_PATHS)
        assert bool(operation["security"]) == route.signed_in, route
        assert bool(keys) == (route.signed_in and not closed), route
        scope = scope_needed(route.method, route.path)
        assert ("description" in operation and f"`{scope}`" in operation["description"]) == bool(keys), route
    assert "`trade`" in DOCUMENT["paths"]["/api/v1/account/reset"]["post"]["description"]
    assert "`read`" in DOCUMENT["paths"]["/api/v1/trade/preview"]["post"]["description"]


def test_every_reference_leads_somewhere() -> None:
    """Each reference of both documents is resolved inside it, and no component is idle."""
    for document in (DOCUMENT, MESSAGES):
        found = references(document)
        assert all(resolved(document, reference) for reference in found)
        told = {PLACE + name for name in document["components"]["schemas"]}
        idle = {PLACE + image.__name__ for image in IMAGES.values()} if document is MESSAGES else set()
        assert told - found <= idle


def test_operations_have_names_of_their_own_and_parameters_their_places() -> None:
    """No two operations share a name; what stands in braces is a parameter, and no parameter comes twice."""
    names = [operation["operationId"] for _path, _method, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for path, _method, operation in OPERATIONS:
        parameters = [(each["in"], each["name"]) for each in operation["parameters"]]
        assert len(set(parameters)) == len(parameters)
        assert [name for place, name in parameters if place == "path"] == names_in(path)
        assert set(names_in(path)) <= IN_PATH.keys()
        assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}


def test_the_document_is_one_that_tools_take() -> None:
    """A reader of OpenAPI that is not ours finds it valid, and every operation in it."""
    schema = schemathesis.openapi.from_dict(orjson.loads(orjson.dumps(DOCUMENT)))
    schema.validate()
    assert sum(1 for _ in schema.get_all_operations()) == len(ROUTES)


def test_the_messages_are_told_as_asyncapi_has_it() -> None:
    """One channel holds every message, each is named by one operation, and nothing in it is OpenAPI's alone."""
    channel = MESSAGES["channels"]["socket"]
    assert channel["address"] == "/ws"
    listed = [each["$ref"] for operation in MESSAGES["operations"].values() for each in operation["messages"]]
    assert sorted(listed) == sorted(f"#/channels/socket/messages/{name}" for name in channel["messages"])
    assert {operation["action"] for operation in MESSAGES["operations"].values()} == {"send", "receive"}
    assert b'"discriminator"' not in orjson.dumps(MESSAGES)
    schemathesis.openapi.from_dict(
        {"openapi": "3.1.0", "info": DOCUMENT["info"], "paths": {}, "components": {"schemas": as_schemas()}}
    ).validate()


def as_schemas() -> dict[str, Any]:
    """Return the schemas of all messages, with their payloads."""
    payloads = {name: each["payload"] for name, each in MESSAGES["components"]["messages"].items()}
    return MESSAGES["components"]["schemas"] | payloads


def test_every_code_is_in_the_document_and_every_refusal_has_its_row() -> None:
    """The schema of refusals lists every code, and each route lists its own by the status that the table gives them."""
    listed = DOCUMENT["components"]["schemas"]["Refused"]["properties"]["code"]["enum"]
    assert {*listed, "OK"} == set(ERRORS)
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        for status, codes in codes_by_status(route, ABOUTS[route.method, route.path]).items():
            assert {ERRORS[code].status for code in codes} == {status}
            assert all(f'"{code}"' in orjson.dumps(operation["responses"][str(status)]).decode() for code in codes)


@pytest.mark.parametrize("operation", schemas.OPERATIONS, ids=lambda operation: operation.op)
def test_an_operations_codes_are_those_of_the_page(operation: schemas.Operation) -> None:
    """Each route of an instruction names the results that docs/commands.md lists for the operation, and no others."""
    page = codes_of_page(operation.op) - NEVER_ANSWERED
    if "market" not in operation.keys:
        page -= OF_MARKET - codes_of_own_section(operation.op)
    told = op_codes.refusals_of(operation.op)
    if operation.op == "batch":
        assert page <= told | OF_MARKET
        return
    assert told == page - (OF_MARKET - codes_of_own_section(operation.op) - {"MARKET_UNKNOWN"})


def codes_of_own_section(op: str) -> set[str]:
    """Return what the operation's own section names of a market's state."""
    return codes_in(section_of(op)) & OF_MARKET


def test_every_event_kind_has_its_image_and_every_message_its_place() -> None:
    """No event and no message of the WebSocket is missing in its document."""
    assert IMAGES.keys() | UNTOLD == set(EventKind)
    assert all(event_name(kind.name) in MESSAGES["components"]["schemas"] for kind in IMAGES)
    named = MESSAGES["components"]["messages"]
    assert {f"asked.{op}" for op in messages.BY_OP} <= named.keys()
    assert {f"told.{struct.__struct_config__.tag}" for struct in messages.TOLD} <= named.keys()
    assert len(named) == len(messages.ASKED) + len(messages.TOLD)
    assert set(messages.BODIES) == {each for each in messages.ASKED if issubclass(each, messages.Ordered)}


class WatchedVenue(TwinVenue):
    """The twin, whose every event is held against its image."""

    seen: set[str] = set()  # noqa: RUF012

    def apply(self, *arguments: Any, **named: Any) -> list[dict[str, Any]]:
        """Return the events of one entry once their keys are those that are documented."""
        events = super().apply(*arguments, **named)
        for event in events or []:
            kind = EventKind[event["e"].upper()]
            self.seen.add(event["e"])
            head = ("e", "account") if kind in OF_ACCOUNT else ("e",)
            image = {name: value for name, value in event.items() if name not in head}
            msgspec.convert(image, IMAGES[kind], strict=True)
        return events


def test_what_the_engine_tells_is_as_the_images_say() -> None:
    """Every event of every scenario table has the keys of its image, of their types, and no others."""
    WatchedVenue.seen.clear()
    for scenario in scenarios_all():
        Runner(scenario, lambda first: WatchedVenue(first, START_US)).run()
    assert WatchedVenue.seen == {kind.name.lower() for kind in IMAGES}


VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 10**15 - 1, 10**15, -(10**15), 2**63 - 1, 2**63, -(2**63), 1.5, 1.0, [], {}),
    *("", "0", "-0", "1.5", "01", ".5", "1.", "+1", "1e5", " 1", "1\n", "1" * 15, "1" * 16, "1." + "0" * 12),
    *("1." + "0" * 13, "x" * 64, "x" * 65, "ä", "\x7f", "\x1f", " ", "buy", "BUY", "GTC", "cross", "quote", "all"),
    *("market", "position", "cancel_taker", "liquidation", "none", "opening", "trailing_stop", "sell\n"),
]


@pytest.mark.parametrize("shape", [*WORDS, *NULLABLE, Shape.DECIMAL, Shape.INTEGER, Shape.FLAG, Shape.TEXT])
def test_a_shapes_schema_takes_what_its_reader_takes(shape: Shape) -> None:
    """For every value of a kind that callers send, schema and reader agree."""
    for value in VALUES:
        try:
            plain_read("leverage", shape, value)
            taken = True
        except Refusal:
            taken = False
        assert allows(shape_schema(shape), value) == taken, (shape, value)


def allows(schema: dict[str, Any], value: Any) -> bool:
    """Return whether a plain schema allows a value, as JSON Schema means it."""
    if "anyOf" in schema:
        return any(allows(each, value) for each in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {"string": str, "integer": int, "boolean": bool, "null": type(None)}
    if type(value) is not kinds[schema["type"]]:
        return False
    if "pattern" in schema and re.search(schema["pattern"].removesuffix("$") + r"\Z", value) is None:
        return False
    return schema.get("minimum", value) <= value <= schema.get("maximum", value) if type(value) is int else True


def test_a_body_says_which_of_its_keys_exclude_each_other() -> None:
    """Keys of which exactly one is needed, and bodies that must say something, are rules of the schema."""
    schemas_told = DOCUMENT["components"]["schemas"]
    sizes = [{"required": [name]} for name in ("qty", "quote_qty", "close_percent")]
    assert schemas_told[bodies.OrderPlace.__name__]["oneOf"] == sizes
    assert schemas_told[bodies.AccountGuardsSet.__name__]["minProperties"] == 1
    items = schemas_told[bodies.Batch.__name__]["properties"]["commands"]["items"]
    assert set(items["discriminator"]["mapping"]) == {operation.op for operation in schemas.OPERATIONS_OF_BATCH}
    for op, place in items["discriminator"]["mapping"].items():
        command = resolved(DOCUMENT, place)
        assert command["properties"]["op"] == {"const": op} and "op" in command["required"]
        assert command["additionalProperties"] is False


def test_every_key_of_a_body_has_its_meaning() -> None:
    """No key that a caller may send is told by its type alone, and no meaning is of a key that does not exist."""
    asked = [about.body.__name__ for about in ABOUTS.values() if about.body is not None]
    for name in [*asked, bodies.Trigger.__name__, bodies.Leg.__name__]:
        for key, value in DOCUMENT["components"]["schemas"][name].get("properties", {}).items():
            assert value.get("description", "").partition(";")[0] not in TYPES_ALONE, (name, key)
    told = [schema for document in (DOCUMENT, MESSAGES) for schema in document["components"]["schemas"].values()]
    assert MEANINGS.keys() <= {key for schema in told for key in schema.get("properties", {})}


class Page(HTMLParser):
    """What a page refers to, and whether its elements close in order."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.links: set[str] = set()
        self.elements: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element with its name and link."""
        self.elements.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on") and name != "style", (tag, name)
            if name == "id":
                self.names.append(value or "")
            if name in ("href", "src"):
                self.links.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of the innermost element."""
        assert self.open.pop() == tag


@pytest.mark.anyio
async def test_the_page_shows_every_route_without_a_script(tmp_path: Path) -> None:
    """/docs is whole HTML under the strict policy: no script, nothing from elsewhere, every link inside it leads."""
    async with House(tmp_path) as house:
        answer = await house.client.get("/docs")
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        style = answer.text.partition("<style>")[2].partition("</style>")[0]
        assert b64encode(hashlib.sha256(style.encode()).digest()).decode() in CONTENT_SECURITY_POLICY
        page = Page(answer.text)
        assert not page.open and "script" not in page.elements
        assert len(set(page.names)) == len(page.names)
        assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.names)
        assert all(link.startswith(("#", "/")) for link in page.links)
        for link in page.links:
            if link.startswith("/"):
                assert (await house.client.get(link)).status_code == 200
        for route in ROUTES:
            assert f"<b>{route.method}</b> <code>{route.path}</code>" in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json", "/docs"])
async def test_a_document_that_is_kept_is_not_sent_again(tmp_path: Path, path: str) -> None:
    """Who shows the tag of what he keeps is told that it still holds; any other is sent the whole."""
    async with House(tmp_path) as house:
        first = await house.client.get(path)
        assert first.status_code == 200
        tag = first.headers["etag"]
        for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
            again = await house.client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert (await house.client.get(path, headers={"If-None-Match": '"x"'})).content == first.content
        assert (await house.client.get(f"{path}?a=1")).status_code == 400


@pytest.mark.anyio
async def test_the_documents_are_those_of_the_classes(tmp_path: Path) -> None:
    """What is served is what the structs and the routes table give."""
    async with House(tmp_path) as house:
        assert orjson.loads((await house.client.get("/openapi.json")).content) == orjson.loads(orjson.dumps(DOCUMENT))
        assert orjson.loads((await house.client.get("/asyncapi.json")).content) == orjson.loads(orjson.dumps(MESSAGES))
