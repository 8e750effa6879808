"""The structs of the WebSocket's messages -> the AsyncAPI document; pure."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from gateway import bodies
from gateway.documents.components import CODES, PLACE, Schema, components_of, schema_of
from gateway.documents.describe import TITLE
from gateway.documents.event_images import IMAGES, OF_ACCOUNT
from gateway.documents.replies import Refused
from gateway.documents.replies_account import Done, Unknown
from gateway.documents.replies_market import CandleJoined, DepthTold, LiquidationTold, TickerTold
from gateway.documents.replies_preview import Preview
from gateway.documents.replies_socket import Standing, ValuationTold
from gateway.socket import channels, messages

ASYNCAPI = "3.0.0"
DESCRIPTION = (
    "One socket at /ws. What a client sends has an `op`, what the gateway sends a `type`. A subscription begins with a "
    "snapshot, or with what was missed since `from`; every event says its place in the events, seq-chunk-index, and "
    "nothing is told twice or left out. Orders have the bodies of the HTTP API and its answers. An upgrade that is "
    "refused answers over HTTP, 401, 403, 429 or 503, with a body of the table of codes at /api/v1/errors."
)
ASKED, TOLD = "asked", "told"
# Message -> its key that may hold one of these.
HELD: dict[type[Struct], tuple[str, tuple[type[Struct], ...]]] = {
    messages.Answer: ("body", (Done, Unknown, Preview, Refused)),
    messages.Update: ("data", (TickerTold, DepthTold, CandleJoined, ValuationTold)),
}


def asyncapi() -> dict[str, Any]:
    """Return the document of the WebSocket."""
    inner, components = components_of(_inner())
    components = _plain(components)
    components |= {
        event_name(kind.name): _event(kind.name.lower(), components[image.__name__], kind in OF_ACCOUNT)
        for kind, image in IMAGES.items()
    }
    asked = {_name(struct): _message(struct, _filled(struct, inner)) for struct in messages.ASKED}
    told = {_name(struct): _message(struct, _filled(struct, inner)) for struct in messages.TOLD}
    named = {f"{ASKED}.{name}": each for name, each in asked.items()} | {
        f"{TOLD}.{name}": each for name, each in told.items()
    }
    return {
        "asyncapi": ASYNCAPI,
        "info": {"title": f"{TITLE}: the WebSocket", "version": "1", "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "{address}",
                "protocol": "ws",
                "variables": {"address": {"default": "127.0.0.1:8080", "description": "host and port of a gateway"}},
            }
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in named},
            }
        },
        "operations": {
            ASKED: _operation("receive", "What a client may send", (name for name in named if name.startswith(ASKED))),
            TOLD: _operation("send", "What the gateway sends", (name for name in named if name.startswith(TOLD))),
        },
        "components": {"messages": named, "schemas": components},
    }


def event_name(kind: str) -> str:
    """Return the name of the schema of one kind of event."""
    return "Event" + "".join(word.capitalize() for word in kind.lower().split("_"))


def _inner() -> list[type[Struct]]:
    """Return the structs that messages hold without saying so themselves."""
    held = [struct for _name, structs in HELD.values() for struct in structs]
    return [*IMAGES.values(), *map(_body, messages.BODIES), *held, LiquidationTold, Standing]


def _body(struct: type[messages.Ordered]) -> type[Struct]:
    """Return the body of an operation; a preview's is that of its route, which names the operation itself."""
    return messages.BODIES[struct] or bodies.PreviewAsked


def _name(struct: type[Struct]) -> str:
    """Return the op or type of a message."""
    return str(struct.__struct_config__.tag)


def _operation(action: str, summary: str, names: Iterable[str]) -> dict[str, Any]:
    """Return what goes one way; the actions are this side's."""
    return {
        "action": action,
        "channel": {"$ref": "#/channels/socket"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/socket/messages/{name}"} for name in names],
    }


def _message(struct: type[Struct], payload: Schema) -> dict[str, Any]:
    """Return one message."""
    return {"name": _name(struct), "summary": " ".join((struct.__doc__ or "").split()), "payload": payload}


def _filled(struct: type[Struct], inner: dict[type[Struct], Schema]) -> Schema:
    """Return the schema of a message, with what it holds: a body, an event, an answer."""
    payload = schema_of(struct)
    properties = payload["properties"]
    if issubclass(struct, messages.Ordered):
        properties["body"] = inner[_body(struct)]
    elif struct in (messages.Subscribe, messages.Unsubscribe):
        properties["channels"]["description"] = channels_text()
    elif struct is messages.Error:
        properties["code"]["enum"] = CODES
    elif struct is messages.Event:
        told = [{"$ref": PLACE + event_name(kind.name)} for kind in IMAGES]
        properties["data"] = {"anyOf": [*told, inner[LiquidationTold]]}
    elif struct is messages.Snapshot:
        properties["data"] = inner[Standing]
    elif struct in HELD:
        name, held = HELD[struct]
        properties[name] = {"anyOf": [inner[each] for each in held]}
    return payload


def channels_text() -> str:
    """Return which channels there are."""
    topics = [f"{topic}.MARKET" for topic in sorted(channels.OF_MARKET)]
    return (
        f"for whoever is signed in: {', '.join(sorted(channels.PRIVATE))}; "
        f"for everybody: {', '.join([*sorted(channels.OF_VENUE), *topics])}"
    )


def _plain(value: Any) -> Any:
    """Return a schema without discriminators, which AsyncAPI has otherwise; the constants inside tell as much."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _plain(each) for name, each in value.items() if name != "discriminator"}


def _event(kind: str, image: Schema, of_account: bool) -> Schema:
    """Return the schema of an event: its image, its kind, and whose it is."""
    head: Schema = {"e": {"const": kind}}
    if of_account:
        head["account"] = {"type": "integer", "minimum": 1}
    return image | {
        "title": event_name(kind),
        "properties": head | image["properties"],
        "required": [*head, *image.get("required", [])],
    }
