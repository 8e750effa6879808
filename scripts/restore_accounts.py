"""
Who may act for an account after a restoration: an account that was lost is nobody's, and its number is given out again.

A token or a key that names such a number would act for whoever gets it next. So sessions and keys beyond the accounts
that certainly are those of before are revoked, and people beyond them are parted from theirs: signing in asks the
venue, which gives each owner their own.
"""

from engine import core
from scripts.restore_plan import Plan
from scripts.restore_replay import machine_at, outputs_derive
from shared.database import Statements

SESSIONS_REVOKE = "UPDATE sessions SET revoked_us = $3 WHERE venue = $1 AND account_id > $2 AND revoked_us IS NULL"
KEYS_REVOKE = "UPDATE api_keys SET revoked_us = $3 WHERE venue = $1 AND account_id > $2 AND revoked_us IS NULL"
USERS_PART = "UPDATE users SET account_id = NULL WHERE venue = $1 AND account_id > $2"


def account_kept(plan: Plan) -> int:
    """
    Return the largest account of which nobody else can ever have held the number.

    Where the log went another way, that is the last one opened before it did; 0 when that moment lies before the
    snapshot, so that everybody signs in again.
    """
    branched = plan.walk.differs > 1 or plan.bases_false or plan.survey.restore_from
    last_seq = min(plan.kept_to, plan.changed_seq - 1) if branched and plan.changed_seq else plan.kept_to
    base_seq = plan.base.seq if plan.base is not None else 0
    if last_seq < base_seq:
        return 0
    machine = machine_at(plan.base)
    for _ in outputs_derive(machine, plan.holdings.read_to(base_seq + 1, last_seq), lambda _count: None, []):
        pass
    return max((int(row["account_id"]) for row in core.accounts_of(machine.states)), default=0)


async def sessions_end(statements: Statements, venue: str, account_id: int, time_us: int) -> int:
    """Revoke every session and key and part every person beyond an account; return how many sessions that were."""
    await statements.execute(USERS_PART, venue, account_id)
    await statements.execute(KEYS_REVOKE, venue, account_id, time_us)
    return await statements.execute(SESSIONS_REVOKE, venue, account_id, time_us)
