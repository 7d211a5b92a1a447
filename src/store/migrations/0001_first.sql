-- One document per aggregate, in docent's own words; columns only for what is searched or ordered by.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE poll (
    forge    TEXT PRIMARY KEY,
    cursor   TEXT,             -- moves only after all that the poll showed is recorded
    last     TEXT,             -- how the last poll went, for people
    began_at INTEGER NOT NULL  -- milliseconds since 1970, as all times here
) STRICT;

CREATE TABLE repository (
    forge    TEXT NOT NULL,
    name     TEXT NOT NULL,    -- as configured
    document TEXT NOT NULL,
    PRIMARY KEY (forge, name)
) STRICT;

CREATE TABLE pull (
    forge      TEXT NOT NULL,
    repository INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (forge, repository, number)
) STRICT;

CREATE TABLE comment (
    forge      TEXT NOT NULL,
    repository INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    number     INTEGER NOT NULL,
    pull       INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (forge, repository, kind, number)
) STRICT;
CREATE INDEX comment_by_pull ON comment (forge, repository, pull, seen_at);
CREATE INDEX comment_by_time ON comment (seen_at);

CREATE TABLE run (
    id         INTEGER PRIMARY KEY,
    is_ended   INTEGER NOT NULL,
    forge      TEXT,
    repository INTEGER,
    pull       INTEGER,
    document   TEXT NOT NULL
) STRICT;
CREATE INDEX run_by_end ON run (is_ended, id);
CREATE INDEX run_by_pull ON run (forge, repository, pull, id);

-- Append-only. Each digest covers the one before it, so that a changed row shows.
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    event    TEXT NOT NULL,
    change   TEXT NOT NULL,
    digest   TEXT NOT NULL
) STRICT;
CREATE TRIGGER journal_is_append_only BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TABLE outbox (
    key        TEXT PRIMARY KEY,
    action     TEXT NOT NULL,
    due_at     INTEGER NOT NULL,
    tries      INTEGER NOT NULL,
    generation INTEGER NOT NULL  -- random, new each time the action is asked for
) STRICT;
CREATE INDEX outbox_by_time ON outbox (due_at);

-- What people at the command line ask a running docent for.
CREATE TABLE inbox (
    id  INTEGER PRIMARY KEY,
    at  INTEGER NOT NULL,
    ask TEXT NOT NULL
) STRICT;
