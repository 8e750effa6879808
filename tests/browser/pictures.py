"""Pictures of the page for docs/img: taken when TIDEMARK_TEST_PICTURES is set, small enough for a repository."""

import io
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "img"
BYTES_MAX = 200_000
COLOURS = 256  # of the palette


def wanted() -> bool:
    """Return whether this run is to take them."""
    return bool(os.environ.get("TIDEMARK_TEST_PICTURES"))


def take(page: Any, name: str) -> bytes:
    """Return the page's picture with few colours; it is kept when this run is to."""
    from PIL import Image

    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
    packed = io.BytesIO()
    # This method alone keeps the few pixels of a warning in their own colour.
    shot.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    content = packed.getvalue()
    assert len(content) <= BYTES_MAX, f"{name}.png has {len(content)} bytes"
    if wanted():
        (FOLDER / f"{name}.png").write_bytes(content)
    return content
