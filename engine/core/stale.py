"""
Which accounts' bands no longer hold: a stack that the ledger writes and the bands empty.

No outcome depends on it: what is noted too often is only looked at once more.
"""

from engine.core.kernel import kernel


@kernel
def note(state, account_row):
    """Note that an account's cash, cross positions or due calls have changed; without a cross position nothing."""
    links = state.account_links[account_row]
    if links.stale == 0 and links.cross_markets != 0:
        links.stale = 1
        state.stale_rows[state.stale_count] = account_row
        state.stale_count += 1
