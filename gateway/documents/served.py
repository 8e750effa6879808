"""The documents of this API as bytes, made once: OpenAPI, AsyncAPI, and the page that shows the former."""

import hashlib
from functools import cache
from typing import Any, NamedTuple

import orjson

from gateway.documents.abouts import ABOUTS
from gateway.documents.describe import openapi
from gateway.documents.describe_messages import asyncapi
from gateway.documents.docs_page import docs_page


class Document(NamedTuple):
    """One document, and by what its bytes are known."""

    content: bytes
    media_type: str
    tag: str


class Documents(NamedTuple):
    """All of them."""

    openapi: Document
    asyncapi: Document
    page: Document


@cache
def documents_of(routes: tuple[Any, ...]) -> Documents:
    """Return the documents of these routes."""
    described = openapi(routes, ABOUTS)
    return Documents(
        document_of(orjson.dumps(described), "application/json"),
        document_of(orjson.dumps(asyncapi()), "application/json"),
        document_of(docs_page(described).encode(), "text/html"),
    )


def document_of(content: bytes, media_type: str) -> Document:
    """Return a document with its tag."""
    return Document(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
