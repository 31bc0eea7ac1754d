-- 018_standing.sql - what was taken back no longer stands on anything.

-- Does what a completed rollout changed still count? Not when a completed way back took it back, unless
-- that one was taken back itself.
CREATE FUNCTION rollout_stands(p_rollout bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (SELECT 1 FROM rollout AS b WHERE b.reverts = p_rollout AND b.state = 'completed'
        AND rollout_stands(b.rollout_id));
END $$;
CREATE INDEX rollout_by_reverted ON rollout (reverts) WHERE reverts IS NOT NULL;
