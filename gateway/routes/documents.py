"""What this API is, for programs and for people."""

from starlette.responses import Response

from gateway.calls import Call
from gateway.documents.served import Document, Documents


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


def document_answer(call: Call, document: Document) -> Response:
    """Answer a document, or that what the caller keeps is still it."""
    call.query()
    headers = {"ETag": document.tag, "Cache-Control": "no-cache"}
    known = [tag.strip().removeprefix("W/") for tag in call.request.headers.get("if-none-match", "").split(",")]
    if document.tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(document.content, media_type=document.media_type, headers=headers)
