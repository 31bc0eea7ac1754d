-- 020_checks.sql - what the local check of a server says, in its own words.

ALTER TABLE server_scope
    ADD COLUMN check_failing   text NOT NULL DEFAULT '', -- what the check said when it failed; '': it passes
    ADD COLUMN check_failed_at timestamptz;
CREATE INDEX server_scope_check_failing ON server_scope (scope_id) WHERE check_failing <> '';
