"""The documents of this API as bytes, made once: OpenAPI, AsyncAPI, and the page that shows the former."""

from functools import cache
from typing import Any, NamedTuple

import orjson

from gateway.documents.abouts import ABOUTS
from gateway.documents.describe import openapi
from gateway.documents.describe_messages import asyncapi
from gateway.documents.docs_page import docs_page
from gateway.static_files import File, file_of


class Documents(NamedTuple):
    """All of them."""

    openapi: File
    asyncapi: File
    page: File


@cache
def documents_of(routes: tuple[Any, ...]) -> Documents:
    """Return the documents of these routes."""
    described = openapi(routes, ABOUTS)
    return Documents(
        file_of(orjson.dumps(described), "application/json"),
        file_of(orjson.dumps(asyncapi()), "application/json"),
        file_of(docs_page(described).encode(), "text/html; charset=utf-8"),
    )
