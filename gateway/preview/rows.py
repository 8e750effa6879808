"""What the views say, as the figures of the core's rows: decimal text to ticks, lots and micro-USDC; pure."""

from collections.abc import Mapping
from typing import Any

from gateway.valuation import CROSS, money_e6
from shared import records as r
from shared.codes import MarketState, OrderKind, OrderStatus, PositionKind, Side, Stp, Tif, TriggerBy
from shared.units import decimal_e12, decimal_text, decimals_of, words_of_text

DAY_MS = 86_400_000
QUOTE_TERM_OTHER = -1  # of no feed session: a market with it is not fresh


class Grid:
    """The steps of one market's prices and quantities."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take them from its configuration."""
        self.tick_e12 = decimal_e12(config["tick"])
        self.lot_e12 = decimal_e12(config["lot"])
        self.unit_e6 = self.tick_e12 * self.lot_e12 // 10**18  # what one lot costs at one tick

    def ticks(self, text: str | None) -> int:
        """Return a price in ticks, 0 of none; it stands on the grid."""
        return decimal_e12(text) // self.tick_e12 if text else 0

    def price(self, ticks: int) -> str:
        """Return a price as text."""
        return decimal_text(ticks * self.tick_e12, decimals_of(self.tick_e12))

    def qty(self, lots: int) -> str:
        """Return a signed quantity as text."""
        return decimal_text(lots * self.lot_e12, decimals_of(self.lot_e12))

    def lots(self, text: str | None) -> int:
        """Return a signed quantity in lots, 0 of none; it stands on the grid."""
        return decimal_e12(text) // self.lot_e12 if text else 0


def market_figures(grid: Grid, view: Mapping[str, str], log_time_us: int) -> dict[str, int]:
    """Return a market's row as its view states it; it is as fresh as the engine says, by a quote of this moment."""
    figures = {f"{name}_ticks": grid.ticks(view.get(name)) for name in ("bid", "ask", "mark", "index")}
    figures |= {f"{name}_lots": grid.lots(view.get(f"{name}_qty")) for name in ("bid", "ask")}
    figures |= {"state": MarketState[view["state"].upper()], "quote_us": log_time_us, "mark_us": log_time_us}
    figures["open_interest_lots"] = grid.lots(view.get("open_interest"))
    return figures if view.get("fresh") == "1" else figures | {"quote_term": QUOTE_TERM_OTHER}


def account_figures(
    account: Mapping[str, Any],
    leverages: Mapping[str, int],
    modes: Mapping[str, str],
    guards: Mapping[str, Any],
    names: list[str],
) -> dict[str, Any]:
    """Return an account's row; what is said by market follows `names`."""
    leverage = [leverages.get(name, 0) for name in names]
    figures: dict[str, Any] = {
        "free_e6": money_e6(account["free"]),
        "reserved_e6": money_e6(account["reserved"]),
        "frozen": int(bool(account.get("frozen"))),
        "cross": sum(1 << row for row, name in enumerate(names) if modes.get(name) == CROSS),
        "leverage": leverage + [0] * (r.MARKETS_CAPACITY - len(leverage)),
        "guards": 0,
    }
    if "locked_until_ms" in account:
        figures["locked_day"] = account["locked_until_ms"] // DAY_MS - 1
    # Of a day's loss only the bound is told, not what was lost: a lock that stands is known, one to come is not.
    if "leverage_max" in guards:
        figures |= {"guards": figures["guards"] | r.GUARD_LEVERAGE, "leverage_most": guards["leverage_max"]}
    if "slippage_bps" in guards:
        figures |= {"guards": figures["guards"] | r.GUARD_SLIPPAGE, "slippage_bps": guards["slippage_bps"]}
    if "stp" in guards:
        figures |= {"guards": figures["guards"] | r.GUARD_STP, "stp": Stp[guards["stp"].upper()]}
    return figures


def position_figures(
    grid: Grid, market_id: int, account_id: int, position: Mapping[str, Any], orders_put: set[int]
) -> dict[str, int]:
    """Return an open position's row; it names its SL and TP if they are put as well."""
    lots, cost_e6 = grid.lots(position["qty"]), money_e6(position["cost"])
    children = {name: position.get(name, {}).get("order_id", 0) for name in ("take_profit", "stop_loss")}
    return {
        "position_id": position["position_id"],
        "account_id": account_id,
        "market_id": market_id,
        "kind": PositionKind[position["kind"].upper()],
        "cross": int(position.get("mode") == CROSS),
        "lots": lots,
        "cost_e6": cost_e6,
        "margin_e6": money_e6(position["margin"]),
        "leverage": position["leverage"],
        "entry_lots": abs(lots),
        "entry_e6": abs(cost_e6),
        "pnl_e6": money_e6(position["pnl_realised"]),
        "fees_e6": money_e6(position["fees"]),
        "funding_e6": money_e6(position["funding"]),
        "opened_us": position["opened_us"],
    } | {f"{name}_id": number for name, number in children.items() if number in orders_put}


def peak_ticks_now(grid: Grid, order: Mapping[str, Any], view: Mapping[str, str]) -> int:
    """Return the peak of a trailing stop, 0 of none: the image's may be older than the price that it follows."""
    told = grid.ticks(order.get("price_peak"))
    if told == 0:
        return 0
    sells = order["side"] == "sell"
    source = order["trigger_by"] if order["trigger_by"] != "quote" else "bid" if sells else "ask"
    followed = grid.ticks(view.get(source)) or told
    return max(told, followed) if sells else min(told, followed)


def order_figures(
    grid: Grid,
    market_id: int,
    account_id: int,
    order: Mapping[str, Any],
    config: Mapping[str, Any],
    view: Mapping[str, str],
) -> dict[str, Any]:
    """Return a live order's row, with the market's fees of now; its place in time is that of its id."""
    peak_ticks = peak_ticks_now(grid, order, view)
    return {
        "order_id": order["order_id"],
        "priority": order["order_id"],
        "position_id": order.get("position_id", 0),
        "oco_id": order.get("oco_order_id", 0),
        "account_id": account_id,
        "market_id": market_id,
        "side": Side[order["side"].upper()],
        "kind": OrderKind[order["kind"].upper()],
        "status": OrderStatus[order["status"].upper()],
        "tif": Tif[order["tif"]] if "tif" in order else Tif.NONE,
        "qty_lots": grid.lots(order.get("qty")),
        "qty_filled_lots": grid.lots(order["qty_filled"]),
        "reserved_e6": money_e6(order["reserved"]),
        "placed_us": order["placed_us"],
        "expires_us": order.get("expires_ms", 0) * 1000,
        "client_order_id": words_of_text(order.get("client_order_id", ""), r.CLIENT_ID_WORDS),
        "price_ticks": grid.ticks(order.get("price")),
        "price_trigger_ticks": grid.ticks(order.get("price_trigger")),
        "trigger_by": TriggerBy[order["trigger_by"].upper()] if "trigger_by" in order else TriggerBy.NONE,
        "trail_ticks": order.get("trail_ticks", 0),
        "trail_ppm": order.get("trail_ppm", 0),
        "price_activation_ticks": grid.ticks(order.get("price_activation")),
        "peak_ticks": peak_ticks,
        "active": int(order["kind"] == "trailing_stop" and peak_ticks > 0),
        "close_percent": order.get("close_percent", 0),
        "slippage_bps": order.get("slippage_bps", -1),
        "post_only": int(order["post_only"]),
        "reduce_only": int(order["reduce_only"]),
        "stp": Stp[order["stp"].upper()] if "stp" in order else Stp.CANCEL_TAKER,
        "fee_maker_ppm": config["fee_maker_ppm"],
        "fee_taker_ppm": config["fee_taker_ppm"],
    }


def name_figures(number: int, account_id: int, name: str) -> dict[str, Any]:
    """Return the row of an order of which nothing is known but the name: it waits for nothing and binds nothing."""
    figures: dict[str, Any] = {"order_id": number, "priority": number, "account_id": account_id, "market_id": 1}
    figures |= {"side": Side.SELL, "kind": OrderKind.STOP_MARKET, "status": OrderStatus.ATTACHED, "reduce_only": 1}
    return figures | {"client_order_id": words_of_text(name, r.CLIENT_ID_WORDS), "slippage_bps": -1}


def order_rank(figures: Mapping[str, Any]) -> tuple[int, int]:
    """Return by what orders are put: trailing stops that follow a peak last, sells descending, buys ascending."""
    return figures["active"], figures["peak_ticks"] * (1 if figures["side"] == Side.BUY else -1)
