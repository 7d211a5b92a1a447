-- Why an action that is tried again did not succeed: people look for it where it is shown that it did not.

ALTER TABLE outbox ADD COLUMN fault TEXT;
