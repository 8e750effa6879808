"""
One EVENT row -> its JSON, compiled: an interpreter walks the kind's program.

Rows, texts and steps are bytes, of which eight are read or written at once (see memory). A row is trusted as far as the
core made it; a code without a name is not written but answered with -1.
"""

from numpy import int64

from engine.core.kernel import inlined, kernel
from engine.encode import programs as p
from engine.encode.digits import SCALE_BYTES, STEP, ZEROS, decimal_put, number_put, scale_put
from engine.encode.memory import word_get, word_put
from engine.encode.steps import SCALES_OF_MARKET, Do, Scale
from shared import records as r
from shared.codes import EventKind
from shared.wire_events_text import AT

EVENT_BYTES = r.EVENT.itemsize
BYTE_AT = {name: 8 * word for name, word in AT.items()}
KIND, MARKET, TICK_E12, LOT_E12 = (BYTE_AT[name] for name in ("kind", "market", "tick_e12", "lot_e12"))
CONFIG_AT = {name: BYTE_AT["config"] + 8 * word for name, word in r.word_offsets(r.CONFIG).items()}
CONFIG_NAME, CONFIG_TICK, CONFIG_LOT = (CONFIG_AT[name] for name in ("market", "tick_e12", "lot_e12"))
MARKET_SLOTS = 32  # of scales; what stands in one is looked at before it is used
NAME_LENGTH = 8 * r.NAME_WORDS  # behind a market's name
NAME_BYTES = NAME_LENGTH + 8
GRID = 10_000  # parts of a tick in which averages are held
QUOTE, COMMA, CLOSING = ord('"'), ord(","), ord("]")

D_END, D_TEXT, D_NUMBER, D_THOUSANDTH, D_DECIMAL, D_EXACT = (
    int(do) for do in (Do.END, Do.TEXT, Do.NUMBER, Do.THOUSANDTH, Do.DECIMAL, Do.EXACT)
)
D_STEP, D_NAME, D_MARKET, D_CLIENT, D_HEX, D_COUNTER = (
    int(do) for do in (Do.STEP, Do.NAME, Do.MARKET, Do.CLIENT, Do.HEX, Do.COUNTER)
)
D_CONFIG, D_RESULTS, D_RESULT_END = (int(do) for do in (Do.CONFIG, Do.RESULTS, Do.RESULT_END))
D_IS, D_NOT, D_ABOVE, D_BELOW = (int(do) for do in (Do.UNLESS_IS, Do.UNLESS_NOT, Do.UNLESS_ABOVE, Do.UNLESS_BELOW))
S_TICK, S_LOT, S_AVERAGE, S_HALF = (SCALE_BYTES * scale for scale in (Scale.TICK, Scale.LOT, Scale.AVERAGE, Scale.HALF))
S_CONFIG_TICK, S_CONFIG_LOT = SCALE_BYTES * Scale.CONFIG_TICK, SCALE_BYTES * Scale.CONFIG_LOT
MARKET_SCALES_BYTES = SCALE_BYTES * SCALES_OF_MARKET
RESULT_PROGRAM = int(p.PROGRAMS[EventKind.BATCH_RESULT])


@inlined
def text_put(raw, at, first, length):
    """Return the place after one of the laid out texts."""
    word_put(raw, at, word_get(p.TEXTS, first))
    word_put(raw, at + 8, word_get(p.TEXTS, first + 8))
    word_put(raw, at + 16, word_get(p.TEXTS, first + 16))
    if length > p.SHORT_BYTES:
        word_put(raw, at + 24, word_get(p.TEXTS, first + 24))
        word_put(raw, at + 32, word_get(p.TEXTS, first + 32))
        word_put(raw, at + 40, word_get(p.TEXTS, first + 40))
    return at + length


@inlined
def fixed_put(raw, at, text):
    """Return the place after one of the few texts that belong to no step."""
    return text_put(raw, at, p.FIXED[text, 0], p.FIXED[text, 1])


@inlined
def swapped(word):
    """Return a word with its bytes the other way round; the first byte is below 128."""
    return (
        (word >> 56 & 0xFF)
        | (word >> 40 & 0xFF00)
        | (word >> 24 & 0xFF0000)
        | (word >> 8 & 0xFF000000)
        | (word & 0xFF000000) << 8
        | (word & 0xFF0000) << 24
        | (word & 0xFF00) << 40
        | (word & 0x7F) << 56
    )


@inlined
def hex_eight(half):
    """Return the eight hex digits of a number below 2³² as a word of text."""
    spread = (half | half << 16) & 0x0000FFFF0000FFFF
    spread = (spread | spread << 8) & 0x00FF00FF00FF00FF
    spread = swapped((spread | spread << 4) & 0x0F0F0F0F0F0F0F0F)
    letters = (spread + 0x0606060606060606) >> 4 & 0x0101010101010101
    return spread + ZEROS + letters * 39  # from behind '9' to 'a'


@kernel
def packed_length(rows, first, count):
    """Return how many characters a text packed into `count` words has, zeros at its end left out."""
    for index in range(count - 1, -1, -1):
        word = word_get(rows, first + 8 * index)
        if word != 0:
            length = 8 * (index + int64(1))
            while word & 0xFF == 0:
                length -= 1
                word >>= 8
            return length
    return int64(0)


@kernel
def packed_put(rows, first, count, raw, at):
    """Return the place after a packed text."""
    length = packed_length(rows, first, count)
    for index in range((length + 7) >> 3):
        word_put(raw, at + 8 * index, swapped(word_get(rows, first + 8 * index)))
    return at + length


@kernel
def counter_put(raw, at, counter, first, count):
    """Return the place after the name of a movement's other side."""
    if counter < 0:
        at = fixed_put(raw, at, p.T_POSITION)
        # The opposite of the lowest number is none; as text it would have no sign.
        return number_put(raw, at, -counter) if counter > -(2**63) else number_put(raw, at, counter)
    if counter < count:
        name = (first + counter) * p.NAME_BYTES
        length = word_get(p.NAMES, name + 8)
        if length >= 0:
            return text_put(raw, at, word_get(p.NAMES, name), length)
    return number_put(raw, fixed_put(raw, at, p.T_ACCOUNT), counter)


@kernel
def grids_put(scales, base, tick_e12, lot_e12):
    """Write the scales of one market's numbers."""
    scale_put(scales, base + S_TICK, tick_e12)
    scale_put(scales, base + S_LOT, lot_e12)
    scale_put(scales, base + S_AVERAGE, tick_e12 // GRID)
    scale_put(scales, base + S_HALF, tick_e12 // 2)


@kernel
def config_take(rows, event, scales, names):
    """Return whether a market's number is one; learn its name and its grids."""
    market = word_get(rows, event + MARKET)
    if market < 1 or (market + 1) * NAME_BYTES > len(names):
        return False
    for index in range(r.NAME_WORDS):
        word_put(names, market * NAME_BYTES + 8 * index, swapped(word_get(rows, event + CONFIG_NAME + 8 * index)))
    length = packed_length(rows, event + CONFIG_NAME, int64(r.NAME_WORDS))
    word_put(names, market * NAME_BYTES + NAME_LENGTH, length)
    scale_put(scales, int64(S_CONFIG_TICK), word_get(rows, event + CONFIG_TICK))
    scale_put(scales, int64(S_CONFIG_LOT), word_get(rows, event + CONFIG_LOT))
    return True


@inlined
def name_put(raw, at, code, first, count):
    """Return the place after a code's name, -1 when it has none."""
    if code < 0 or code >= count:
        return int64(-1)
    name = (first + code) * p.NAME_BYTES
    length = word_get(p.NAMES, name + 8)
    if length < 0:
        return int64(-1)
    return text_put(raw, at, word_get(p.NAMES, name), length)


@inlined
def market_put(raw, at, market, names):
    """Return the place after a market's name, which is empty when it is not known."""
    if market < 1 or (market + 1) * NAME_BYTES > len(names):
        return at
    for word in range(0, NAME_LENGTH, 8):
        word_put(raw, at + word, word_get(names, market * NAME_BYTES + word))
    return at + word_get(names, market * NAME_BYTES + NAME_LENGTH)


@inlined
def stepped_over(do, value, other):
    """Return whether the steps that follow are not walked."""
    if do == D_NOT:
        return value == other
    if do == D_IS:
        return value != other
    if do == D_ABOVE:
        return value <= other
    if do == D_BELOW:
        return value >= other
    return value & other == 0


@inlined
def event_put(rows, begin, raw, at, scales, names, results, results_count):
    """
    Return the place after one event's JSON, a batch's answer with its results; -1 when a code has no name.

    Shapes: rows uint8[n], the event at byte `begin`; raw uint8[b]; names uint8[m], NAME_BYTES a market; results the
            places of `results_count` results.
    """
    event, back, taken = begin, int64(0), int64(0)
    kind = word_get(rows, event + KIND)
    base = (word_get(rows, event + MARKET) & (MARKET_SLOTS - 1)) * MARKET_SCALES_BYTES
    if p.GRIDDED[kind] != 0:
        tick_e12, lot_e12 = word_get(rows, event + TICK_E12), word_get(rows, event + LOT_E12)
        if word_get(scales, base + S_TICK + STEP) != tick_e12 or word_get(scales, base + S_LOT + STEP) != lot_e12:
            grids_put(scales, base, tick_e12, lot_e12)
    next_step = p.PROGRAMS[kind]
    while True:
        step = next_step
        next_step += p.STEP_BYTES
        do, word = word_get(p.STEPS, step + p.DO), word_get(p.STEPS, step + p.WORD)
        value = word_get(rows, event + word)
        if value == 0 and word_get(p.STEPS, step + p.OPTIONAL) != 0:
            continue
        at = text_put(raw, at, word_get(p.STEPS, step + p.TEXT), word_get(p.STEPS, step + p.TEXT_BYTES))
        first, second = word_get(p.STEPS, step + p.FIRST), word_get(p.STEPS, step + p.SECOND)
        if do in (D_DECIMAL, D_EXACT, D_STEP):
            scale = first + (second & base)
            if do == D_STEP:
                value = int64(1)
            elif do == D_EXACT and value // GRID * GRID == value:
                value //= GRID
            elif do == D_EXACT:
                scale = S_AVERAGE + base
            at = decimal_put(raw, at, value, scales, scale)
        elif do in (D_NUMBER, D_THOUSANDTH):
            at = number_put(raw, at, value if do == D_NUMBER else value // 1_000)
            continue
        elif do == D_NAME:
            at = name_put(raw, at, value, first, second)
            if at < 0:
                return at
            continue
        elif do == D_MARKET:
            at = market_put(raw, at, value, names)
        elif do >= D_IS:
            next_step += second if stepped_over(do, value, first) else int64(0)
            continue
        elif do == D_HEX:
            word_put(raw, at, hex_eight(value >> 32 & 0xFFFFFFFF))
            word_put(raw, at + 8, hex_eight(value & 0xFFFFFFFF))
            at += 16
            continue
        elif do == D_END:
            return at
        elif do == D_TEXT or (do == D_RESULTS and results_count == 0):
            continue
        elif do == D_RESULTS:
            at = fixed_put(raw, at, p.T_RESULTS)
            event, back, taken, next_step = results[0], next_step, int64(1), int64(RESULT_PROGRAM)
            continue
        elif do == D_RESULT_END:
            more = taken < results_count
            word_put(raw, at, COMMA if more else CLOSING)
            at += 1
            event, next_step = (results[taken], int64(RESULT_PROGRAM)) if more else (begin, back)
            taken += 1
            continue
        elif do == D_CONFIG:
            if not config_take(rows, event, scales, names):
                return int64(-1)
            continue
        elif do == D_COUNTER:
            at = counter_put(raw, at, value, first, second)
        else:
            at = packed_put(rows, event + word, int64(r.CLIENT_ID_WORDS), raw, at)
        word_put(raw, at, QUOTE)
        at += 1
