"""The venue as a caller of the campaign against the API sees it: prices, accounts, keys, what must be there to ask."""

import base64
import json
import random
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scripts.ready import EMAIL_OF_THE_LINK
from tests.key_signer import Signer

NOTIONAL = Decimal(25)
TICKER_AGE_S = 1.0
TIDY_EVERY = 40
V1 = "/api/v1"


class Trader(NamedTuple):
    """An account and its session."""

    account: int
    token: str


class World:
    """The venue as one caller sees it, with accounts of his own for each operation."""

    def __init__(self, url: str, mail: Path, traders: list[Trader], rng: random.Random) -> None:
        """Look at the markets."""
        self.mail, self.rng = mail, rng
        self.session = httpx2.Client(base_url=url, timeout=20)
        self.traders = traders
        self.turn = self.wishes = 0
        self.address = f"fuzz{rng.getrandbits(40):x}@example.com"
        self.markets = {row["market"]: row for row in self.call("GET", f"{V1}/market")["items"]}
        self.tickers: dict[str, tuple[float, dict[str, Any]]] = {}
        self.subs: dict[int, int] = {}
        self.signers: dict[int, Signer] = {}
        self.venue = str(self.call("GET", "/ready")["venue"])
        self.operator_token = ""

    @property
    def trader(self) -> Trader:
        """Return who acts now."""
        return self.traders[self.turn % len(self.traders)]

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Return the body of an answer to a request of preparation, whatever its status."""
        headers = {"Authorization": f"Bearer {token or self.trader.token}"}
        return self.session.request(method, path, json=body, headers=headers).json()

    def close(self) -> None:
        """Close what was opened."""
        self.session.close()

    def tidy(self) -> None:
        """Now and then end all orders and positions, so that limits and money are no reason to refuse."""
        self.wishes += 1
        if self.wishes % TIDY_EVERY == 0:
            self.call("DELETE", f"{V1}/trade/orders")
            self.call("POST", f"{V1}/trade/close-all", {})

    # --- values ---------------------------------------------------------------------------------------------------

    def market(self) -> str:
        """Return a market."""
        return str(self.rng.choice(sorted(self.markets)))

    def ticker(self, market: str) -> dict[str, Any]:
        """Return a market's ticker of this second."""
        now_s = time.monotonic()
        kept = self.tickers.get(market)
        if kept is None or now_s - kept[0] > TICKER_AGE_S:
            kept = self.tickers[market] = (now_s, self.call("GET", f"{V1}/market/{market}/ticker"))
        return kept[1]

    def price(self, market: str, away_percent: int) -> str:
        """Return a price on the grid, so far from the bid."""
        tick = Decimal(self.markets[market]["tick"])
        wanted = Decimal(self.ticker(market)["bid"]) * (100 + away_percent) / 100
        return format((wanted // tick) * tick, "f")

    def qty(self, market: str) -> str:
        """Return a small quantity on the grid."""
        lot = Decimal(self.markets[market]["lot"])
        return format((NOTIONAL / Decimal(self.ticker(market)["bid"]) // lot + 1) * lot, "f")

    def name(self) -> str:
        """Return a fresh name for an order."""
        return f"w-{self.rng.getrandbits(60):x}"

    # --- what must be there ---------------------------------------------------------------------------------------

    def order(self) -> dict[str, Any]:
        """Return a resting order with its market, and its name."""
        market, name = self.market(), self.name()
        body = {"market": market, "side": "buy", "kind": "limit", "qty": self.qty(market), "client_order_id": name}
        placed = self.call("POST", f"{V1}/trade/order", body | {"price": self.price(market, -3)})
        return {"market": market, "name": name, "order_id": placed.get("order_id", 1)}

    def ticket(self) -> dict[str, Any]:
        """Return a ticket position."""
        market = self.market()
        body = {"market": market, "side": self.rng.choice(["buy", "sell"]), "margin": "12", "leverage": 3}
        return {"market": market} | self.call("POST", f"{V1}/trade/create", body)

    def net(self) -> dict[str, Any]:
        """Return a net position."""
        market = self.market()
        body = {"market": market, "side": self.rng.choice(["buy", "sell"]), "qty": self.qty(market)}
        return {"market": market} | self.call("POST", f"{V1}/trade/order", body)

    def position_id(self, of: dict[str, Any]) -> int:
        """Return the position that an answer names."""
        return int(of.get("position_id", 1))

    def sub(self) -> int:
        """Return a sub-account of who acts."""
        if self.trader.account not in self.subs:
            opened = self.call("POST", f"{V1}/account/subaccounts", {})
            self.subs[self.trader.account] = int(opened["subaccount"]["account_id"])
        return self.subs[self.trader.account]

    def link(self, address: str = "") -> str:
        """Return the token of a fresh link, to our own address if none is named."""
        address = address or self.address
        known = set(self.mail.glob("*.json"))
        self.session.post(f"{V1}/auth", json={"email": address})
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            for path in set(self.mail.glob("*.json")) - known:
                try:
                    letter = json.loads(path.read_text())
                except ValueError:
                    continue  # being written
                if letter["to"] == address:
                    return str(letter["link"]).partition("token=")[2]
            time.sleep(0.005)
        raise AssertionError("no link came")

    def operator(self) -> str:
        """Return the token of a session of whoever started the venue."""
        self.operator_token = self.operator_token or self.signed_in(EMAIL_OF_THE_LINK)
        return self.operator_token

    def page_path(self, name: str) -> dict[str, str]:
        """Return what the address of a file of the page is made of."""
        tree = self.session.get("/").text.partition("/static/")[2].partition("/")[0]
        return {"tree": tree, "path": name}

    def signed_in(self, address: str = "") -> str:
        """Return the token of a session that nobody else uses."""
        answer = self.session.post(f"{V1}/auth/verify", json={"token": self.link(address)}).json()
        self.session.cookies.clear()
        return str(answer["token"])

    def signer(self) -> Signer | None:
        """Return the key that who acts has registered for all that keys may do, None when he may register none."""
        account = self.trader.account
        if account not in self.signers:
            signer = Signer(self.rng.getrandbits(60), self.venue)
            body = {"public_key": signer.public_text, "scopes": ["trade"]}
            signer.key_id = str(self.call("POST", f"{V1}/keys", body).get("key_id", ""))
            if not signer.key_id:
                return None
            self.signers[account] = signer
        return self.signers[account]

    def sign(self, request: Any) -> Any:
        """Return a prepared request with the signature of who acts."""
        signer = self.signers[self.trader.account]
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        named = {"idempotency_key": "Idempotency-Key", "request_time": "Request-Time"}
        sent = {name: str(request.headers.get(header, "")) for name, header in named.items()}
        now_us = time.time_ns() // 1_000
        request.headers.update(signer.headers(request.method, request.path_url, body, time_us=now_us, **sent))
        return request

    def key(self) -> dict[str, Any]:
        """Return a registered key."""
        body = {"public_key": public_key(), "scopes": ["read"]}
        made: dict[str, Any] = self.call("POST", f"{V1}/keys", body)
        return made

    def key_gone(self, answer: Any) -> None:
        """Revoke a key that an answer names."""
        if isinstance(answer, dict) and "key_id" in answer:
            self.call("DELETE", f"{V1}/keys/{answer['key_id']}")


def public_key() -> str:
    """Return the public half of a fresh key."""
    key = Ed25519PrivateKey.generate().public_key()
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
