"""The trading page, the operator's page, and the files that they are made of."""

from urllib.parse import urlsplit

from starlette.responses import Response

from gateway.calls import Call, tag_known
from gateway.errors import GatewayCode, Refusal
from gateway.packing import gzip_taken
from gateway.pages import page_policy
from gateway.static_files import File, StaticFiles

KEPT = "public, max-age=31536000, immutable"


async def page_show(call: Call) -> Response:
    """Show the page to trade on; whoever is not signed in is asked to by the page itself."""
    return _page_answer(call, "index.html")


async def page_ops_show(call: Call) -> Response:
    """Show the operator's page; what it shows is answered to operators alone."""
    return _page_answer(call, "ops.html")


async def static_show(call: Call) -> Response:
    """Answer a file of the pages; its address holds the hash of all of them, so it may be kept for ever."""
    names = call.request.path_params
    file = files(call).file(names["tree"], names["path"])
    if file is None:
        raise Refusal(
            GatewayCode.NOT_FOUND, {"reason": "no such file, or of another version of the page: load it again"}
        )
    return file_answer(call, file, {"Cache-Control": KEPT})


def _page_answer(call: Call, name: str) -> Response:
    """Answer a page; the browser asks each time whether it is still the same."""
    policy = page_policy(urlsplit(call.gateway.parts.settings.base_url))
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": policy}
    return file_answer(call, files(call).page(name), headers)


def files(call: Call) -> StaticFiles:
    """Return the files of the application that serves the call."""
    found: StaticFiles = call.request.app.state.files
    return found


def file_answer(call: Call, file: File, headers: dict[str, str]) -> Response:
    """Answer a file, packed for whoever takes that, or that what the caller keeps is still it."""
    headers = headers | {"ETag": file.tag} | ({"Vary": "Accept-Encoding"} if file.packed is not None else {})
    if tag_known(call, file.tag):
        return Response(status_code=304, headers=headers)
    content = file.content
    if file.packed is not None and gzip_taken(call.request.headers.get("accept-encoding", "")):
        content = file.packed
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type=file.media_type)
