-- What runs leave for later runs: environments, and which results were had under which identity.

CREATE TABLE environment (
    run      INTEGER PRIMARY KEY,  -- the run that made it
    document TEXT NOT NULL
) STRICT;

CREATE TABLE kept_result (
    key          TEXT NOT NULL,    -- identity of the test
    run          INTEGER NOT NULL,
    tier         TEXT NOT NULL,
    name         TEXT NOT NULL,
    place        TEXT NOT NULL,
    is_untrusted INTEGER NOT NULL,
    document     TEXT NOT NULL,
    PRIMARY KEY (key, run, tier, name)
) STRICT;
CREATE INDEX kept_result_by_name ON kept_result (place, tier, name, run);
