"""The routes table and what is said of it -> the OpenAPI document; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from gateway.documents.about import BODY, CSV, EVERYWHERE, FORM, HTML, JSON, SIGNED_IN, About, Codes, Content
from gateway.documents.components import Schema, components_of, reference, schema_of
from gateway.documents.replies import Refused
from gateway.errors import ERRORS
from gateway.identity import KEY_PATTERN
from gateway.sign_in.callers import ALL, scope_needed

OPENAPI = "3.1.0"
TITLE = "Tidemark"
DESCRIPTION = (
    "A paper venue for perpetual futures. Decimals are text, times whole microseconds (_us) or milliseconds (_ms); "
    "every answer names its request. What each code of a refusal means stands at /api/v1/errors."
)
TAGS = {
    "trade": "Instructions: each becomes at most one entry of the log and answers with what that entry caused",
    "account": "The caller's account as it stands, and what became of an instruction",
    "history": "What is over, later than the events and saying how much later",
    "market": "Prices, trades, candles and parameters, for everybody",
    "sign-in": "Links and sessions",
    "keys": "Keys with which programs sign their requests",
    "venue": "The venue and this gateway",
}
# What stands in braces in an address.
IN_PATH: dict[str, Schema] = {
    "order_id": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1, "description": "our id of the order"},
    "market": {"type": "string", "pattern": "^[ -.0-~]{1,24}$", "description": "such as BTC_USDC_PERP"},
    "request_id": {
        "type": "string",
        "pattern": "^[!-.0-~]{1,64}$",
        "description": "the request's id, or the Idempotency-Key that named it",
    },
    "tree": {"type": "string", "pattern": "^[0-9a-f]{1,64}$", "description": "the hash of all files, as `/` names it"},
    "path": {
        "type": "string",
        "pattern": "^[a-z][a-z0-9_.-]{0,64}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,64}){0,6}$",
        "description": "the file's path; its slashes may be encoded",
    },
    "session_id": {"type": "string", "pattern": "^[!-.0-~]{1,64}$", "description": "a session of the list"},
    "key_id": {"type": "string", "pattern": "^[!-.0-~]{1,64}$", "description": "a key of the list"},
}
REFUSED = "Refused; `code` says by which rule"
_PLAIN = str.maketrans("/-{}.", "_____")
ALWAYS = frozenset({"Retry-After", "WWW-Authenticate", "Location", "ETag"})
KEY_HEADERS = ("Tidemark-Key", "Tidemark-Time", "Tidemark-Signature")
ACCOUNT: Schema = {
    "name": "account",
    "in": "query",
    "required": False,
    "description": "the account acted for: the session's own, by default, or one of its sub-accounts",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
}
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "names the request: sent again with the same body it is answered with the first outcome",
    "schema": {"type": "string", "pattern": KEY_PATTERN},
}
TIME: Schema = {
    "name": "Request-Time",
    "in": "header",
    "required": False,
    "description": "the time of the sending in microseconds, at most 4 s off the gateway's clock",
    "schema": {"type": "string", "pattern": "^[0-9]{16}$"},
}


def openapi(routes: Iterable[Any], abouts: Mapping[tuple[str, str], About]) -> dict[str, Any]:
    """Return the document of these routes; each must have its row."""
    rows = [(route, abouts[(route.method, route.path)]) for route in routes]
    found, components = components_of([Refused, *(struct for _route, about in rows for struct in structs_of(about))])
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for route, about in rows:
        operation = _operation(route, about, found)
        if operation["operationId"] in names:
            operation["operationId"] += f"_at{route.path.translate(_PLAIN)}"
        names.add(operation["operationId"])
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": OPENAPI,
        "info": {"title": TITLE, "version": "1", "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _security_schemes(), "headers": _headers()},
    }


def structs_of(about: About) -> list[type[Struct]]:
    """Return the structs of a route's body and answers."""
    answers = [each for content in about.ok.values() for each in contents_of(content) if not isinstance(each, str)]
    return answers if about.body is None else [*answers, about.body]


def contents_of(content: Content | tuple[Content, ...]) -> tuple[Content, ...]:
    """Return what a status may answer with, one after the other."""
    return content if isinstance(content, tuple) else (content,)


def codes_by_status(route: Any, about: About) -> dict[int, list[str]]:
    """Return every code that a route may refuse with, by HTTP status, in the order of the table."""
    codes: Codes = about.codes | EVERYWHERE
    if route.signed_in:
        codes |= SIGNED_IN
    if about.body is not None:
        codes |= BODY
    found: dict[int, list[str]] = {}
    for code, row in ERRORS.items():
        if code in codes:
            found.setdefault(row.status, []).append(code)
    return found


def _operation(route: Any, about: About, found: Mapping[type[Struct], Schema]) -> dict[str, Any]:
    """Return one operation of a path."""
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "tags": [about.tag],
        "summary": about.summary,
        **_description(route),
        "security": _security(route),
        "parameters": _parameters(route, about),
        "responses": _responses(route, about, found),
    }
    if about.body is not None:
        content: dict[str, Any] = {JSON: {"schema": found[about.body]}}
        if about.form:
            content[FORM] = {"schema": found[about.body]}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def operation_id(route: Any) -> str:
    """Return the operation's name: the handler's."""
    return str(route.handler.__name__)


def _security(route: Any) -> list[dict[str, list[str]]]:
    """Return who may call: nobody in particular, a session, or a key too."""
    if not route.signed_in:
        return []
    session: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]
    if scope_needed(route.method, route.path) == ALL:
        return session
    return [*session, {name: [] for name in KEY_HEADERS}]


def _description(route: Any) -> dict[str, str]:
    """Return what a key needs to call a route, where one may."""
    scope = scope_needed(route.method, route.path) if route.signed_in else ALL
    return {} if scope == ALL else {"description": f"A key needs the scope `{scope}`; who may trade may read."}


def _parameters(route: Any, about: About) -> list[Schema]:
    """Return the parameters in the address, the query and the headers."""
    parameters: list[Schema] = []
    for name in names_in(route.path):
        schema = dict(IN_PATH[name])
        text = schema.pop("description")
        parameters.append({"name": name, "in": "path", "required": True, "description": text, "schema": schema})
    if about.query is not None:
        described = schema_of(about.query)
        required = described.get("required", [])
        for name, inner in described["properties"].items():
            schema = dict(inner)
            parameter = {"name": name, "in": "query", "required": name in required, "schema": schema}
            parameters.append(parameter | {"description": schema.pop("description", name)})
    if route.signed_in:
        parameters.append(ACCOUNT)
    if about.instruction:
        parameters += [KEY, TIME]
    return parameters


def names_in(path: str) -> list[str]:
    """Return what stands in braces in an address."""
    return [part.partition("}")[0] for part in path.split("{")[1:]]


def _responses(route: Any, about: About, found: Mapping[type[Struct], Schema]) -> dict[str, Any]:
    """Return every status that the route may answer with."""
    responses: dict[str, Any] = {}
    for status, content in about.ok.items():
        media: dict[str, Any] = {}
        for each in contents_of(content):
            if isinstance(each, str):
                media[each] = {"schema": {"type": "object" if each == JSON else "string"}}
            else:
                media.setdefault(JSON, []).append(found[each])
        options = media.get(JSON)
        if isinstance(options, list):
            media[JSON] = {"schema": options[0] if len(options) == 1 else {"oneOf": options}}
        responses[str(status)] = {"description": _told(status, content)} | ({"content": media} if media else {})
    for status, codes in codes_by_status(route, about).items():
        refused = {"allOf": [reference(Refused), {"properties": {"code": {"enum": codes}}}]}
        media = {JSON: {"schema": refused}} | ({HTML: {"schema": {"type": "string"}}} if about.form else {})
        present = responses.get(str(status))
        if present is None:
            responses[str(status)] = {"description": REFUSED, "content": media}
        else:
            present["content"][JSON]["schema"] = {"anyOf": [present["content"][JSON]["schema"], refused]}
    for text, response in responses.items():
        headers = headers_of(int(text), about)
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return dict(sorted(responses.items()))


def _told(status: int, content: Content | tuple[Content, ...]) -> str:
    """Return what a status means where it is no refusal."""
    texts = [each.__doc__ or "" for each in contents_of(content) if not isinstance(each, str)]
    return " Or: ".join(" ".join(text.split()) for text in texts) or {303: "See Location", 304: "Unchanged"}.get(
        status, "As the media type says"
    )


def headers_of(status: int, about: About) -> list[str]:
    """Return the headers that an answer of this status may have; of ALWAYS those that are listed are always there."""
    names = ["RateLimit", "RateLimit-Policy"]
    if status in (429, 503) or (status == 202 and about.instruction):
        names.append("Retry-After")
    if status == 401:
        names.append("WWW-Authenticate")
    if status == 303 or (status == 202 and about.instruction):
        names.append("Location")
    if status == 200 and about.instruction:
        names.append("Idempotent-Replay")
    if status == 200 and CSV in contents_of(about.ok[200]):
        names += ["Next-Cursor", "Complete-To-Seq"]
    if 304 in about.ok and status in (200, 304):
        names.append("ETag")
    return names


def _headers() -> dict[str, Schema]:
    """Return the headers that answers have."""
    texts = {
        "RateLimit": "how many requests are left in the window, and its end",
        "RateLimit-Policy": "how many requests a window takes",
        "Retry-After": "seconds to wait",
        "WWW-Authenticate": "how to sign in",
        "Location": "where to ask or go next",
        "Idempotent-Replay": "true: it was accepted before, and this is the first outcome",
        "Next-Cursor": "of a table: hand it back as `cursor` for the next page; absent on the last",
        "Complete-To-Seq": "of a table: nothing is missing up to here",
        "ETag": "by what these bytes are known; If-None-Match spares sending them again",
    }
    return {
        name: {"description": text, "required": name in ALWAYS, "schema": {"type": "string"}}
        for name, text in texts.items()
    }


def _security_schemes() -> dict[str, Schema]:
    """Return the ways of saying who calls."""
    schemes: dict[str, Schema] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "the token that signing in answers"},
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-tidemark",
            "description": "what signing in sets; in development it is named tidemark",
        },
    }
    texts = (
        "the key's id; the three headers go together",
        "when it was signed, in microseconds since 1970; it holds 5 s, or as many milliseconds as Tidemark-Window says",
        "Ed25519 over the text that docs/api.md describes, base64",
    )
    for name, text in zip(KEY_HEADERS, texts, strict=True):
        schemes[name] = {"type": "apiKey", "in": "header", "name": name, "description": text}
    return schemes
