"""gateway/routes/page.py: the pages and their files over HTTP: kept, packed, unchanged, and nothing beside them."""

import gzip
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import pytest

from gateway import pages
from gateway.limits import LIMITS, LimitName
from gateway.packing import gzip_taken
from gateway.static_files import ROOT
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
VERIFY = "/api/v1/auth/verify"
PRODUCTION = {"TIDEMARK_ENV": "production", "TIDEMARK_BASE_URL": "https://venue.example"}
PAGES = ["/", "/ops"]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def named_in(text: str) -> list[str]:
    """Return every address that a page loads something from."""
    return re.findall(r'<(?:link|script)[^>]*\b(?:href|src)="([^"]+)"', text)


def prefix_of(text: str) -> str:
    """Return where the files of a page are."""
    found = re.search(r'"(/static/[0-9a-f]{16})/', text)
    assert found is not None
    return found[1]


async def asked_plainly(
    house: House, path: str, *headers: tuple[bytes, bytes]
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body of an address that no client has tidied up, decoded as the server does."""
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "query_string": b""}
    about = {"headers": list(headers), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080), "scheme": "http"}
    await house.app({"http_version": "1.1", "root_path": "", "extensions": {}, **scope, **about}, receive, send)
    body = b"".join(message.get("body", b"") for message in told[1:])
    return told[0]["status"], dict(told[0]["headers"]), body


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_there_before_the_venue_and_for_everybody(tmp_path: Path, path: str) -> None:
    """A page needs neither a venue nor a cookie, and neither do its files."""
    house = House(tmp_path)
    page = await house.client.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for address in named_in(page.text):
        answer = await house.client.get(address)
        assert answer.status_code == 200, address
        assert "set-cookie" not in answer.headers


async def test_the_policy_of_the_page_is_exactly_this(tmp_path: Path) -> None:
    """Our own files and answers, sockets to ourselves, pictures of data; nothing else, and none of it inline."""
    rest = (
        "default-src 'none'; script-src 'self'; style-src 'self'"
        " 'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='; connect-src 'self' {socket};"
        " img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    for changes, socket in (({}, "ws://127.0.0.1:8080"), (PRODUCTION, "wss://venue.example")):
        house = House(tmp_path, **changes)
        for path in PAGES:
            answer = await house.client.get(path)
            assert answer.headers.get_list("content-security-policy") == [rest.format(socket=socket)]
            assert answer.headers["x-content-type-options"] == "nosniff"
            files = await house.client.get(f"{prefix_of(answer.text)}/icon.svg")
            assert files.headers["content-security-policy"] == pages.CONTENT_SECURITY_POLICY


async def test_scripts_and_sheets_have_no_headers_of_documents(tmp_path: Path) -> None:
    """A page loads some eighty of them: what they are answered with is short, and never read as something else."""
    house = House(tmp_path, **PRODUCTION)
    prefix = prefix_of((await house.client.get("/")).text)
    wanted = {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}
    for path in ("js/press.js", "vendor/uplot-1.6.32/uplot.css"):
        headers = (await house.client.get(f"{prefix}/{path}", headers={"Accept-Encoding": "gzip"})).headers
        assert {name: headers[name] for name in wanted} == wanted
        assert "strict-transport-security" in headers
        assert not {"content-security-policy", "x-frame-options", "ratelimit", "permissions-policy"} & headers.keys()
        assert sum(len(name) + len(text) + 4 for name, text in headers.items()) < 400
    refused = await house.client.get(f"{prefix}/js/none.js")
    assert refused.headers["content-security-policy"] == pages.CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("path", PAGES)
async def test_pages_load_our_own_files_alone(tmp_path: Path, path: str) -> None:
    """Whatever a page names lies below its own hash; no text of a script or style stands in it."""
    text = (await House(tmp_path).client.get(path)).text
    prefix = prefix_of(text)
    assert all(address.startswith(f"{prefix}/") for address in named_in(text))
    assert re.findall(r"<script[^>]*>([^<]+)", text) == []
    assert "<style" not in text and "style=" not in text
    assert "{{" not in text


@pytest.mark.parametrize("mail", ["console", "smtp"])
async def test_a_page_says_how_links_go_out(tmp_path: Path, mail: str) -> None:
    """Where links are printed the sign-in screen can say so; the rest of the settings is nobody's."""
    text = (await House(tmp_path, TIDEMARK_MAIL=mail).client.get("/")).text
    assert f'<body data-mail="{mail}">' in text


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_asked_anew_and_sent_once(tmp_path: Path, path: str) -> None:
    """A page is never used unasked; who has it already is told so without its bytes."""
    house = House(tmp_path)
    first = await house.client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        again = await house.client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert (await house.client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_files_are_kept_for_ever(tmp_path: Path) -> None:
    """A file may be kept, by shared caches too, as long as anybody likes; who asks all the same is told 304."""
    house = House(tmp_path)
    prefix = prefix_of((await house.client.get("/")).text)
    answer = await house.client.get(f"{prefix}/icon.svg")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (answer.headers["content-type"], answer.content) == ("image/svg+xml", (ROOT / "icon.svg").read_bytes())
    again = await house.client.get(f"{prefix}/icon.svg", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    licence = await house.client.get(f"{prefix}/vendor/uplot-1.6.32/LICENSE")
    assert licence.headers["content-type"] == "text/plain; charset=utf-8"


async def test_files_are_packed_for_whoever_takes_that(tmp_path: Path) -> None:
    """With gzip accepted the packed bytes come, else the plain ones; both are the same file."""
    house = House(tmp_path)
    address = f"{prefix_of((await house.client.get('/')).text)}/vendor/uplot-1.6.32/uplot.js"
    plain = await house.client.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    _status, headers, raw = await asked_plainly(house, address, (b"accept-encoding", b"br, gzip"))
    assert (headers[b"content-encoding"], int(headers[b"content-length"])) == (b"gzip", len(raw))
    assert gzip.decompress(raw) == plain.content == (ROOT / "vendor/uplot-1.6.32/uplot.js").read_bytes()
    assert len(raw) * 2 < len(plain.content)


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*, gzip;q=0", False),
        ("*;q=0, gzip", True),
        ("xgzip", False),
    ],
)
async def test_who_takes_gzip(accepted: str, taken: bool) -> None:
    """The header is read as the standard has it: a weight of nought is a no."""
    assert gzip_taken(accepted) is taken


async def test_long_public_answers_are_packed(tmp_path: Path) -> None:
    """What everybody may see and is long comes packed to whoever takes that; what is an account's own never does."""
    async with House(tmp_path) as house:
        takes = (b"accept-encoding", b"gzip")
        for path in ("/api/v1/errors", "/openapi.json", "/asyncapi.json", "/docs"):
            _status, headers, plain = await asked_plainly(house, path)
            assert b"content-encoding" not in headers and headers[b"vary"] == b"Accept-Encoding"
            _status, headers, raw = await asked_plainly(house, path, takes)
            assert (headers[b"content-encoding"], int(headers[b"content-length"])) == (b"gzip", len(raw))
            assert len(raw) * 3 < len(plain) and gzip.decompress(raw)[:60] == plain[:60]
        _status, headers, short = await asked_plainly(house, "/api/v1/market/BTC_USDC_PERP/candles", takes)
        assert b"content-encoding" not in headers and len(short) < 200
        signed = [(name.lower().encode(), text.encode()) for name, text in (await house.sign_in()).items()]
        for path in ("/api/v1/account", "/api/v1/account/history/fills"):
            status, headers, _own = await asked_plainly(house, path, takes, *signed)
            assert status == 200 and b"content-encoding" not in headers


async def test_heads_are_answered(tmp_path: Path) -> None:
    """HEAD says what GET would, of pages and files; nothing else may be done with them."""
    house = House(tmp_path)
    page = await house.client.get("/")
    for path in ("/", f"{prefix_of(page.text)}/icon.svg"):
        got, headed = await house.client.get(path), await house.client.head(path)
        assert headed.status_code == 200
        for name in ("etag", "cache-control", "content-type", "content-length", "content-security-policy"):
            assert headed.headers[name] == got.headers[name]
        for method in ("POST", "PUT", "DELETE"):
            refused = await house.client.request(method, path)
            assert (refused.status_code, refused.json()["code"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "path",
    [
        "../index.html",
        "../static_files.py",
        "..%2fstatic_files.py",
        "%2e%2e/static_files.py",
        "js/../../app.py",
        "js/%2e%2e/%2e%2e/app.py",
        "..\\app.py",
        "..%5capp.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "icon.svg%00.js",
        "icon.svg/",
        "./icon.svg",
        "%2e/icon.svg",
        "ICON.SVG",
        "icon.svg%20",
        "index.html",
        "js",
        "",
        "%",
        "a" * 5_000,
    ],
)
async def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    """Only the very paths of the files are known: every other one is 404, by name, and kept by nobody."""
    house = House(tmp_path)
    prefix = prefix_of((await house.client.get("/")).text)
    status, headers, body = await asked_plainly(house, f"{prefix}/{path}")
    assert (status, orjson.loads(body)["code"]) == (404, "NOT_FOUND")
    assert headers[b"cache-control"] == b"no-store"


@pytest.mark.parametrize("tree", ["0" * 16, "newest", "0", "..", "f" * 64])
async def test_another_tree_is_not_answered_with_this_one(tmp_path: Path, tree: str) -> None:
    """A file of another version is 404: what an address answers never changes."""
    answer = await House(tmp_path).client.get(f"/static/{tree}/icon.svg")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_files_do_not_count_as_requests(tmp_path: Path) -> None:
    """Loading a page counts as one public request; its files have a limit of their own, far above what it has."""
    house = House(tmp_path, TIDEMARK_RATE_FACTOR="1")
    page = await house.client.get("/")
    prefix = prefix_of(page.text)
    for _ in range(int(LIMITS[LimitName.ADDRESS].partition("/")[0]) + 1):
        assert (await house.client.get(f"{prefix}/icon.svg")).status_code == 200
    again = await house.client.get("/")
    assert again.headers["ratelimit"].startswith('"public";r=48;')


async def test_files_have_a_limit(tmp_path: Path) -> None:
    """Beyond it they are refused as anything else is, and the rest goes on."""
    house = House(tmp_path, TIDEMARK_RATE_FACTOR="1")
    limits = house.gateway.limits
    prefix = prefix_of((await house.client.get("/")).text)
    for _ in range(1_000):
        limits.hit(LimitName.STATIC, "127.0.0.1")
    refused = await house.client.get(f"{prefix}/icon.svg")
    assert (refused.status_code, refused.json()["detail"]["limit"]) == (429, "static")
    assert refused.headers["ratelimit-policy"] == '"static";q=1000;w=1' and "retry-after" in refused.headers
    assert (await house.client.get("/health")).status_code == 200


async def test_one_click_signs_in_in_development(tmp_path: Path) -> None:
    """There the page behind a link has the script that presses its button, our own file, allowed by its policy."""
    async with House(tmp_path) as house:
        page = await house.client.get(VERIFY, params={"token": await house.link()})
        [script] = re.findall(r'<script type="module" src="([^"]+)"></script>', page.text)
        assert page.text.count("<script") == page.text.count("<form") == page.text.count("<button") == 1
        assert page.headers["content-security-policy"] == f"{pages.CONTENT_SECURITY_POLICY}; script-src 'self'"
        answer = await house.client.get(script)
        assert answer.status_code == 200 and "requestSubmit" in answer.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_link_on_another_site_is_not_pressed(tmp_path: Path, site: str) -> None:
    """Whoever comes from another site presses the button himself: nobody is signed in as somebody else unasked."""
    async with House(tmp_path) as house:
        token = await house.link()
        page = await house.client.get(VERIFY, params={"token": token}, headers={"Sec-Fetch-Site": site})
        assert page.status_code == 200 and "<script" not in page.text
        assert page.headers["content-security-policy"] == pages.CONTENT_SECURITY_POLICY


async def test_the_link_of_a_mail_has_no_script(tmp_path: Path) -> None:
    """Outside development the page behind a link has a button and nothing that presses it."""
    async with House(tmp_path, **PRODUCTION) as house:
        page = await house.client.get(VERIFY, params={"token": await house.link()})
        assert page.text.count("<button") == 1 and "<script" not in page.text
        assert page.headers["content-security-policy"] == pages.CONTENT_SECURITY_POLICY
        assert "script-src" not in pages.CONTENT_SECURITY_POLICY


async def test_a_link_that_was_used_leads_on(tmp_path: Path) -> None:
    """Whoever opens it again is told why nobody was signed in, and has one link: to the page."""
    async with House(tmp_path) as house:
        token = await house.link()
        first = await house.client.post(VERIFY, data={"token": token})
        assert (first.status_code, first.headers["location"]) == (303, "/")
        again = await house.client.post(VERIFY, data={"token": token})
        assert again.status_code == 400 and "Not signed in" in again.text
        assert re.findall(r'href="([^"]+)"', again.text) == ["/"]


def test_the_socket_of_a_page_is_of_its_own_host() -> None:
    """The policy names the host of the base address, with its port, encrypted where that is."""
    assert "connect-src 'self' ws://localhost:9000;" in pages.page_policy(urlsplit("http://localhost:9000"))
    assert "connect-src 'self' wss://venue.example;" in pages.page_policy(urlsplit("https://venue.example"))
