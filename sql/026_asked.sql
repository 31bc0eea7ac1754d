-- 026_asked.sql - which attempts asked a member: an acknowledgement of any other one is none.

-- A retry may ask some members of a stage and not others; the newest attempt alone does not tell.
ALTER TABLE member ADD COLUMN asked bigint[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN member.asked IS 'numbers of the attempts that asked it, in their order';

-- Of rollouts from before it is not known: all that may have asked it.
UPDATE member AS m SET asked = ARRAY(SELECT t.number FROM attempt AS t
    WHERE t.rollout_id = m.rollout_id AND t.stage >= m.stage AND t.number <= m.attempt_number
    ORDER BY t.number);
