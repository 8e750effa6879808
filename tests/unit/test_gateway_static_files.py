"""gateway/static_files.py: what is taken from the folder, how it is named and packed, and what our own folder holds."""

import base64
import gzip
import hashlib
import os
import re
from pathlib import Path

import pytest

from gateway.pages import CHART_STYLE_HASH
from gateway.static_files import MEDIA_TYPES, PAGES, ROOT, TREES_KEPT, StaticFiles, imports_of, modules_of, tree_read

PAGE = (
    '<link rel="icon" href="{{ASSETS}}/icon.svg">\n{{MODULES}}\n'
    '<script type="module" src="{{ASSETS}}/js/main.js"></script>'
)
NOTICE = ROOT.parents[1] / "NOTICE"
VENDORED = sorted(path for path in (ROOT / "vendor").iterdir() if path.is_dir())


def folder(root: Path, **files: str) -> Path:
    """Return a folder with a page and these files; `__` in a name is a slash, and `_dot_` a point."""
    for name, text in {"index_dot_html": PAGE, "js__main_dot_js": "import './a.js';\n", **files}.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_one_hash_names_all_files(tmp_path: Path) -> None:
    """The same files have the same hash wherever they lie; another byte, another name or one more give another."""
    first = tree_read(folder(tmp_path / "1", a_dot_css="x"))
    assert first.hash == tree_read(folder(tmp_path / "2", a_dot_css="x")).hash
    others = [folder(tmp_path / "3", a_dot_css="y"), folder(tmp_path / "4", b_dot_css="x"), folder(tmp_path / "5")]
    hashes = {tree_read(other).hash for other in others} | {first.hash}
    assert len(hashes) == 4
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in hashes)


def test_files_know_their_type_and_their_tag(tmp_path: Path) -> None:
    """What is known by its name is a file; a page is none; what packing does not shorten is not packed."""
    tree = tree_read(folder(tmp_path, long_dot_css="a{}" * 100, LICENSE="free", odd_dot_exe="MZ"))
    assert tree.files.keys() == {"js/main.js", "long.css", "LICENSE"}
    assert {name: file.media_type for name, file in tree.files.items()} == {
        "js/main.js": "text/javascript; charset=utf-8",
        "long.css": "text/css; charset=utf-8",
        "LICENSE": "text/plain; charset=utf-8",
    }
    long = tree.files["long.css"]
    assert long.packed is not None and gzip.decompress(long.packed) == long.content
    assert tree.files["LICENSE"].packed is None
    assert len({file.tag for file in tree.files.values()}) == 3
    assert tree.pages["index.html"].content.startswith(b'<link rel="icon" href="/static/%s/' % tree.hash.encode())


def test_links_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    """What a symbolic link leads to, and what begins with a point, is no file of the page."""
    secret = tmp_path / "secret.js"
    secret.write_text("secret")
    root = folder(tmp_path / "root", _dot_hidden_dot_js="x", _dot_git__x_dot_js="x")
    os.symlink(secret, root / "js" / "led.js")
    os.symlink(tmp_path, root / "js" / "up")
    assert tree_read(root).files.keys() == {"js/main.js"}


def test_a_page_asks_for_all_its_modules_at_once(tmp_path: Path) -> None:
    """Every module that the first one needs before it runs has a link, once; one that is loaded later has none."""
    root = folder(
        tmp_path,
        js__main_dot_js="import {\n  a,\n  b,\n} from './a.js';\nimport './parts/b.js';\nimport('./c.js');",
        js__a_dot_js="export { b } from './parts/b.js';\nimport x from '../vendor/x.js';\nimport './gone.js';",
        js__parts__b_dot_js="import { a } from '../a.js';\nexport const path = './c.js';",
        js__c_dot_js="",
        vendor__x_dot_js="export default 1;",
    )
    tree = tree_read(root)
    wanted = ["js/main.js", "js/a.js", "js/parts/b.js", "vendor/x.js"]
    assert modules_of("js/main.js", tree) == wanted
    text = tree.pages["index.html"].content.decode()
    assert re.findall(r'<link rel="modulepreload" href="([^"]+)">', text) == [tree.address(name) for name in wanted]
    assert "{{" not in text


def test_files_are_read_once_where_they_do_not_change(tmp_path: Path) -> None:
    """What changes in the folder after the start is not seen, and no other tree is known."""
    files = StaticFiles(folder(tmp_path))
    tree = files.newest()
    (tmp_path / "js" / "main.js").write_text("changed();")
    assert files.newest() is tree
    assert files.file("0" * 16, "js/main.js") is None


def test_in_development_a_page_takes_what_changed(tmp_path: Path) -> None:
    """A page after a change has another tree, with the change in it; a page that is loading keeps its own."""
    files = StaticFiles(folder(tmp_path), changing=True)
    before = files.newest()
    assert files.newest() is before
    (tmp_path / "js" / "main.js").write_text("changed();")
    found = files.file(before.hash, "js/main.js")
    assert found is not None and found.content == b"import './a.js';\n"
    after = files.newest()
    assert after.hash != before.hash and after.files["js/main.js"].content == b"changed();"
    assert files.file(before.hash, "js/main.js") == found
    for number in range(TREES_KEPT):
        (tmp_path / "js" / "main.js").write_text("changed();" * (2 + number))
        newest = files.newest()
    assert files.file(before.hash, "js/main.js") is None and files.file(newest.hash, "js/main.js") is not None


def test_every_import_of_our_pages_leads_to_a_file() -> None:
    """No module asks for one that is not there, and every page has the module that it begins with."""
    tree = tree_read(ROOT)
    missing = [
        f"{name}: {path}"
        for name, file in tree.files.items()
        if name.startswith("js/") and name.endswith(".js")
        for path in imports_of(name, file.content.decode())
        if path not in tree.files
    ]
    named = [
        f"{page}: {path}"
        for page in PAGES
        for path in re.findall(rf'"/static/{tree.hash}/([^"]+)"', tree.pages[page].content.decode())
        if path not in tree.files
    ]
    assert not missing + named


@pytest.mark.parametrize("home", VENDORED, ids=lambda home: home.name)
def test_what_others_wrote_is_unchanged_and_has_its_licence(home: Path) -> None:
    """Each file has the bytes that the README beside it names, each folder its version and its licence."""
    readme = (home / "README.md").read_text()
    told = {name: digest for digest, name in re.findall(r"^    ([0-9a-f]{64})  (\S+)$", readme, re.MULTILINE)}
    code = {path.name: path for path in home.iterdir() if path.suffix in (".js", ".css")}
    assert told == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in code.items()}
    assert code and {path.suffix for path in home.iterdir()} <= MEDIA_TYPES.keys()
    assert "copyright" in (home / "LICENSE").read_text().lower()
    version = home.name.rpartition("-")[2]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version) and version in readme


def test_the_library_of_curves_is_its_own_but_for_our_line() -> None:
    """uPlot comes as a script; what makes it a module is one line, and without it the README's own hash holds."""
    [home] = [home for home in VENDORED if home.name.startswith("uplot")]
    theirs, ours = (home / "uplot.js").read_bytes(), b"export default uPlot;\n"
    assert theirs.endswith(ours)
    assert hashlib.sha256(theirs.removesuffix(ours)).hexdigest() in (home / "README.md").read_text()


def test_the_notice_names_what_others_wrote() -> None:
    """The chart's licence demands its notice and a link; the others are named beside it."""
    notice = NOTICE.read_text()
    assert (
        "TradingView Lightweight Charts™\nCopyright (c) 2026 TradingView, Inc. https://www.tradingview.com/" in notice
    )
    assert all(name in notice for name in ("htm", "Preact", "uPlot"))
    assert "MIT" in (ROOT / "vendor" / "htm-3.1.1" / "LICENSE-preact").read_text()


def test_the_policy_knows_the_style_of_the_charts_mark() -> None:
    """The only style that a script brings is the one of which the policy names the hash."""
    [home] = [home for home in VENDORED if home.name.startswith("lightweight-charts")]
    [style] = re.findall(r'innerText="([^"]*)"', (home / "lightweight-charts.js").read_text())
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" == CHART_STYLE_HASH


def test_the_pages_have_nothing_inline() -> None:
    """No page has a script or a style of its own text, an attribute that runs, or a word of another host."""
    for name in PAGES:
        text = (ROOT / name).read_text()
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text) == [], name
        assert re.findall(r"""(?:src|href)="(?!/|\{\{ASSETS\}\}/)""", text) == [], name
        assert '<meta name="viewport"' in text and '<meta name="color-scheme" content="light dark">' in text
        assert '<html lang="en">' in text and "<title>" in text and "<noscript>" in text
