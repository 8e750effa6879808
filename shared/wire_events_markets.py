"""
The JSON of the events about the venue and its markets: configurations, funding, the insurance fund, candles; pure.
"""

from shared import records as r
from shared import units
from shared.codes import Liquidity, MarketState
from shared.wire_events_text import AT, MARKET, Words, get, half, money, names_of, price, rate

CONFIG = AT["config"]
_CONFIG_AT = r.word_offsets(r.CONFIG)
_TIER_WORDS = r.TIER.itemsize // 8
_STATES, _LIQUIDITIES = names_of(MarketState), names_of(Liquidity)
_SKIPPED = {1: "mark_old", 2: "halted"}
# Printed in one run, in the record's order; the taker delay came later and stands beside the other newer keys.
_RATES = [name for name in _CONFIG_AT if name.endswith(("_ppm", "_ms")) and name != "taker_delay_ms"]


def market_changed(event: Words, market: str) -> str:
    """Return the post-image of a market's configuration and state."""
    config = {name: event[CONFIG + offset] for name, offset in _CONFIG_AT.items()}
    tick_e12, lot_e12 = config["tick_e12"], config["lot_e12"]
    rates = "".join([f',"{name}":{config[name]}' for name in _RATES])
    lots = units.decimals_of(lot_e12)
    return (
        f'{{"e":"market_changed","market":"{market}","id":{event[MARKET]},'
        f'"tick":"{units.decimal_text(tick_e12, units.decimals_of(tick_e12))}",'
        f'"lot":"{units.decimal_text(lot_e12, lots)}","state":"{_STATES[get(event, "status")]}",'
        f'"leverage_max":{config["leverage_max"]}{rates},"notional_min":"{units.money_text(config["notional_min_e6"])}",'
        f'"liquidity":"{_LIQUIDITIES[config["liquidity"]]}","depth_levels":{config["depth_levels"]},'
        f'"taker_delay_ms":{config["taker_delay_ms"]},'
        f'"notional_max":"{units.money_text(config["notional_max_e6"])}",'
        f'"open_interest_notional_max":"{units.money_text(config["open_interest_notional_max_e6"])}",'
        f'"order_qty_max":"{units.decimal_text(config["order_lots_max"] * lot_e12, lots)}",'
        f'"open_interest_max":"{units.decimal_text(config["open_interest_lots_max"] * lot_e12, lots)}",'
        f'"tiers":[{",".join(_tiers(event, config["tiers_count"]))}]}}'
    )


def _tiers(event: Words, count: int) -> list[str]:
    """Return the objects of a configuration's tiers."""
    tiers = []
    for tier in range(count):
        first = CONFIG + _CONFIG_AT["tiers"] + tier * _TIER_WORDS
        floor_e6, mmr_ppm, leverage_max, amount_e6 = event[first : first + _TIER_WORDS]
        tiers.append(
            f'{{"floor":"{units.money_text(floor_e6)}","mmr_ppm":{mmr_ppm},"leverage_max":{leverage_max},'
            f'"amount":"{units.money_text(amount_e6)}"}}'
        )
    return tiers


def venue_changed(event: Words, market: str) -> str:
    """Return all parameters of the venue; they lie in the first words of the configuration's place."""
    starting_e6, *limits = event[CONFIG : CONFIG + len(r.VENUE_PARAMETERS)]
    named = zip(r.VENUE_PARAMETERS[1:], limits, strict=True)
    return (
        f'{{"e":"venue_changed","starting_balance":"{units.money_text(starting_e6)}"'
        + "".join([f',"{name}":{value}' for name, value in named])
        + "}"
    )


def insurance_changed(event: Words, market: str) -> str:
    """Return what the insurance fund holds."""
    return f'{{"e":"insurance_changed","balance":"{money(event, "free_e6")}"}}'


def funding_settled(event: Words, market: str) -> str:
    """Return what all positions of a market together paid to the house."""
    return (
        f'{{"e":"funding_settled","market":"{market}","rate":"{rate(event, "rate_ppb")}",'
        f'"price_mark":"{price(event, "price_mark_ticks")}","due_ms":{get(event, "due_ms")},'
        f'"positions":{get(event, "quotes")},"amount":"{money(event, "amount_e6")}"}}'
    )


def funding_skipped(event: Words, market: str) -> str:
    """Return that a funding was due and nobody paid."""
    return (
        f'{{"e":"funding_skipped","market":"{market}","due_ms":{get(event, "due_ms")},'
        f'"reason":"{_SKIPPED[get(event, "reason")]}"}}'
    )


def candle(event: Words, market: str) -> str:
    """Return a minute of a market's mid."""
    prices = ""
    if get(event, "close_x2"):
        prices = "".join([f',"{name}":"{half(event, f"{name}_x2")}"' for name in ("open", "high", "low", "close")])
    return (
        f'{{"e":"candle","market":"{market}","minute_ms":{get(event, "minute_ms")}{prices},'
        f'"quotes":{get(event, "quotes")}}}'
    )
