"""The fault matrix: what can go wrong, what must happen then, and which tests do it on real servers."""

from typing import NamedTuple

HERE = "tests/faults/matrix/"
FAULTS = "tests/faults/"
SERVERS = "tests/integration/"


class Row(NamedTuple):
    """One fault."""

    name: str
    fault: str
    expected: str
    tests: tuple[str, ...]  # file and function, from the repository's root


def row(name: str, fault: str, expected: str, *tests: str) -> Row:
    """Return one row."""
    return Row(name, fault, expected, tests)


ROWS = [
    row(
        "engine.kill",
        "engine killed: idle, in a batch, after publishing, at every entry",
        "the next one recovers; events, hashes and answers are those of an engine that never stopped",
        f"{SERVERS}test_engine_shell.py::test_killed_again_and_again",
        f"{FAULTS}test_every_entry.py::test_killed_at_every_entry",
        f"{FAULTS}test_storm.py::test_a_storm_leaves_no_difference",
    ),
    row(
        "engine.failover",
        "leader killed under 2 000 entries a second, again and again, with a standby",
        "no outcome missing or double; events go on within a second or two",
        f"{FAULTS}test_failover.py::test_leader_killed_again_and_again",
    ),
    row(
        "engine.zombie_leader",
        "leading engine asleep for 0.2–7 s; its standby takes over; it wakes",
        "one leader a term; the sleeper publishes nothing new and follows",
        f"{HERE}test_m_engine.py::test_zombie_leader",
        f"{SERVERS}test_engine_shell.py::test_second_engine_stands_by_and_takes_over",
    ),
    row(
        "engine.all_dead",
        "every engine killed; the log goes on for 30 s",
        "whoever comes back answers all of it, once",
        f"{HERE}test_m_engine.py::test_all_dead",
    ),
    row(
        "engine.behind_trim",
        "a standby slept while the log was trimmed past it",
        "it reads the archive; without one it ends, starts from a newer snapshot and is equal",
        f"{HERE}test_m_persister.py::test_standbys_behind_the_trim",
    ),
    row(
        "engine.two_candidates",
        "two standbys try at once; the leader's key deleted",
        "the later `lead` leads; nothing twice",
        f"{HERE}test_m_engine.py::test_two_candidates",
        f"{HERE}test_m_engine.py::test_leader_key_deleted",
    ),
    row(
        "redis.kill",
        "Redis killed under load, and in the middle of rewriting its file",
        "nothing acknowledged is lost; the engine goes on where it was",
        f"{HERE}test_m_redis.py::test_killed_in_a_rewrite",
        f"{SERVERS}test_engine_shell.py::test_redis_killed_under_load",
    ),
    row(
        "redis.power",
        "power cut: Redis killed, its files cut to what had been synchronised",
        "nothing acknowledged is lost",
        f"{HERE}test_m_disk.py::test_power_cut",
    ),
    row(
        "redis.torn",
        "the file's end torn at any byte of its last batch",
        "it starts; the batch is gone whole, everything before it is there",
        f"{HERE}test_m_redis.py::test_torn_tail",
    ),
    row(
        "redis.slow_disk",
        "disk slow: 20 ms – 3 s a synchronisation",
        "late answers, no other leader, nothing lost",
        f"{HERE}test_m_disk.py::test_slow_disk",
    ),
    row(
        "redis.failing_disk",
        "disk fails to synchronise (EIO)",
        "Redis ends before it answers; 503 meanwhile; on a good disk everything acknowledged is there",
        f"{HERE}test_m_disk.py::test_failing_disk",
        f"{FAULTS}test_outages.py::test_redis_down",
    ),
    row(
        "redis.full_disk",
        "disk full under Redis",
        "Redis ends before it answers; with room again everything acknowledged is there",
        f"{HERE}test_m_disk.py::test_full_disk",
    ),
    row(
        "redis.bit_flip",
        "one bit of the file's structure flipped; zeros at its end",
        "Redis refuses to start; the console says so in its words",
        f"{HERE}test_m_redis.py::test_damaged_file",
        f"{HERE}test_m_redis.py::test_damaged_file_is_said",
    ),
    row(
        "redis.changed_digit",
        "one digit changed inside an entry that a snapshot stands on",
        "Redis loads it silently; the engine refuses by the entry's digest; `log restore` mends it",
        f"{HERE}test_m_redis.py::test_changed_digit",
        f"{FAULTS}test_disasters.py::test_archive_mends_what_redis_lost",
    ),
    row(
        "redis.states",
        "memory full between two batches; LOADING; READONLY",
        "certainly not applied, 503; no hole afterwards",
        f"{HERE}test_m_redis.py::test_loading",
        f"{HERE}test_m_redis.py::test_read_only",
        f"{SERVERS}test_engine_shell.py::test_full_memory_loses_nothing",
        f"{SERVERS}test_stream_guards.py::test_full_memory_is_refused",
    ),
    row(
        "redis.hang",
        "Redis hangs for seconds",
        "503 or 202 UNKNOWN, true and resolved; nothing executed late",
        f"{FAULTS}test_outages.py::test_redis_down",
        f"{SERVERS}test_stream_hung.py::test_orders_of_a_hang_are_not_executed_late",
        f"{SERVERS}test_gateway.py::test_redis_frozen_is_unknown_and_is_resolved",
    ),
    row(
        "clock.redis",
        "Redis's clock off by an hour or a day",
        "CLOCK_SKEW, nothing appended; right again, all goes on",
        f"{HERE}test_m_disk.py::test_clock_of_redis",
    ),
    row(
        "clock.producer",
        "one producer's clock off by an hour or a day; one entry stamped a day off",
        "that producer is refused by name, the others go on; log time does not follow",
        f"{HERE}test_m_disk.py::test_clock_of_one_producer",
        f"{HERE}test_m_disk.py::test_absurd_time_of_an_entry",
        f"{SERVERS}test_stream_guards.py::test_clock_apart_is_refused",
    ),
    row(
        "network.weather",
        "cut, delayed by 300 ms, half-closed, deaf, swallowing, refusing, byte by byte",
        "bounded; the venue goes on by itself; nothing twice",
        f"{HERE}test_m_proxy.py::test_bad_weather",
        f"{HERE}test_m_proxy.py::test_reply_in_single_bytes",
    ),
    row(
        "network.lost",
        "request lost, reply lost, cut in the middle of a batch",
        "a batch is whole or not there; unanswered is unknown; one execution",
        f"{HERE}test_m_proxy.py::test_lost_while_publishing",
        f"{HERE}test_m_proxy.py::test_producers_batch",
        f"{SERVERS}test_streams.py::test_lost_answer_is_unknown",
        f"{SERVERS}test_streams.py::test_publish_after_a_loss_looks_first",
    ),
    row(
        "disaster.live",
        "under a live engine: FLUSHALL, DEL of log or events, XDEL, XSETID, Redis's files from before put back",
        "refused within its next look (3 s), in three places; no restart leads on; nobody appends",
        f"{HERE}test_m_disaster.py::test_live_engine_refuses",
        f"{SERVERS}test_gateway.py::test_the_process_ends_when_its_venue_is_lost",
        f"{SERVERS}test_poller_kills.py::test_a_cut_log_is_refused",
    ),
    row(
        "disaster.mended",
        "each of these, then the command that the venue printed",
        "`log restore` brings back what the archive holds and states what nobody holds; all checks hold",
        f"{FAULTS}test_disasters.py::test_archive_mends_what_redis_lost",
        f"{FAULTS}test_disasters.py::test_what_nobody_holds_is_stated_as_lost",
    ),
    row(
        "disaster.trimmed_too_far",
        "log trimmed beyond every snapshot",
        "read from the archive; without one refused with its numbers",
        f"{HERE}test_m_disaster.py::test_trimmed_too_far",
        f"{HERE}test_m_persister.py::test_standbys_behind_the_trim",
    ),
    row(
        "disaster.refounded",
        "Redis emptied and founded anew under processes that sleep",
        "each ends or refuses; none touches the new venue",
        f"{HERE}test_m_disaster.py::test_refounded_under_sleepers",
        f"{SERVERS}test_poller_kills.py::test_another_venue_ends_the_poller",
        f"{SERVERS}test_persister_process.py::test_process_leaves_another_venue",
    ),
    row(
        "disaster.back_in_time",
        "Postgres restored from before; Redis restored from before",
        "history refuses, `derive` makes it whole; the engine refuses, `log restore` makes it whole",
        f"{FAULTS}test_disasters.py::test_history_is_derived_again",
        f"{FAULTS}test_disasters.py::test_redis_restored_from_before",
        f"{HERE}test_m_disaster.py::test_live_engine_refuses",
    ),
    row(
        "postgres.down",
        "Postgres hung, killed, away",
        "trading goes on at its pace, an engine restarts from its file; history says 503 and catches up",
        f"{FAULTS}test_outages.py::test_postgres_down",
        f"{SERVERS}test_engine_shell.py::test_hung_postgres_delays_nothing",
    ),
    row(
        "postgres.commit",
        "backends terminated, a COMMIT's answer lost",
        "every row once",
        f"{HERE}test_m_persister.py::test_backends_terminated",
        f"{SERVERS}test_history.py::test_commit_whose_answer_is_lost",
    ),
    row(
        "persister.kill",
        "persister killed before and after its COMMIT, at any moment",
        "every row once; the archive is the log",
        f"{SERVERS}test_history.py::test_killed_between_insert_and_commit",
        f"{SERVERS}test_archiver_process.py::test_a_persister_may_die_at_any_moment",
        f"{HERE}test_m_persister.py::test_two_persisters_sleep_and_die",
    ),
    row(
        "persister.two",
        "two persisters, one asleep over moves of the cursor",
        "every row once; the second archiver waits",
        f"{HERE}test_m_persister.py::test_two_persisters_sleep_and_die",
        f"{SERVERS}test_history.py::test_stale_cursor_writes_nothing",
        f"{SERVERS}test_archiver.py::test_the_second_archiver_waits_for_the_first",
    ),
    row(
        "persister.zombie_trimmer",
        "a trimmer that slept while another venue, a refusal or a restore came",
        "it takes nothing from anybody",
        f"{HERE}test_m_persister.py::test_trimmer_that_slept",
        f"{SERVERS}test_trimming.py::test_a_zombie_trims_nothing",
    ),
    row(
        "archive",
        "archive's disk full; a byte changed; its writer killed in a frame",
        "trading goes on, nothing is trimmed, it is said; damage names file and line; no entry missing",
        f"{HERE}test_m_persister.py::test_archive_disk_full",
        f"{SERVERS}test_archiver.py::test_damage_is_said_and_nothing_is_written_behind_it",
        f"{SERVERS}test_archiver.py::test_a_full_disk_is_waited_for_and_said",
    ),
    row(
        "snapshot.damaged",
        "newest snapshot damaged in fourteen ways, in its file and in its rows",
        "the next good one serves, by name; the same hash at the log's end",
        f"{HERE}test_m_snapshot.py::test_damaged_file",
        f"{HERE}test_m_snapshot.py::test_damaged_rows",
        f"{HERE}test_m_snapshot.py::test_other_order_of_keys",
    ),
    row(
        "snapshot.newer",
        "newest snapshot of newer rules; a stale engine writes one",
        "the start is refused, naming the rules; the row only moves forward",
        f"{HERE}test_m_snapshot.py::test_newer_rules",
        f"{SERVERS}test_engine_rows.py::test_row_only_moves_forward",
    ),
    row(
        "feed.poison",
        "every wrong entry of the corpus in the live log",
        "counted by name; nobody stops; nothing changes",
        f"{FAULTS}test_bad_input_live.py::test_every_wrong_entry_is_named",
        f"{FAULTS}test_bad_input_live.py::test_every_wrong_request_is_named",
    ),
    row(
        "feed.hostile",
        "absurd prices: nought, crossed, spikes, false marks, old update ids",
        "nobody is liquidated at a price not accepted; money conserved",
        f"{FAULTS}test_selloff.py::test_synthetic_selloff",
        f"{SERVERS}test_poller.py::test_garbage_in_every_frame_form_is_survived",
    ),
    row(
        "feed.silent",
        "poller asleep for 8 s, dead; killed; its server half open",
        "PRICE_STALE, then trading again by itself; no quote lost or twice",
        f"{HERE}test_m_venue.py::test_poller_silent",
        f"{SERVERS}test_poller_kills.py::test_kills_lose_no_quote",
        f"{SERVERS}test_poller.py::test_half_open_server_is_left",
    ),
    row(
        "feed.zombie_poller",
        "a poller that slept finds another in its place; its log was replaced",
        "one price, in order; a replaced log is refused",
        f"{HERE}test_m_venue.py::test_two_pollers",
        f"{SERVERS}test_poller_kills.py::test_a_replaced_log_is_refused_by_a_poller_that_slept",
    ),
    row(
        "gateway.kill",
        "gateway killed with requests in flight; sent again under their keys",
        "each is executed once",
        f"{HERE}test_m_venue.py::test_gateway_killed_in_flight",
    ),
    row(
        "gateway.retries",
        "one request fifty times at once under one key",
        "one execution; everybody hears of the same",
        f"{HERE}test_m_venue.py::test_fifty_retries_of_one_request",
    ),
    row(
        "gateway.slow_client",
        "a thousand idle sockets, clients that never read, bytes that are no HTTP",
        "nobody else is delayed; dropped in time",
        f"{HERE}test_m_venue.py::test_slow_and_idle_clients",
        f"{FAULTS}test_bad_input_live.py::test_what_is_not_even_http",
    ),
    row(
        "upgrade",
        "an engine of other rules joins, under load; a build that repairs a fault keeps its number",
        "border snapshot, exit 79; no instruction lost; old hashes verify before the border",
        f"{FAULTS}test_upgrade.py::test_new_build_takes_over_beside_the_old_one",
        f"{FAULTS}test_upgrade.py::test_drain_writes_the_border_of_a_build_that_is_gone",
    ),
    row(
        "replay.hash_seeds",
        "one log under other hash seeds and Pythons, restored at every tenth entry",
        "the same events and hashes",
        f"{HERE}test_m_replay.py::test_hash_seeds_and_restores",
    ),
    row(
        "run.two_supervisors",
        "two supervisors on one data folder; the supervisor killed",
        "the second says who runs it; nothing is left behind",
        f"{SERVERS}test_run.py::test_the_link_signs_in_and_kills_are_survived",
        f"{SERVERS}test_run.py::test_a_killed_supervisor_leaves_nothing_behind",
        f"{SERVERS}test_run.py::test_two_servers_never_share_a_folder",
    ),
]
