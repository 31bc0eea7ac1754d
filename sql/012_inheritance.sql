-- 012_inheritance.sql - who let the secrets of a parent come down to a child, and when.
-- The right is asked again at every revision that a parent's change makes: a grant ends with the token that gave it.

ALTER TABLE scope_parent
    ADD COLUMN granted_by   text, -- token_id of whoever named the parent with the right to read its secrets; '': nobody;
                                  -- NULL: named before grants were kept, and then good within one environment
    ADD COLUMN granted_name text NOT NULL DEFAULT '',
    ADD COLUMN granted_at   timestamptz;
