"""
Drive nautilus_trader's backtest engine: one account and one strategy against quotes; own orders never meet each other.

Tuned in its favour: logging and analysis off, the trade recorder of its portfolio stubbed, the account frozen, no
message queue, no garbage collection, orders built beforehand.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from driving import TICK, Rows, Tally, report, specification, timed
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

CANCEL = 2
LOT = Decimal("0.001")  # this instrument's; sizes are lots of its own
INSTRUMENT = TestInstrumentProvider.btcusdt_perp_binance()


def price(ticks: int) -> Price:
    """Return ticks as this engine's price."""
    return Price(ticks * TICK, INSTRUMENT.price_precision)


def side_of(side: int) -> OrderSide:
    """Return this engine's side."""
    return OrderSide.BUY if side > 0 else OrderSide.SELL


class Scripted(Strategy):
    """Does what it was given when a quote arrives; counts its fills."""

    def __init__(self, work: Callable[["Scripted"], None]) -> None:
        super().__init__()
        self.tally = Tally()
        self.seen = 0
        self._work: Callable[[Scripted], None] | None = work

    def on_start(self) -> None:
        """Ask for quotes."""
        self.subscribe_quote_ticks(INSTRUMENT.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Do the work on the first quote."""
        self.seen += 1
        if self._work is not None:
            work, self._work = self._work, None
            work(self)

    def on_order_filled(self, event: Any) -> None:
        """Count a fill."""
        self.tally.fills += 1
        self.tally.lots += round(event.last_qty.as_decimal() / LOT)


def engine_of(strategy: Strategy) -> BacktestEngine:
    """Return an engine with one venue, one instrument and the strategy."""
    off = LoggingConfig(bypass_logging=True)
    engine = BacktestEngine(
        BacktestEngineConfig(logging=off, run_analysis=False, risk_engine=RiskEngineConfig(bypass=True))
    )
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USDT,
        starting_balances=[Money(1_000_000_000, USDT)],
        frozen_account=True,
        use_message_queue=False,
        use_random_ids=False,
    )
    engine.add_instrument(INSTRUMENT)
    engine.add_strategy(strategy)
    engine.portfolio.analyzer.record_trade = lambda *_, **__: None
    return engine


def quotes_of(walk: list[int], start_ns: int) -> list[QuoteTick]:
    """Return a walk of bids as quotes one tick wide… two, with the middle between."""
    size = Quantity.from_str("1000.000")
    return [
        QuoteTick(INSTRUMENT.id, price(bid), price(bid + 2), size, size, start_ns + index, start_ns + index)
        for index, bid in enumerate(walk)
    ]


def limits_of(strategy: Strategy, rows: Rows) -> dict[int, Any]:
    """Return the orders of those rows that place one."""
    return {
        order_id: strategy.order_factory.limit(
            INSTRUMENT.id, side_of(side), INSTRUMENT.make_qty(lots * LOT), price(ticks), TimeInForce.GTC
        )
        for kind, order_id, side, ticks, lots in rows
        if kind != CANCEL
    }


def part_run(data: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """Return the figures of one part; all within the first quote, so that no time is spent on quotes."""
    figures: dict[str, Any] = {}

    def work(strategy: Scripted) -> None:
        orders = limits_of(strategy, data["load"]) | limits_of(strategy, rows)

        def run(part: Rows) -> None:
            for kind, order_id, *_ in part:
                if kind == CANCEL:
                    strategy.cancel_order(orders[order_id])
                else:
                    strategy.submit_order(orders[order_id])

        started = time.perf_counter()
        run(data["load"])
        figures["load_per_s"] = round(len(data["load"]) / max(time.perf_counter() - started, 1e-9))
        figures.update(timed(rows, data["seconds_max"], run))

    strategy = Scripted(work)
    engine = engine_of(strategy)
    engine.add_data(quotes_of([data["middle_ticks"] - 1], 1))
    engine.run()
    figures |= {"fills": strategy.tally.fills, "lots": strategy.tally.lots}
    engine.dispose()
    return figures


def ticks(data: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the figures of the walk of quotes past resting stops."""

    def work(strategy: Scripted) -> None:
        for side, trigger in data["triggers"]:
            strategy.submit_order(
                strategy.order_factory.stop_market(
                    INSTRUMENT.id, side_of(side), INSTRUMENT.make_qty(LOT), price(trigger)
                )
            )

    strategy = Scripted(work)
    engine = engine_of(strategy)
    bids = [data["middle_ticks"] - 1, *data["quotes"]]

    def run(part: Rows) -> None:
        engine.clear_data()
        engine.add_data(quotes_of(part, engine_time[0]))
        engine_time[0] += len(part)
        started = time.perf_counter()
        engine.run(streaming=True)
        spent.append((len(part), time.perf_counter() - started))

    engine_time = [1]
    spent: list[tuple[int, float]] = []
    run(bids[:1])
    resting = strategy.cache.orders_open_count()
    run(bids[1 : count + 1])
    engine.end()
    seen, seconds = spent[-1]
    return {
        "operations": seen,
        "seconds": round(seconds, 6),
        "per_s": round(seen / seconds, 3),
        "fired": strategy.tally.fills,
        "resting": resting,
    }


if __name__ == "__main__":
    given = specification()
    done = {name: part_run(given, rows) for name, rows in given["parts"].items()}
    report("nautilus_trader", parts=done, ticks=ticks(given, 5000))
