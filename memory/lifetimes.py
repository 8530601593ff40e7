"""How long keys live, as far as it is not the caller who says so; docs/redis-keys.md has the table.

A caller may have a session kept for up to `MAX_TTL_S` of memory/records/limits.py.
"""

SESSION_TTL_S = 24 * 3600
"""A session after its last use where nobody says otherwise: a user who comes back the next day."""

UNTIL_ERASED_S = 100 * 365 * 24 * 3600
"""A session that is kept until it is erased: a century after its last use. As a TTL, every rule of
TTLs holds for it too: a longer one stays, and another one may be given."""

ARCHIVE_HOLD_S = 1000 * 365 * 24 * 3600
"""Added to a history's TTL where there is an archive, so that no outage of it loses anything. What
is left of the TTL beyond this is the time that was promised. clean.lua, delay.lua, end_job.lua,
extend.lua and intake.lua have it."""

DEDUPE_MS = 7 * 24 * 3600 * 1000
"""The mark of a done job, and what goes with it: longer than any message is delivered again."""

RENEWED_MS = 3600 * 1000
"""So much longer lives what each step of a turn renews: then it is written once in that time.
keep_history.lua, fail.lua, renew.lua and sweep.lua have it."""

DEAD_MS = 30 * 24 * 3600 * 1000
"""A dead letter: time for somebody to see it and send it again."""

WRITE_IDS_MS = 10 * 60 * 1000
"""The id of a write: longer than any command is sent again. memory/redis/lua/once.lua has it."""

SLOTS_TTL_MS = 24 * 3600 * 1000
"""What a model's slots need: longer than any wait for one; unused models go by themselves."""

ANSWERED_MS = 25 * 3600 * 1000
"""The note that a model answers: longer than LLM_TOTAL_TIMEOUT, which is a day at most."""

OUTAGE_TTL_MS = 2 * 24 * 3600 * 1000
"""What is known of a server that is away: each look renews it."""

SUMMARY_CLAIM_MS = 10 * 60 * 1000
"""The claim on a summary: of one that is never made nothing stays."""

SUMMARY_LOCK_MS = 5000
"""The summary lock: so soon does another worker make summaries when the holder has died."""

QUEUE_WAIT_TTL_MS = 60 * 1000
"""How long wake-ups wait in the queue: what was true a minute ago says nothing of now."""

AUDIT_MS = 365 * 24 * 3600 * 1000
"""The record of who did what, after the last of it: as long as most are asked for it."""

WEBHOOK_MS = DEAD_MS + DEDUPE_MS
"""The webhooks, after the last that was noted or failed: longer than any is tried or a letter."""

WATCH_MS = 10 * 1000
"""That somebody looks at the workers: a console says it every two seconds."""

REPORT_MS = 15 * 1000
"""What a worker says of itself, every two seconds while somebody looks."""

ADMISSION_MS = 60 * 1000
"""A job that is charged and not taken in yet: longer than a producer waits for Redis' answers."""

EMBEDDING_MS = 60 * 1000
"""Vectors that nobody fetches: who asked looks for them many times a second."""

PENDING_MS = DEDUPE_MS
"""The note that a job is pending: as long as the mark by which a done job is known."""

UPKEEP_TTL_S = 24 * 3600
"""Where a task of upkeep goes on: the longest time between two of its runs is as long."""

ARCHIVE_LOCK_MS = 5 * 60 * 1000
"""The right to archive: longer than any step, which renews it; so soon does another one go on."""
