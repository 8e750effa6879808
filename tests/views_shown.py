"""What of an account view a state shows too, and what only an event ever says: for comparing views of both origins."""

from collections.abc import Mapping
from typing import Any

import orjson

# A view says when something was told; a trailing stop moves between two tellings, and a day ends without one.
STAMPS = ("seq", "log_time_us")
TRAILING = ("price_peak", "price_trigger")


def shown(views: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the views as far as a state shows them: without stamps, margin calls, defaults and what moves untold."""
    found = {}
    for key, fields in views.items():
        view: dict[str, Any] = {}
        for name, text in fields.items():
            if text is None or name in STAMPS or name.startswith("margin_call"):
                continue
            value = value_shown(orjson.loads(text))
            # What was chosen and then taken back is told; a state knows no more of it than of what nobody chose.
            chosen_back = value == "isolated" and name.startswith("mode:")
            if not chosen_back and (name != "guards" or len(value) > 1):
                view[name] = value
        found[key] = view
    return found


def value_shown(value: Any) -> Any:
    """Return a field's value without what only its telling knows."""
    if not isinstance(value, dict):
        return value
    untold = (*STAMPS, "locked_until_ms", *(TRAILING if value.get("kind") == "trailing_stop" else ()))
    return {name: item for name, item in value.items() if name not in untold}
