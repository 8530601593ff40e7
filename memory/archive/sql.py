"""The tables of the archive, and what is asked of them more than in passing.

A conversation is one history of a session: a new one begins where the old one was cleared or
replaced. `place` counts the messages of a conversation from its first one.
"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    history TEXT NOT NULL,
    generation TEXT NOT NULL,
    agent TEXT NOT NULL,
    session TEXT NOT NULL,
    written_ms INTEGER NOT NULL,
    summary BLOB NOT NULL,
    until BLOB NOT NULL,
    UNIQUE (history, generation)
);
CREATE TABLE IF NOT EXISTS messages (
    conversation INTEGER NOT NULL,
    place INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (conversation, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS users (
    user TEXT NOT NULL,
    conversation INTEGER NOT NULL,
    PRIMARY KEY (user, conversation)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS users_of ON users (conversation);
"""
CONVERSATION = """
INSERT INTO conversations (history, generation, agent, session, written_ms, summary, until)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (history, generation) DO UPDATE
SET written_ms = excluded.written_ms, summary = excluded.summary, until = excluded.until
RETURNING id
"""
MESSAGE = """
INSERT INTO messages (conversation, place, record) VALUES (?, ?, ?)
ON CONFLICT (conversation, place) DO UPDATE SET record = excluded.record
"""
NEWEST = """
SELECT id, generation, summary, until FROM conversations WHERE history = ? ORDER BY id DESC LIMIT 1
"""
PAGE = """
SELECT conversation, place, record, history FROM messages JOIN conversations ON id = conversation
WHERE (conversation, place) > (?, ?) ORDER BY conversation, place LIMIT ?
"""
