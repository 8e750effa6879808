"""engine/core/orders.py: what a live order is counted among."""

from typing import Any

import numpy as np
import pytest

from engine.core import kernel, orders, state, tables
from engine.core.limits import ROW_NONE
from shared.codes import OrderStatus

ORDER_ROW, POSITION_ROW = 5, 7


@kernel.entry
def counted(states: Any, position_id: int, step: int) -> None:
    """Count an order in or out while a position with this id is known."""
    if step > 0 and position_id != 0:
        tables.index_insert(states[0].positions_index, states[0].index_seed, position_id, 0, 0, POSITION_ROW)
    orders.order_count(states[0], ORDER_ROW, step)


@pytest.mark.parametrize(("position_id", "qty_lots", "bound"), [(0, 4, 0), (1, 4, 1), (100, 4, 1), (100, 0, 0)])
def test_a_reduce_only_order_is_counted_with_its_position(position_id: int, qty_lots: int, bound: int) -> None:
    """With a size of its own it is bound to the position it names; an SL or TP, and one that names none, is not."""
    states = state.allocate()
    row = states.view(np.ndarray)[0]
    order = row["orders"][ORDER_ROW]
    order["account_id"], order["market_id"], order["status"] = 100, 1, OrderStatus.TRIGGER
    order["reduce_only"], order["position_id"], order["qty_lots"] = 1, position_id, qty_lots
    for step, expected in ((1, bound), (-1, 0)):
        counted(states, position_id, step)
        assert int(row["position_links"][POSITION_ROW]["bound"]) == expected
        assert int(row["position_links"][ROW_NONE]["bound"]) == 0
