"""The OpenAPI document -> one page to read it: plain HTML, no script, nothing from another host; pure."""

from collections.abc import Mapping
from html import escape
from typing import Any

from gateway.documents.components import PLACE
from gateway.documents.replies import DECIMAL_TOLD
from gateway.errors import ERRORS
from gateway.pages import page_wide
from gateway.shapes import DECIMAL_SCHEMAS

Schema = Mapping[str, Any]
DECIMALS = (DECIMAL_SCHEMAS[0]["pattern"], DECIMAL_TOLD)


def docs_page(document: Mapping[str, Any]) -> str:
    """Return the whole page."""
    tags = [(tag["name"], tag["description"]) for tag in document["tags"]]
    sections = "".join(_section(document, name, text) for name, text in tags)
    schemas = "".join(_component(name, each) for name, each in document["components"]["schemas"].items())
    codes = [
        (f'<a id="{code}"></a><code>{code}</code>', str(row.status), row.retry, escape(row.sentence))
        for code, row in ERRORS.items()
    ]
    links = "".join(f'<li><a href="#{escape(name)}">{escape(name)}</a></li>' for name, _text in tags)
    info = document["info"]
    return page_wide(
        f"{info['title']}: the HTTP API",
        f"<p>{escape(info['description'])}</p>"
        '<p>The same for programs: <a href="/openapi.json">/openapi.json</a>; of the WebSocket '
        '<a href="/asyncapi.json">/asyncapi.json</a>; all codes <a href="/api/v1/errors">/api/v1/errors</a>.</p>'
        f'<nav><ul>{links}<li><a href="#schemas">schemas</a></li><li><a href="#codes">codes</a></li></ul></nav>'
        f'{sections}<h2 id="schemas">schemas</h2>{schemas}'
        f'<h2 id="codes">codes</h2>{_table(("code", "status", "retry", "what to do"), codes)}',
    )


def _section(document: Mapping[str, Any], tag: str, text: str) -> str:
    """Return the operations of one tag."""
    rows = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]
    return f'<h2 id="{escape(tag)}">{escape(tag)}</h2><p>{escape(text)}.</p>{"".join(rows)}'


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """Return one operation, folded to its address."""
    parts = [f"<p>{_who(operation['security'])} {_marked(operation.get('description', ''))}</p>"]
    if operation["parameters"]:
        parts.append(_table(("parameter", "in", "value", "meaning"), map(_parameter, operation["parameters"])))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body, <code>{escape(media)}</code>: {_type(content['schema'])}</p>")
    parts.append(_table(("status", "answer", "meaning"), map(_response, operation["responses"].items())))
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b>{method.upper()}</b> '
        f"<code>{escape(path)}</code> {escape(operation['summary'])}</summary>{''.join(parts)}</details>"
    )


def _who(security: list[Mapping[str, Any]]) -> str:
    """Return who may call."""
    if not security:
        return "For everybody."
    keys = any(len(scheme) > 1 for scheme in security)
    return "Signed in, by session or by a key." if keys else "Signed in, by session only."


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one parameter."""
    name = f"<code>{escape(parameter['name'])}</code>" + (" *" if parameter["required"] else "")
    return name, parameter["in"], _type(parameter["schema"]), escape(parameter["description"])


def _response(row: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the cells of one status."""
    status, response = row
    media = [
        f"<code>{escape(name)}</code>: {_type(each['schema'])}" for name, each in response.get("content", {}).items()
    ]
    codes = [code for each in response.get("content", {}).values() for code in _codes(each["schema"])]
    linked = ", ".join(f'<a href="#{code}">{code}</a>' for code in codes)
    return escape(status), "<br>".join(media), linked or _marked(response["description"])


def _codes(schema: Schema) -> list[str]:
    """Return the codes of a refusal."""
    if "anyOf" in schema:
        return [code for each in schema["anyOf"] for code in _codes(each)]
    return schema["allOf"][1]["properties"]["code"]["enum"] if "allOf" in schema else []


def _marked(line: str) -> str:
    """Return a line with what stands between backticks as code."""
    pieces = [escape(piece) for piece in line.split("`")]
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))


def _component(name: str, schema: Schema) -> str:
    """Return one schema with its keys."""
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{escape(key)}</code>{' *' if key in required else ''}",
            _type(each),
            escape(each.get("description", "")),
        )
        for key, each in schema.get("properties", {}).items()
    ]
    told = [f"<p>{_marked(' '.join(schema.get('description', '').split()))}</p>"]
    if "oneOf" in schema:
        told.append(f"<p>Exactly one of {_or(each['required'][0] for each in schema['oneOf'])}.</p>")
    table = _table(("key", "value", "meaning"), rows) if rows else ""
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{"".join(told)}{table}</details>'
    )


def _or(names: Any) -> str:
    """Return names as code with commas between them."""
    return ", ".join(f"<code>{escape(name)}</code>" for name in names)


def _type(schema: Schema) -> str:
    """Return in a few words what a value is."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(PLACE))
        return f'<a href="#{name}">{name}</a>'
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if "allOf" in schema:
        return _type(schema["allOf"][0])
    if "enum" in schema:
        return _or(str(each) for each in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    return _plain(schema)


def _plain(schema: Schema) -> str:
    """Return in a few words what a value without alternatives is."""
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema.get('items', {}))}"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {_type(inner)}" if isinstance(inner, Mapping) and inner else "object"
        case "integer":
            bounds = [escape(str(schema.get(key, "…"))) for key in ("minimum", "maximum")]
            return "integer" if bounds == ["…", "…"] else f"integer {bounds[0]} to {bounds[1]}"
        case "string" if "pattern" in schema and schema["pattern"] in DECIMALS:
            return "decimal text"
        case "string" if "pattern" in schema:
            return f"text like <code>{escape(schema['pattern'])}</code>"
        case None:
            return "anything"
        case kind:
            return {"string": "text", "boolean": "true or false"}.get(str(kind), str(kind))


def _table(names: tuple[str, ...], rows: Any) -> str:
    """Return a table; the cells are HTML."""
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
