"""An account's own program beside the page: plain HTTP with a token, past the gate."""

import http.client
import json
import urllib.parse
from typing import Any, NamedTuple

TIMEOUT_S = 15.0


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    body: Any


class Caller:
    """Calls the gateway as one account, or as nobody."""

    def __init__(self, url: str, token: str = "") -> None:
        """Prepare."""
        self.place = urllib.parse.urlsplit(url).netloc
        self.token = token

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Return the answer to one request."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection(self.place, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return Answer(answer.status, json.loads(text) if text else None)
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Return the body of what must be there."""
        answer = self.call("GET", path)
        assert answer.status == 200, f"{path}: {answer}"
        return answer.body

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the newest page of a list, newest first, with everything in it that was answered before."""
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found

    def do(self, method: str, path: str, body: Any) -> Any:
        """Return the body of an instruction's answer; it must have been carried out."""
        answer = self.call(method, path, body)
        assert answer.status in (200, 201), f"{method} {path} {body}: {answer}"
        return answer.body
