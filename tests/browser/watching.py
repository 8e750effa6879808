"""
What a page complains of while a test uses it: errors of its scripts, of its policy, of the network, foreign requests.

Whatever is noted fails the test that did it, unless the test said beforehand that it would happen.
"""

import re
import urllib.parse
from typing import Any

# The policy's own complaint says more than the console's line about it.
POLICY_SCRIPT = """
document.addEventListener('securitypolicyviolation', (violation) => console.error(
  `policy: ${violation.effectiveDirective} forbids ${violation.blockedURI} at `
  + `${violation.sourceFile}:${violation.lineNumber} ${violation.sample}`));
"""
REFUSALS = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


class Watch:
    """Notes of one browser context."""

    def __init__(self, context: Any, origin: str) -> None:
        """Look at every page of the context from now on; `origin` is the only one that it may speak with."""
        self.origin = urllib.parse.urlsplit(origin).netloc
        self.notes: list[str] = []
        self.expected: list[re.Pattern[str]] = []
        context.add_init_script(POLICY_SCRIPT)
        context.on("console", self.console)
        context.on("weberror", lambda error: self.note(f"script: {error.error}"))
        context.on("request", self.request)
        context.on("response", self.response)

    def expect(self, *patterns: str) -> None:
        """Let complaints that contain one of these pass from now on."""
        self.expected += [re.compile(pattern) for pattern in patterns]

    def note(self, words: str) -> None:
        """Keep a complaint unless it is expected."""
        if not any(pattern.search(words) for pattern in self.expected):
            self.notes.append(words)

    def console(self, message: Any) -> None:
        """Note errors and warnings; that the API refused something is an answer, told to the user by the page."""
        place = message.location.get("url", "") if message.location else ""
        if message.type == "error" and REFUSALS.search(message.text) and "/api/" in place:
            return
        if message.type in ("error", "warning", "assert"):
            self.note(f"console {message.type}: {message.text} ({place})")

    def request(self, request: Any) -> None:
        """Note requests to anywhere else."""
        parts = urllib.parse.urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.origin:
            self.note(f"foreign request: {request.url}")

    def response(self, response: Any) -> None:
        """Note what the gateway could not answer."""
        if response.status >= 500:
            self.note(f"answer {response.status}: {response.url}")

    def check(self) -> None:
        """Fail when anything was noted."""
        assert not self.notes, "the page complained:\n" + "\n".join(self.notes)
