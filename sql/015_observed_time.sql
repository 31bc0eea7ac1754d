-- 015_observed_time.sql - time in which somebody led: what bakes and time-outs count, through every takeover.
-- A clock of the cluster that stands still while nobody leads. It goes on with each renewal of the
-- lease; what lies between the last one and a takeover was seen by nobody for certain and is not
-- counted. It is the time of the database, like the lease; who sets that forward gains a lease at most.

ALTER TABLE leader
    ADD COLUMN observed_ms bigint NOT NULL DEFAULT 0, -- up to seen_at
    ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now(); -- the last renewal or takeover

CREATE FUNCTION observed_now_ms() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT observed_ms + (extract(epoch FROM now() - seen_at) * 1000)::bigint FROM leader
$$;

-- When the present phase began, by that clock. A new attempt begins anew, and so does resuming
-- where answers are waited for: as in the leader's memory.
ALTER TABLE rollout ADD COLUMN phase_began_ms bigint NOT NULL DEFAULT 0;

CREATE FUNCTION rollout_phase_began() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.phase_began_ms := observed_now_ms();
    RETURN NEW;
END $$;
CREATE TRIGGER rollout_phase_began BEFORE UPDATE OF phase, attempt_number, is_paused ON rollout FOR EACH ROW
    WHEN (OLD.phase <> NEW.phase OR OLD.attempt_number <> NEW.attempt_number
          OR (OLD.is_paused AND NOT NEW.is_paused AND NEW.phase IN ('preparing', 'deciding', 'activating')))
    EXECUTE FUNCTION rollout_phase_began();

-- Rollouts under way at the upgrade have all their time before them, as at a takeover so far.
UPDATE rollout SET phase_began_ms = observed_now_ms() WHERE state IN ('running', 'rolling_back');
