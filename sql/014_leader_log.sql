-- 014_leader_log.sql - how far the writes of a leadership have come, so that a lost answer is no lost leadership.
-- Every transaction of a leader moves this row on, first thing. Whoever does not know whether its
-- COMMIT arrived tries again: when the row stands where that try would put it, it did arrive.
-- Not in the leader's row: renewing the lease must not wait for a transaction.

CREATE TABLE leader_log (
    is_only boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_only),
    gen     integer NOT NULL DEFAULT 0,
    epoch   bigint  NOT NULL DEFAULT 0,
    seq     bigint  NOT NULL DEFAULT 0 -- transactions of that epoch, counted by who holds it
) WITH (fillfactor = 10); -- rewritten all the time: room for it in its own page
INSERT INTO leader_log DEFAULT VALUES;
