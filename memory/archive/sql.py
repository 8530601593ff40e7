"""The tables of the archive, and what is asked of them more than in passing, for every store.

A conversation is one history of a session: a new one begins where the old one was cleared or
replaced. `place` counts the messages of a conversation from its first one.
"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id {number} PRIMARY KEY {counted},
    history TEXT NOT NULL,
    generation TEXT NOT NULL,
    agent TEXT NOT NULL,
    session TEXT NOT NULL,
    written_ms BIGINT NOT NULL,
    summary {bytes} NOT NULL,
    until {bytes} NOT NULL,
    UNIQUE (history, generation)
);
CREATE TABLE IF NOT EXISTS messages (
    conversation BIGINT NOT NULL,
    place BIGINT NOT NULL,
    record {bytes} NOT NULL,
    PRIMARY KEY (conversation, place)
){by_key};
CREATE TABLE IF NOT EXISTS users (
    "user" TEXT NOT NULL,
    conversation BIGINT NOT NULL,
    PRIMARY KEY ("user", conversation)
){by_key};
CREATE INDEX IF NOT EXISTS users_of ON users (conversation);
"""
CONVERSATION = """
INSERT INTO conversations (history, generation, agent, session, written_ms, summary, until)
VALUES (:history, :generation, :agent, :session, :now_ms, :text, :until)
ON CONFLICT (history, generation) DO UPDATE
SET written_ms = excluded.written_ms, summary = excluded.summary, until = excluded.until
RETURNING id
"""
MESSAGE = """
INSERT INTO messages (conversation, place, record) VALUES (:conversation, :place, :record)
ON CONFLICT (conversation, place) DO UPDATE SET record = excluded.record
"""
USER = """
INSERT INTO users ("user", conversation) VALUES (:user, :conversation) ON CONFLICT DO NOTHING
"""
REST = "DELETE FROM messages WHERE conversation = :conversation AND place >= :place"
NEWEST = """
SELECT id, generation, summary, until FROM conversations WHERE history = :history
ORDER BY id DESC LIMIT 1
"""
LAST = """
SELECT place, record FROM messages WHERE conversation = :conversation AND place < :before
ORDER BY place DESC LIMIT :at_most
"""
EVERY = """
SELECT record FROM messages JOIN conversations ON id = conversation
WHERE history = :history AND NOT (generation = :but AND place >= :place)
ORDER BY conversation, place
"""
COUNT = """
SELECT count(*) FROM messages JOIN conversations ON id = conversation WHERE history = :history
"""
OLD = """
SELECT id FROM conversations
WHERE history = :history AND (generation <> :but OR CAST(:but AS TEXT) IS NULL)
"""
FORGET = (
    "DELETE FROM messages WHERE conversation = :old",
    "DELETE FROM users WHERE conversation = :old",
    "DELETE FROM conversations WHERE id = :old",
)
OF_USER = """
SELECT DISTINCT agent, session, EXISTS (
    SELECT 1 FROM users AS other WHERE other.conversation = id AND other."user" <> users."user"
) FROM users JOIN conversations ON id = conversation WHERE "user" = :user
"""
USERS_OF = """
SELECT DISTINCT "user" FROM users JOIN conversations ON id = conversation WHERE history = :history
"""
AGENTS_OF = "SELECT DISTINCT agent FROM conversations WHERE session = :session"
OF_AGENT = "SELECT DISTINCT session FROM conversations WHERE agent = :agent"
SESSIONS = """
SELECT session, (
    SELECT count(*) FROM messages JOIN conversations AS own ON own.id = conversation
    WHERE own.history = newest.history
), written_ms FROM (
    SELECT history, session, max(written_ms) AS written_ms FROM conversations
    WHERE agent = :agent GROUP BY history, session
    ORDER BY written_ms DESC, session LIMIT :most
) AS newest ORDER BY written_ms DESC, session
"""
PAGE = """
SELECT conversation, place, record, history FROM messages JOIN conversations ON id = conversation
WHERE (conversation, place) > (:conversation, :place) ORDER BY conversation, place LIMIT :most
"""
SWAP = """
UPDATE messages SET record = :new
WHERE conversation = :conversation AND place = :place AND record = :old
"""
SUMMARIES = "SELECT id, history, summary, until FROM conversations WHERE length(summary) > 0"
SWAP_SUMMARY = """
UPDATE conversations SET summary = :new_text, until = :new_until
WHERE id = :id AND summary = :text AND until = :until
"""
