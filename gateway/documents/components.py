"""Structs of bodies, answers and messages -> the schemas that both documents refer to; pure."""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct

from gateway import bodies, schemas
from gateway.documents.meanings import MEANINGS
from gateway.documents.replies import Image, Refused
from gateway.errors import ERRORS
from gateway.shapes import DECIMAL_SCHEMAS, SHAPE_MARK, Shape, shape_schema
from shared.codes import ResultCode
from shared.records import BATCH_MAX

Schema = dict[str, Any]
PLACE = "#/components/schemas/"
TEMPLATE = PLACE + "{name}"
CODES = [code for code in ERRORS if code != ResultCode.OK.name]
# What the schemas of shapes refer to.
_INNER: set[type[Struct]] = {bodies.Trigger, bodies.Leg, *(each.schema for each in schemas.OPERATIONS_OF_BATCH)}
# Keys of which a body has exactly one, beside its other rules.
_ONE_OF = {operation.schema.__name__: operation.one_of for operation in schemas.OPERATIONS if operation.one_of}
_ONE_OF[bodies.PreviewSize.__name__] = bodies.PreviewSize.__struct_fields__
# What a body with only optional keys must say something of.
_NOT_EMPTY = {bodies.AccountGuardsSet.__name__}
# Whose keys mean something else than everywhere else.
_SELF_SAID = {bodies.PreviewSize.__name__}


def components_of(structs: Collection[type[Struct]]) -> tuple[dict[type[Struct], Schema], dict[str, Schema]]:
    """Return the schema of each struct, mostly a reference, and the components that they refer to."""
    ordered = sorted(set(structs) | _INNER, key=lambda struct: (struct.__module__, struct.__qualname__))
    schemas_found, components = msgspec.json.schema_components(ordered, ref_template=TEMPLATE)
    found = dict(zip(ordered, schemas_found, strict=True))
    assert all(name.isidentifier() for name in components), "two structs of one name in a document"
    finished = {name: _finished(schema) for name, schema in components.items()}
    opened = {struct.__name__ for struct in _with_heirs(Image)}
    for name, schema in finished.items():
        if name in _ONE_OF:
            schema["oneOf"] = [{"required": [key]} for key in _ONE_OF[name]]
        if name in _NOT_EMPTY:
            schema["minProperties"] = 1
        if name in opened:
            # Newer rules may add keys to what events state.
            schema.pop("additionalProperties", None)
        if name not in _SELF_SAID:
            _means(schema)
    finished |= _commands(finished) | _sized(finished)
    if Refused.__name__ in finished:
        finished[Refused.__name__]["properties"]["code"]["enum"] = CODES
    if bodies.PreviewAsked.__name__ in finished:
        finished[bodies.PreviewAsked.__name__] |= _previews(finished[bodies.PreviewAsked.__name__])
    used = _reached([found[struct] for struct in structs], finished)
    return found, {name: finished[name] for name in sorted(used)}


def schema_of(struct: type[Struct]) -> Schema:
    """Return the schema of one struct that stands alone, whatever else has its name."""
    (found,), components = msgspec.json.schema_components([struct], ref_template=TEMPLATE)
    return dict(_finished(components[found["$ref"].removeprefix(PLACE)]))


def _means(schema: Schema) -> None:
    """Put what each key means in the place of what merely says its type."""
    for name, each in schema.get("properties", {}).items():
        if name in MEANINGS and isinstance(each, dict):
            change = str(each.get("description", "")).partition("; ")[2]
            each["description"] = MEANINGS[name] + (f"; {change}" if change.startswith("null ") else "")


def command_name(op: str) -> str:
    """Return the name of the schema of one command of a batch."""
    return "Command" + "".join(word.capitalize() for word in op.split("_"))


def _commands(components: dict[str, Schema]) -> dict[str, Schema]:
    """Return the schema of each command of a batch: the operation's body and the operation's name in it."""
    found = {}
    for operation in schemas.OPERATIONS_OF_BATCH:
        name = command_name(operation.op)
        body = components[operation.schema.__name__]
        found[name] = body | {
            "title": name,
            "properties": {"op": {"const": operation.op}} | body.get("properties", {}),
            "required": ["op", *body.get("required", [])],
        }
        if "minProperties" in body:
            found[name]["minProperties"] = body["minProperties"] + 1
    return found


def sized_name(operation: schemas.Operation) -> str:
    """Return the name of the schema of an operation's body without a quantity."""
    return f"{operation.schema.__name__}Sized"


def _sized(components: dict[str, Schema]) -> dict[str, Schema]:
    """Return the schema of each operation's body whose size stands beside it."""
    found = {}
    for operation in schemas.OPERATIONS_SIZED:
        body = {key: value for key, value in components[operation.schema.__name__].items() if key != "oneOf"}
        kept = {name: each for name, each in body["properties"].items() if name not in operation.one_of}
        found[sized_name(operation)] = body | {"title": sized_name(operation), "properties": kept}
    return found


def _previews(schema: Schema) -> Schema:
    """Return that a body to be calculated is of the operation that is named, or that a margin means."""
    named = [
        {
            "properties": {"op": {"const": operation.op}, "body": reference(operation.schema), "size": False},
            "required": ["op"],
        }
        for operation in schemas.OPERATIONS_OF_PREVIEW
    ]
    ticket = {"allOf": [reference(bodies.TradeCreate), {"required": ["margin"]}]}
    meant = {"op": False, "size": False, "body": {"anyOf": [reference(bodies.OrderPlace), ticket]}}
    sized = [
        {
            "properties": {"op": {"const": operation.op}, "body": {"$ref": PLACE + sized_name(operation)}},
            "required": ["op", "size"],
        }
        for operation in schemas.OPERATIONS_SIZED
    ]
    usual = {"op": False, "body": {"$ref": PLACE + sized_name(schemas.ORDER_PLACE)}}
    return {"anyOf": [*named, {"properties": meant}, *sized, {"properties": usual, "required": ["size"]}]}


def _finished(schema: Any) -> Any:
    """Return a schema with each shape's own schema in the place of its mark."""
    if isinstance(schema, list):
        return [_finished(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if SHAPE_MARK in schema:
        kept = {key: schema[key] for key in ("description", "default") if key in schema}
        return kept | _marked(Shape(schema[SHAPE_MARK]))
    return {key: _finished(value) for key, value in schema.items()}


def _marked(shape: Shape) -> Schema:
    """Return the schema of any shape, those that hold other values included."""
    match shape:
        case Shape.TRIGGER:
            return {"anyOf": [*DECIMAL_SCHEMAS, reference(bodies.Trigger)]}
        case Shape.TRIGGER_OR_NULL:
            return {"anyOf": [*DECIMAL_SCHEMAS, reference(bodies.Trigger), {"type": "null"}]}
        case Shape.LEG:
            return reference(bodies.Leg)
        case Shape.COMMANDS:
            names = {operation.op: PLACE + command_name(operation.op) for operation in schemas.OPERATIONS_OF_BATCH}
            return {
                "type": "array",
                "minItems": 1,
                "maxItems": BATCH_MAX,
                "items": {
                    "oneOf": [{"$ref": place} for place in names.values()],
                    "discriminator": {"propertyName": "op", "mapping": names},
                },
            }
        case _:
            return shape_schema(shape)


def reference(struct: type[Struct]) -> Schema:
    """Return a reference to a struct's schema."""
    return {"$ref": PLACE + struct.__name__}


def references_in(value: Any) -> set[str]:
    """Return the names of the components that a schema refers to, itself or inside."""
    if isinstance(value, list):
        return set().union(*map(references_in, value))
    if not isinstance(value, dict):
        return {value[len(PLACE) :]} if isinstance(value, str) and value.startswith(PLACE) else set()
    return set().union(*map(references_in, value.values()))


def _reached(found: list[Schema], components: dict[str, Schema]) -> set[str]:
    """Return the components that these schemas need, over any number of references."""
    reached: set[str] = set()
    waiting = references_in(found)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= references_in(components[name]) - reached
    return reached


def _with_heirs(struct: type[Struct]) -> set[type[Struct]]:
    """Return a struct and all that inherit from it."""
    return {struct}.union(*(_with_heirs(each) for each in struct.__subclasses__()))
