"""
The files of the page, held in memory and named by one hash over all of them.

An address holds that hash, so what it answers never changes and is kept for ever. A path is looked up in a table of
what lay in the folder: nothing outside of it can be reached. In development the folder is read again when it changed.
"""

import contextlib
import hashlib
import re
from collections import OrderedDict
from functools import cache, lru_cache
from html import escape
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import NamedTuple

from gateway.packing import packed

ROOT = Path(__file__).resolve().parent / "static"
PREFIX = "/static"
PAGES = ("index.html", "ops.html")
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",  # a licence
}
HTML = "text/html; charset=utf-8"
TREES_KEPT = 16  # of development: a page that is loading finds the files that it began with
HASH_SIGNS = 16
_IMPORTED = re.compile(r"""^\s*(?:import|export)\b[^'";()=]*?['"](\.{1,2}/[^'"]+)['"]""", re.MULTILINE)
_MAIN = re.compile(r"""<script type="module" src="\{\{ASSETS\}\}/([^"]+)">""")


class File(NamedTuple):
    """One file as it is answered; `packed` is None where packing gains nothing."""

    content: bytes
    packed: bytes | None
    media_type: str
    tag: str


class Tree(NamedTuple):
    """All files of one moment: those with the hash in their address by path, and the pages by name."""

    hash: str
    files: dict[str, File]
    pages: dict[str, File]

    def address(self, path: str) -> str:
        """Return where a file is answered."""
        return f"{PREFIX}/{self.hash}/{path}"


class StaticFiles:
    """The trees that are answered: one, or the newest ones while the folder may change."""

    def __init__(self, root: Path = ROOT, changing: bool = False, mail: str = "") -> None:
        """Read the folder; `mail` is how sign-in links go out, which the pages say."""
        self._root = root
        self._changing = changing
        self._mail = mail
        self._seen = folder_state(root)
        self._newest = tree_read(root, mail)
        self._trees = OrderedDict({self._newest.hash: self._newest})

    def newest(self) -> Tree:
        """Return the tree of now."""
        if self._changing:
            with contextlib.suppress(FileNotFoundError):  # an editor is at work; the next page sees what it has made
                self._look()
        return self._newest

    def _look(self) -> None:
        """Take what changed in the folder."""
        seen = folder_state(self._root)
        if seen == self._seen:
            return
        self._newest, self._seen = tree_read(self._root, self._mail), seen
        self._trees[self._newest.hash] = self._newest
        self._trees.move_to_end(self._newest.hash)
        while len(self._trees) > TREES_KEPT:
            self._trees.popitem(last=False)

    def page(self, name: str) -> File:
        """Return a page of now."""
        return self.newest().pages[name]

    def file(self, tree: str, path: str) -> File | None:
        """Return a file of a tree, None when there is no such tree or file."""
        found = self._trees.get(tree)
        return None if found is None else found.files.get(path)


@cache
def static_files_of(changing: bool, mail: str) -> StaticFiles:
    """Return the files of this installation."""
    return StaticFiles(changing=changing, mail=mail)


def folder_state(root: Path) -> dict[str, tuple[int, int]]:
    """Return by what a change in the folder is noticed: time and size of each file by path."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if (
            path.is_file()
            and not path.is_symlink()
            and path.suffix in (*MEDIA_TYPES, ".html")
            and "/." not in f"/{name}"
        ):
            about = path.stat()
            found[name] = (about.st_mtime_ns, about.st_size)
    return found


def tree_read(root: Path, mail: str = "") -> Tree:
    """Return the tree of a folder as it is now."""
    contents = {name: (root / name).read_bytes() for name in folder_state(root)}
    whole = hashlib.sha256()
    for name, content in contents.items():
        whole.update(b"%d %d " % (len(name), len(content)) + name.encode() + content)
    tree = Tree(whole.hexdigest()[:HASH_SIGNS], {}, {})
    for name, content in contents.items():
        suffix = PurePosixPath(name).suffix
        if suffix in MEDIA_TYPES:
            tree.files[name] = file_of(content, MEDIA_TYPES[suffix])
    for name in PAGES:
        if name in contents:
            tree.pages[name] = file_of(page_text(contents[name].decode(), tree, mail).encode(), HTML)
    return tree


@lru_cache(maxsize=512)
def file_of(content: bytes, media_type: str) -> File:
    """Return a file ready to be answered."""
    tag = hashlib.sha256(content).hexdigest()[:HASH_SIGNS]
    return File(content, packed(content), media_type, f'W/"{tag}"')


def page_text(template: str, tree: Tree, mail: str) -> str:
    """Return a page with the addresses of its files, and a link for each module: all are asked for at once."""
    main = _MAIN.search(template)
    modules = modules_of(main[1], tree) if main else []
    links = "\n".join(f'<link rel="modulepreload" href="{tree.address(path)}">' for path in modules)
    words = {"{{MODULES}}": links, "{{ASSETS}}": f"{PREFIX}/{tree.hash}", "{{MAIL}}": escape(mail, quote=True)}
    for name, text in words.items():
        template = template.replace(name, text)
    return template


def modules_of(main: str, tree: Tree) -> list[str]:
    """Return a module's path and those of all that it imports, directly or not, as far as they are there."""
    found: dict[str, None] = {}
    waiting = [main]
    while waiting:
        path = waiting.pop(0)
        if path not in found and path in tree.files:
            found[path] = None
            waiting += imports_of(path, tree.files[path].content.decode("utf-8", "replace"))
    return list(found)


def imports_of(path: str, text: str) -> list[str]:
    """Return the paths that a module imports before it runs."""
    folder = PurePosixPath(path).parent
    return [normpath(str(folder / name)) for name in _IMPORTED.findall(text)]
