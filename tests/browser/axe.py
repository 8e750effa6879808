"""What hinders people on a page, as axe-core finds it by the rules of WCAG 2.2 A and AA; empty is what is wanted."""

import functools
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN_SCRIPT = """async (tags) => {
  const found = await axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']});
  return found.violations.map(({id, help, nodes}) => ({id, help, nodes: nodes.map((node) => node.html.slice(0, 160)
    + ' | ' + (node.any.concat(node.all, node.none)[0]?.message ?? ''))}));
}"""


@functools.cache
def axe_source() -> str:
    """Return axe-core."""
    return FILE.read_text()


def hindrances(page: Any) -> list[str]:
    """Return one line for each part of the page that breaks a rule."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(axe_source())
    found = page.evaluate(RUN_SCRIPT, TAGS)
    return [f"{each['id']}: {each['help']}: {node}" for each in found for node in each["nodes"]]
