"""One account that writes through one gateway, reads through another at once, and knows what it must see there."""

import random
from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple

import httpx2
import orjson

MARKET = "BTC_USDC_PERP"
ORDERS_MAX = 12
QTY = Decimal("0.001")
OFF = Decimal("0.97")  # resting buys stand so far below the mark
TICK = Decimal("0.1")


class Told(NamedTuple):
    """What a write's answer said."""

    status: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        """Return whether it happened."""
        return self.status == 200 and self.body.get("result") == "OK"


class Account:
    """What one account knows of itself from the answers to its own writes alone; nobody else acts for it."""

    def __init__(self, account: int, token: str, clients: list[httpx2.AsyncClient], chance: random.Random) -> None:
        self.account = account
        self.headers = {"Authorization": f"Bearer {token}"}
        self.clients = clients
        self.chance = chance
        self.orders: dict[int, dict[str, Any]] = {}
        self.position: dict[str, Any] | None = None
        self.leverage = 10
        self.sub: int | None = None
        self.free: dict[int, Decimal] = {}  # of the account and its sub-account, where an answer has told it
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def turn(self) -> None:
        """Write through one gateway and read through another at once; keep what is wrong."""
        writer, reader = self.chance.sample(self.clients, 2)
        wish = self.wish()
        told = await self.write(writer, wish)
        if not told.accepted:
            self.counts[f"write {told.status} {told.body.get('code', told.body.get('status', ''))}"] += 1
            if told.status in (202, 503):
                await self.learn(writer)
            return
        self.learned(wish[0], told.body)
        seq = int(told.body["seq"])
        for path, check in self.reads(wish[0]):
            answer = await reader.get(path, headers=self.headers)
            self.judge(wish[0], path, seq, Told(answer.status_code, orjson.loads(answer.content)), check)

    def wish(self) -> tuple[str, str, str, dict[str, Any]]:
        """Return the next write: its name, method, path and body."""
        chance = self.chance
        if self.sub is None:
            return "open", "POST", "/api/v1/account/subaccounts", {}
        kinds = ["place", "place", "trade", "leverage", "transfer"] + ["cancel", "amend", "amend"] * bool(self.orders)
        kind = "cancel" if len(self.orders) >= ORDERS_MAX else chance.choice(kinds)
        if kind == "place":
            price = self.price - TICK * chance.randrange(200)
            order = {"market": MARKET, "side": "buy", "kind": "limit", "qty": str(QTY), "price": str(price)}
            return kind, "POST", "/api/v1/trade/order", order
        if kind == "cancel":
            return kind, "DELETE", f"/api/v1/trade/order/{chance.choice(list(self.orders))}", {}
        if kind == "amend":
            order_id = chance.choice(list(self.orders))
            qty = QTY + Decimal("0.00001") * chance.randrange(1, 100)
            return kind, "PATCH", f"/api/v1/trade/order/{order_id}", {"qty": str(qty)}
        if kind == "leverage":
            self.leverage_wanted = chance.choice([each for each in range(5, 16) if each != self.leverage])
            return kind, "POST", "/api/v1/trade/leverage", {"market": MARKET, "leverage": self.leverage_wanted}
        if kind == "transfer":
            return kind, "POST", "/api/v1/account/transfer", {"account_to": self.sub, "amount": "0.01"}
        side = chance.choice(["buy", "sell"])
        return kind, "POST", "/api/v1/trade/order", {"market": MARKET, "side": side, "qty": str(QTY)}

    async def write(self, writer: httpx2.AsyncClient, wish: tuple[str, str, str, dict[str, Any]]) -> Told:
        """Return the answer to a write."""
        _, method, path, body = wish
        content = orjson.dumps(body) if method != "DELETE" else None
        answer = await writer.request(method, path, content=content, headers=self.headers)
        return Told(answer.status_code, orjson.loads(answer.content))

    async def begin(self, mark: Decimal) -> None:
        """Take the price around which the account trades."""
        self.price = (mark * OFF / TICK).quantize(Decimal(1)) * TICK

    async def learn(self, reader: httpx2.AsyncClient) -> None:
        """Take the account as it stands: a write may have happened without a word."""
        while True:
            account = (await reader.get("/api/v1/account", headers=self.headers)).json()
            orders = (await reader.get("/api/v1/account/orders", headers=self.headers)).json()
            positions = (await reader.get("/api/v1/account/positions", headers=self.headers)).json()
            if not any("behind_seq" in each or "code" in each for each in (account, orders, positions)):
                break
        self.orders = {row["order_id"]: row for row in orders["items"]}
        self.position = next(iter(positions["items"]), None)
        self.leverage = account["leverages"].get(MARKET, 10)
        self.sub = next((row["account_id"] for row in account["subaccounts"]), None)
        self.free = {}

    def learned(self, kind: str, body: dict[str, Any]) -> None:
        """Take what a write's answer says of the account."""
        for row in body["orders"]:
            self.orders[row["order_id"]] = row
        for row in body["closed_orders"]:
            self.orders.pop(row["order_id"], None)
        for row in body["positions"]:
            self.position = row if Decimal(row["qty"]) else None
        if "balance" in body:
            self.free[self.account] = Decimal(body["balance"]["free"])
        if kind == "leverage":
            self.leverage = self.leverage_wanted
        if kind == "open":
            self.sub = body["subaccount"]["account_id"]
            self.free[self.sub] = Decimal(0)
        if kind == "transfer" and self.sub in self.free:
            self.free[self.sub] += Decimal("0.01")

    def reads(self, kind: str) -> list[tuple[str, Any]]:
        """Return what to read after a write, the address and what must be true of the answer; one is drawn."""
        of_sub = f"?account={self.sub}"
        told = [("/api/v1/account", self.account_is), ("/api/v1/account/balance", self.balance_is)]
        more = {
            "place": [("/api/v1/account/orders", self.orders_are)] * 3,
            "cancel": [("/api/v1/account/orders", self.orders_are)] * 3,
            "amend": [("/api/v1/account/orders", self.orders_are)] * 3,
            "trade": [("/api/v1/account/positions", self.position_is)] * 3,
            "transfer": [(f"/api/v1/account{of_sub}", self.sub_is), (f"/api/v1/account/balance{of_sub}", self.sub_is)],
            "open": [(f"/api/v1/account{of_sub}", self.sub_is), ("/api/v1/account", self.account_is)],
        }.get(kind, [])
        return [self.chance.choice(told + more)]

    def judge(self, kind: str, path: str, seq: int, told: Told, check: Any) -> None:
        """Count an answer; an old one that does not say so is wrong."""
        if told.status != 200:
            self.counts[f"read {told.status} {told.body.get('code', '')}"] += 1
            if told.status != 503:
                self.wrong.append(f"{self.account} after {kind} at {seq}: {path} is {told.status} {told.body}")
            return
        if "behind_seq" in told.body:
            self.counts["marked"] += 1
            return
        self.counts["current"] += 1
        fault = check(told.body)
        if int(told.body["seq"]) < seq:
            fault = f"as of {told.body['seq']}"
        if fault:
            self.wrong.append(f"{self.account} after {kind} at {seq}: {path} shows {fault}: {told.body}")

    # What must be true of an answer; each returns what is not, empty when all is.

    def orders_are(self, body: dict[str, Any]) -> str:
        """Compare the live orders."""
        shown = {row["order_id"]: row["qty"] for row in body["items"]}
        wanted = {number: row["qty"] for number, row in self.orders.items()}
        return "" if shown == wanted else f"orders {shown}, wanted {wanted}"

    def position_is(self, body: dict[str, Any]) -> str:
        """Compare the one position."""
        shown = [(row["position_id"], row["qty"]) for row in body["items"]]
        wanted = [(self.position["position_id"], self.position["qty"])] if self.position else []
        return "" if shown == wanted else f"positions {shown}, wanted {wanted}"

    def account_is(self, body: dict[str, Any]) -> str:
        """Compare what the account says in one body."""
        if body["orders_count"] != len(self.orders) or body["positions_count"] != bool(self.position):
            return f"{body['orders_count']} orders and {body['positions_count']} positions"
        if body["leverages"].get(MARKET, 10) != self.leverage:
            return f"leverage {body['leverages']}, wanted {self.leverage}"
        if self.sub not in [row["account_id"] for row in body["subaccounts"]]:
            return f"no sub-account {self.sub}"
        return self.free_is(self.account, body)

    def balance_is(self, body: dict[str, Any]) -> str:
        """Compare free money."""
        return self.free_is(self.account, body["items"][0])

    def sub_is(self, body: dict[str, Any]) -> str:
        """Compare the sub-account's money."""
        assert self.sub is not None
        return self.free_is(self.sub, body["items"][0] if "items" in body else body)

    def free_is(self, account: int, body: dict[str, Any]) -> str:
        """Compare free money, where an answer has told it."""
        wanted = self.free.get(account)
        shown = Decimal(body["free"])
        return "" if wanted is None or shown == wanted else f"free {shown}, wanted {wanted}"
