-- Watched branches, and which of them a run is of.

CREATE TABLE branch (
    forge      TEXT NOT NULL,
    repository INTEGER NOT NULL,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (forge, repository, name)
) STRICT;

ALTER TABLE run ADD COLUMN branch TEXT;
CREATE INDEX run_by_branch ON run (forge, repository, branch, id) WHERE branch IS NOT NULL;
