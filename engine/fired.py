"""Which prices fired a trigger, for the time that passes until the events say so; compiled: all events are passed."""

from numpy import int64

from engine.core.kernel import entry
from shared.codes import EventKind
from shared.wire_events_text import AT

SEQ, LOG_TIME, KIND = AT["seq"], AT["log_time_us"], AT["kind"]
ANSWER, FIRED = int(EventKind.ORDER_RESPONSE), int(EventKind.TRIGGER_FIRED)


@entry
def fired_find(words, count, found):
    """
    Return how many of the entries behind these events are prices that fired a trigger, as many as there is room for.

    Shapes: words int64[n, EVENT_WORDS], n >= count; found int64[m, 2]. What answers an instruction is no price's
    doing, and its first event is the answer. Writes: the seq and the log time of each.
    """
    found_count, seq, passed = int64(0), int64(-1), True
    for index in range(count):
        if words[index][SEQ] != seq:
            seq, passed = words[index][SEQ], words[index][KIND] == ANSWER
        if not passed and words[index][KIND] == FIRED and found_count < len(found):
            found[found_count][0], found[found_count][1] = seq, words[index][LOG_TIME]
            found_count, passed = found_count + 1, True
    return found_count
