-- 024_clones.sql - two machines that answer with one server's key are shown while they do.

-- Both are put aside (PROTOCOL section 4), so neither says anything of itself. The leader extends the time as long as both knock; what
-- it does not end itself, because it stopped, ends by the clock.
ALTER TABLE server ADD COLUMN clone_since timestamptz, ADD COLUMN clone_until timestamptz,
    ADD COLUMN clone_addresses text[] NOT NULL DEFAULT '{}' CHECK (cardinality(clone_addresses) <= 2);
COMMENT ON COLUMN server.clone_until IS 'until then two agents that hold its key count as there; in the past or NULL: there is one at most';
COMMENT ON COLUMN server.clone_addresses IS 'where the two came from when they were noticed';
