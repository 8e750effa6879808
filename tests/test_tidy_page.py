"""Sizes, first lines and forbidden means of the page's own files: what a reviewer should not have to look for."""

import hashlib
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
STATIC = REPOSITORY / "gateway" / "static"
LINES_MAX = 400
BODY_LINES_MAX = 70
NAMES_BANNED = {"utils", "helpers", "common", "base", "misc", "util"}
# Whom the page may name: the one whose licence asks for it, the namespaces of XML, documents for people.
HOSTS_ALLOWED = {"www.tradingview.com", "www.w3.org"}
FORBIDDEN = {
    r"\.(inner|outer)HTML\b|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write": "text becomes markup",
    r"\beval\(|new Function\(|set(Timeout|Interval)\(\s*['\"`]": "text becomes code",
    r"\bstyle=(?:['\"][^'\"]*:|\$\{\s*['\"`])": "a style attribute as text, which the policy forbids",
    r"\s(on[a-z]+)=(['\"])": "a handler as text",
    r"\bjavascript:": "a link that is code",
    r"\bdebugger\b|console\.(log|debug|info)\(": "left from looking for something",
    r"\bparseFloat\(": "money as a float",
}
IMPORT = re.compile(r"""^\s*(?:import|export)\b[^'"]*?from ['"]([^'"]+)['"]""", re.MULTILINE)
REACH = re.compile(r"""(?:from|import|import\()\s*['"](\.[^'"]+)['"]""")


def own(*suffixes: str) -> list[Path]:
    """Return the page's own files of these kinds; what others wrote lies under vendor."""
    found = (path for suffix in suffixes for path in STATIC.rglob(f"*{suffix}"))
    return sorted(path for path in found if "vendor" not in path.relative_to(STATIC).parts)


def name_of(path: Path) -> str:
    """Return a file's path below the page's folder."""
    return str(path.relative_to(STATIC))


def test_there_is_a_page() -> None:
    """The rules below look at something."""
    assert len(own(".js")) > 20
    assert len(own(".css")) >= 3
    assert len(own(".html")) >= 2


def test_files_say_their_reason() -> None:
    """Every script and style sheet opens with a comment whose first line is a sentence."""
    silent = []
    for path in own(".js", ".css"):
        first = path.read_text().split("\n")[0]
        opening = r"// " if path.suffix == ".js" else r"/\* "
        if not re.match(rf"{opening}\S.*([.:;…,]|[.:;,…] \*/)\s*(\*/)?$", first):
            silent.append(f"{name_of(path)}: {first[:80]}")
    assert not silent


def test_files_are_short() -> None:
    """No script, style sheet or page passes 400 lines."""
    long = {
        name_of(path): count
        for path in own(".js", ".css", ".html")
        if (count := len(path.read_text().splitlines())) > LINES_MAX
    }
    assert not long


def functions(text: str) -> list[tuple[str, int]]:
    """Return the named functions of a script that begin at the line's start, each with the lines of its body."""
    found, lines = [], text.splitlines()
    for index, line in enumerate(lines):
        match = re.match(r"(?:export )?(?:async )?function\*? (\w+)", line)
        if match and not line.rstrip().endswith("}"):
            end = next(number for number in range(index + 1, len(lines)) if lines[number].startswith("}"))
            opened = next(number for number in range(index, end) if lines[number].rstrip().endswith("{"))
            found.append((match[1], end - opened - 1))
    return found


def test_functions_are_short() -> None:
    """No function's body passes 70 lines."""
    long = {
        f"{name_of(path)}:{name}": count
        for path in own(".js")
        for name, count in functions(path.read_text())
        if count > BODY_LINES_MAX
    }
    assert not long


def test_what_is_exported_says_what_it_is() -> None:
    """Every exported function has a comment right above it."""
    silent = []
    for path in own(".js"):
        lines = path.read_text().splitlines()
        for index, line in enumerate(lines):
            exported = re.match(r"export (?:async )?function\*? (\w+)", line)
            if exported and (index == 0 or not lines[index - 1].rstrip().endswith("*/")):
                silent.append(f"{name_of(path)}:{exported[1]}")
    assert not silent


def test_names_name_something() -> None:
    """No file is called utils, helpers, common or base."""
    assert not [name_of(path) for path in own(".js", ".css") if path.stem in NAMES_BANNED]


@pytest.mark.parametrize("pattern", list(FORBIDDEN))
def test_no_forbidden_means(pattern: str) -> None:
    """Nothing makes markup, code or style of text, and nothing counts money in floats."""
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in own(".js", ".html")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, FORBIDDEN[pattern]


def test_no_foreign_host() -> None:
    """Nothing is fetched from anywhere else, nor is another host named."""
    found = [
        f"{name_of(path)}: {host}"
        for path in own(".js", ".css", ".html", ".svg")
        for host in re.findall(r"(?:https?:|wss?:)?//([a-z0-9-]+(?:\.[a-z0-9-]+)+)", path.read_text())
        if host not in HOSTS_ALLOWED
    ]
    assert not found


def test_imports_are_relative() -> None:
    """Every import of a module is a path that is there: the browser has no other way to find it."""
    missing = [
        f"{name_of(path)}: {target}"
        for path in own(".js")
        for target in IMPORT.findall(path.read_text())
        if not target.startswith(".") or not (path.parent / target).resolve().is_file()
    ]
    assert not missing


def test_every_file_is_used() -> None:
    """Every script is reached from one of the two pages, and every style sheet is linked by one."""
    pages = [path.read_text() for path in own(".html")]
    roots = {STATIC / name for text in pages for name in re.findall(r"\{\{ASSETS\}\}/(js/[\w/.-]+\.js)", text)}
    # What a page loads before it is asked for otherwise: the sign-in link's own script has a page made by the gateway.
    roots |= {
        path for path in own(".js") if f'"js/{path.name}"' in gateway_text() or f"/js/{path.name}" in gateway_text()
    }
    reached, waiting = set(), list(roots)
    while waiting:
        path = waiting.pop()
        if path in reached or not path.is_file():
            continue
        reached.add(path)
        waiting += [(path.parent / target).resolve() for target in REACH.findall(path.read_text())]
    unused = [name_of(path) for path in own(".js") if path not in reached]
    linked = {name for text in pages for name in re.findall(r"\{\{ASSETS\}\}/(css/[\w/.-]+\.css)", text)}
    unused += [name_of(path) for path in own(".css") if name_of(path) not in linked]
    assert not unused


def gateway_text() -> str:
    """Return the gateway's own Python as one text."""
    return "\n".join(path.read_text() for path in sorted((REPOSITORY / "gateway").rglob("*.py")))


def test_every_class_word_has_a_style_or_a_use() -> None:
    """No style sheet holds a rule for a class that nothing carries."""
    used = "\n".join(path.read_text() for path in own(".js", ".html"))
    idle = []
    for path in own(".css"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        for name in sorted(set(re.findall(r"\.([a-z][a-z0-9-]+)(?![\w.]*['\"])", re.sub(r"url\([^)]*\)", "", text)))):
            if name.startswith("u-"):  # uPlot's own, which our sheets adapt
                continue
            stem = name.rpartition("-")[0]
            made = stem and re.search(rf"{re.escape(stem)}-\$\{{", used)
            if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", used) and not made:
                idle.append(f"{name_of(path)}: .{name}")
    assert not idle


def test_what_the_tests_borrow_is_what_was_published() -> None:
    """Each library that the browser tests alone use has its licence and the digest of what was published."""
    homes = [path for path in (REPOSITORY / "tests" / "browser" / "vendor").iterdir() if path.is_dir()]
    assert homes
    for home in homes:
        assert (home / "LICENSE").is_file()
        sums = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", (home / "README.md").read_text(), re.MULTILINE)
        assert {name for _, name in sums} == {path.name for path in home.glob("*.js")}
        assert all(hashlib.sha256((home / name).read_bytes()).hexdigest() == digest for digest, name in sums)
