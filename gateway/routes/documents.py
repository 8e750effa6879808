"""What this API is, for programs and for people."""

from starlette.responses import Response

from gateway.calls import Call
from gateway.documents.served import Documents
from gateway.routes.page import file_answer
from gateway.static_files import File


async def openapi_show(call: Call) -> Response:
    """Answer the OpenAPI document."""
    return document_answer(call, documents(call).openapi)


async def asyncapi_show(call: Call) -> Response:
    """Answer the AsyncAPI document."""
    return document_answer(call, documents(call).asyncapi)


async def docs_show(call: Call) -> Response:
    """Show the OpenAPI document as a page."""
    return document_answer(call, documents(call).page)


def documents(call: Call) -> Documents:
    """Return the documents of the application that serves the call."""
    found: Documents = call.request.app.state.documents
    return found


def document_answer(call: Call, document: File) -> Response:
    """Answer a document, or that what the caller keeps is still it."""
    call.query()
    return file_answer(call, document, {"Cache-Control": "no-cache"})
