"""
Instructions of every operation in canonical form, made of the very tables that shared.wire reads by, and ways to spoil
them: keys left out, doubled, exchanged, unknown; blanks, escapes, numbers of any size, bytes that are no text.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

from shared.codes import Op
from shared.stream_keys import Fields
from shared.wire_instructions import BATCH_OPS, KEYS, OPERATOR_OPS
from shared.wire_values import Key, Shape

TS_US = 1_767_225_600_000_000
MARKETS = ("BTC_USDC_PERP", "SOL_USDC_PERP", "X", "A" * 24, "A" * 25, "", "B~ C")
CLIENT_IDS = ("a", "A9_.:-", "x" * 36, "x" * 37, "", "a b", "é", "q\\u0041", "0")
WHOLES = (0, 1, 7, 99, 100, 101, 65_535, 2**31 - 1, 2**31, 10**18 - 1, 10**18, 2**62, 2**62 + 1, 2**63 - 1, 2**63,
          2**64, 10**19, 10**30)  # fmt: skip
DECIMALS = (
    "0", "1", "60000.1", "0.000000000001", "999999999999999", "999999999999999.999999999999", "1000000000000000", "-1",
    "-0", "-0.5", "0.0", "00", "01", "1.", ".1", "1e3", "", "0.1234567890123", "1.10", "+1", "1 ", "-999999999999999.1",
)  # fmt: skip
ODD_VALUES = (
    "null", "true", "false", "0", "-1", "1.5", "1e3", '""', '"x"', "[]", "{}", '"1"', "-0", '"\\u0031"', '"1\\n"',
    "1E400", '"' + "9" * 40 + '"', "9" * 40, '{"price_trigger":"1"}', '{"price_trigger":"1","x":1}',
    '{"trigger_by":"mark"}',
)  # fmt: skip
ODD_KEYS = ("x", "market", "side", "op", "v", "account", "request_id", "qty", "", "price_trigger", "oco", "\\u0071ty")


def quoted(text: str) -> str:
    """Return a JSON text, as it is: what needs an escape is odd on purpose."""
    return f'"{text}"'


def decimal(chance: random.Random) -> str:
    """Return a decimal, mostly one that is sound."""
    if chance.random() < 0.15:
        odd = chance.choice(DECIMALS)
        return quoted(odd) if chance.random() < 0.8 else odd
    whole, places = chance.randrange(10 ** chance.randrange(1, 16)), chance.randrange(13)
    digits = "".join(chance.choice("0123456789") for _ in range(places))
    text = f"{'-' if chance.random() < 0.1 else ''}{whole}{'.' if digits else ''}{digits}"
    return quoted(text) if chance.random() < 0.9 or digits else text


def whole(chance: random.Random) -> str:
    """Return an integer, mostly a small one."""
    value = chance.choice(WHOLES) if chance.random() < 0.2 else chance.randrange(10 ** chance.randrange(1, 10))
    return str(-value if chance.random() < 0.03 else value)


def choice(chance: random.Random, choices: Mapping[str, int]) -> str:
    """Return one of the words, now and then none of them."""
    word = chance.choice(list(choices))
    return quoted(chance.choice((word.upper(), word + "x", word[:-1], "")) if chance.random() < 0.03 else word)


def child(chance: random.Random, sources: Mapping[str, int]) -> str:
    """Return a bracket's order, bare or as an object."""
    if chance.random() < 0.5:
        return decimal(chance)
    parts = [f'"price_trigger":{decimal(chance)}']
    if chance.random() < 0.5:
        parts.append(f'"trigger_by":{choice(chance, sources)}')
    if chance.random() < 0.5:
        parts.append(f'"price":{decimal(chance)}')
    if chance.random() < 0.05:
        chance.shuffle(parts)
    return "{" + ",".join(parts) + "}"


def value(chance: random.Random, name: str, key: Key) -> str:
    """Return a value of a key's shape."""
    if key.bit_null and chance.random() < 0.2:
        return "null"
    if key.shape == Shape.CHILD:
        return child(chance, KEYS[Op.ORDER_PLACE][0]["trigger_by"].choices)
    if key.shape == Shape.CHOICE:
        return choice(chance, key.choices)
    if key.shape == Shape.OTHER:
        return other(chance, name)
    makers: dict[Shape, Callable[[], str]] = {
        Shape.DECIMAL: lambda: decimal(chance),
        Shape.PERCENT: lambda: decimal(chance) if chance.random() < 0.3 else quoted(str(chance.randrange(102))),
        Shape.WHOLE: lambda: whole(chance),
        Shape.FLAG: lambda: chance.choice(("true", "false")),
        Shape.MARKET: lambda: quoted(MARKETS[0] if chance.random() < 0.7 else chance.choice(MARKETS)),
        Shape.CLIENT_ID: lambda: quoted(chance.choice(CLIENT_IDS) if chance.random() < 0.3 else f"c-{chance.random()}"),
        Shape.OWNER: lambda: quoted(f"{chance.getrandbits(128):032x}"),
        Shape.REASON: lambda: quoted("because"[: chance.randrange(1, 8)] * chance.randrange(1, 6)),
    }
    return makers[key.shape]()


def other(chance: random.Random, name: str) -> str:
    """Return a value that only its own reader knows: another leg, commands, parameters."""
    if name == "oco":
        keys = {key: each for key, each in KEYS[Op.ORDER_PLACE][0].items() if each.shape not in (0, Shape.CHILD)}
        return body(chance, keys, frozenset({"kind"}))
    if name == "commands":
        ops = sorted(BATCH_OPS)
        picked = [chance.choice(ops) for _ in range(chance.choice((1, 2, 3, 20, 21, 0)))]
        return "[" + ",".join(command(chance, op) for op in picked) + "]"
    if name == "tiers":
        return '[{"notional":"0","maintenance_margin_ppm":5000,"leverage_max":50}]'
    return chance.choice((quoted("1"), whole(chance), decimal(chance)))


def body(chance: random.Random, keys: Mapping[str, Key], required: frozenset[str], head: str = "") -> str:
    """Return an object of some of the keys in canonical order."""
    share = chance.choice((0.1, 0.4, 0.9))
    taken = [name for name in keys if (name in required and chance.random() > 0.02) or chance.random() < share]
    parts = [f'"{name}":{value(chance, name, keys[name])}' for name in taken]
    return "{" + ",".join([head, *parts] if head else parts) + "}"


def command(chance: random.Random, op: Op) -> str:
    """Return one command of a batch."""
    return body(chance, *KEYS[op], head=f'"op":"{op.name.lower()}"')


def instruction(chance: random.Random) -> Fields:
    """Return the fields of one instruction in canonical form."""
    op = chance.choice(list(KEYS))
    operator = op in OPERATOR_OPS or chance.random() < 0.15
    kind = b"venue_instruction" if operator != (chance.random() < 0.02) else b"user_instruction"
    account = chance.choice((0, 1, 101, 2**31 - 1, 2**31)) if chance.random() < 0.1 else chance.randrange(1_000_000)
    head = f'"v":1,"account":{account},"request_id":"{chance.getrandbits(128):032x}","op":"{op.name.lower()}"'
    text = body(chance, *KEYS[op], head=head)
    return [(b"ts", b"%d" % (TS_US + chance.randrange(10**12))), (kind, text.encode())]


def text_spoilt(chance: random.Random, text: bytes) -> bytes:
    """Return a body with one thing about its JSON changed."""
    members = members_of(text)
    way = chance.randrange(10)
    if way == 0 or len(members) < 2:
        place = chance.randrange(len(text) + 1)
        return text[:place] + chance.choice((b" ", b"\n", b"\t", b"\x00", b",", b'"', b"\\")) + text[place:]
    index, second = chance.sample(range(len(members)), 2)
    if way == 1:
        del members[index]
    elif way == 2:
        members.insert(second, members[index])
    elif way == 3:
        members[index], members[second] = members[second], members[index]
    elif way == 4:
        members[index] = members[index].partition(b":")[0] + b":" + chance.choice(ODD_VALUES).encode()
    elif way == 5:
        members[index] = quoted(chance.choice(ODD_KEYS)).encode() + b":" + members[index].partition(b":")[2]
    elif way == 6:
        members.append(b'"%s":%s' % (chance.choice(ODD_KEYS).encode(), chance.choice(ODD_VALUES).encode()))
    elif way == 7:
        place = chance.randrange(len(members[index]) + 1)
        odd = chance.choice((b"\xff", b"\xc3\xa9", b"\\u00e9", b"\\/", b"\xed\xa0\x80", b"\x7f", b"\xef\xbb\xbf"))
        members[index] = members[index][:place] + odd + members[index][place:]
    elif way == 8:
        return text[: chance.randrange(len(text) + 1)]
    else:
        members[index] = members[index].replace(b":", b" : ", 1)
    return b"{" + b",".join(members) + b"}"


def members_of(text: bytes) -> list[bytes]:
    """Return the members of an object as their bytes, split at the commas outside of what is nested."""
    members, depth, first, inside = [], 0, 1, False
    for place in range(1, len(text) - 1):
        sign = text[place]
        if sign == ord('"') and text[place - 1] != ord("\\"):
            inside = not inside
        elif not inside and sign in b"{[":
            depth += 1
        elif not inside and sign in b"}]":
            depth -= 1
        elif not inside and sign == ord(",") and depth == 0:
            members.append(text[first:place])
            first = place + 1
    members.append(text[first:-1])
    return members


def instruction_spoilt(chance: random.Random, fields: Fields) -> Fields:
    """Return an instruction with its body spoilt."""
    name, text = fields[-1]
    return [*fields[:-1], (name, text_spoilt(chance, text))]


def anything(chance: random.Random) -> Any:
    """Return fields of the other kinds, which are read by shared.wire alone."""
    stamp = (b"ts", b"%d" % (TS_US + chance.randrange(10**12)))
    texts: tuple[list[tuple[bytes, bytes]], ...] = (
        [(b"session", b"s"), (b"feed_status", b'{"status":"up","source":"simulated"}')],
        [(b"session", b"s"), (b"feed_status", b'{"status":"down","source":"x","price_age_max_ms":500}')],
        [(b"lead", b'{"who":"abc","rules":3}')],
        [(b"checkpoint", b'{"seq":5,"state_hash":"%064x","record_hash":"%064x"}' % (7, 9))],
        [(b"genesis", b'{"v":1}')],
        [(b"note", b"x")],
    )
    return [stamp, *chance.choice(texts)]
