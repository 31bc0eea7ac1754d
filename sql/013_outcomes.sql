-- 013_outcomes.sql - which outcome of a member is the newest, and whether it could not go back.

-- Outcomes of one server come in the order of their attempts, and within one attempt it may have applied and
-- gone back since. Twice the attempt, and one more when it failed there; 0: none since this column is there.
-- way_back_failed: it could not obey the ROLLBACK. Broken by an ACTIVATE, it may still obey that.
ALTER TABLE member
    ADD COLUMN outcome_rank bigint NOT NULL DEFAULT 0,
    ADD COLUMN way_back_failed boolean NOT NULL DEFAULT false;
UPDATE member AS m SET way_back_failed = true FROM rollout AS r WHERE r.rollout_id = m.rollout_id
    AND r.phase = 'rolling_back' AND m.state = 'failed' AND m.detail = 'broken';
UPDATE member AS m SET outcome_rank = 2 * m.attempt_number + (m.state = 'failed')::integer FROM rollout AS r
    WHERE r.rollout_id = m.rollout_id AND r.state IN ('running', 'rolling_back')
    AND (m.state = 'applied' OR (m.state = 'failed' AND m.detail IN ('activating', 'broken')));
UPDATE member SET is_unfit = false WHERE state = 'applied' AND is_unfit;
