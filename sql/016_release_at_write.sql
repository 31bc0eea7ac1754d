-- 016_release_at_write.sql - what readers get and what servers were told are two facts of a scope.
-- Where an environment releases by itself, a write is released in its own transaction and its rollout
-- brings the servers there: released is ahead of settled until that rollout is finalized.

ALTER TABLE scope ADD COLUMN settled bigint NOT NULL DEFAULT 0; -- the revision that the newest FINALIZE names
UPDATE scope SET settled = released;
ALTER TABLE scope ADD CHECK (settled <= released), ADD CHECK (oldest <= settled);
COMMENT ON COLUMN scope.released IS 'what readers of the configuration get';
COMMENT ON COLUMN scope.released_dseq IS 'the FINALIZE that settled it; 0: revision 0';

-- When a revision became what readers get; NULL: it never was.
ALTER TABLE revision ADD COLUMN released_at timestamptz;
UPDATE revision AS v SET released_at = coalesce(d.at, v.created_at) FROM (
    SELECT c.scope_id, c.to_revision, min(r.finished_at) AS at FROM rollout_change AS c JOIN rollout AS r USING (rollout_id)
    WHERE r.state = 'completed' GROUP BY 1, 2) AS d WHERE v.scope_id = d.scope_id AND v.revision = d.to_revision;

DROP INDEX scope_unreleased;
CREATE INDEX scope_unsettled ON scope (scope_id) WHERE head > settled;

-- Release a revision to readers, and tell subscribers: inside a transaction that holds the scope.
-- An older one than the released one changes nothing: what readers get only grows.
CREATE FUNCTION scope_release(p_scope bigint, p_revision bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_config_changed(s.scope_id, s.released, p_revision) FROM scope AS s
        WHERE s.scope_id = p_scope AND s.released < p_revision;
    UPDATE scope SET released = p_revision WHERE scope_id = p_scope AND released < p_revision;
    UPDATE revision SET released_at = now() WHERE scope_id = p_scope AND revision = p_revision AND released_at IS NULL;
END $$;

-- Approvals are for what servers were told, and so is the floor of what is kept.
CREATE OR REPLACE FUNCTION rollout_base(p_rollout bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(s.scope_id || '@' || s.settled, ',' ORDER BY s.scope_id)
        FROM rollout_change AS c JOIN scope AS s USING (scope_id) WHERE c.rollout_id = p_rollout
$$;
CREATE OR REPLACE FUNCTION retention_floor(p_scope bigint, p_before timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT least(s.settled,
        (SELECT min(r.revision) FROM revision AS r WHERE r.scope_id = p_scope AND r.created_at >= p_before),
        (SELECT min(v.revision) FROM server_scope AS v WHERE v.scope_id = p_scope AND v.revision > 0),
        (SELECT min(n.revision) FROM rollout_change AS c JOIN rollout AS r USING (rollout_id),
            unnest(ARRAY[c.from_revision, c.to_revision]) AS n (revision) WHERE c.scope_id = p_scope AND n.revision > 0
            AND (r.state NOT IN ('completed', 'aborted', 'rolled_back', 'rejected', 'failed')
                 OR r.rollout_id = (SELECT max(l.rollout_id) FROM rollout_change AS l WHERE l.scope_id = p_scope))))
        FROM scope AS s WHERE s.scope_id = p_scope
$$;

-- Was the change itself found wanting? Somebody tried it and it did not go well, or a person took it
-- back. The rest of what did not complete ended because nobody was there: that says nothing about the
-- change. Judged once, when a rollout ends; what servers say later is about the way back.
ALTER TABLE rollout ADD COLUMN is_refused boolean NOT NULL DEFAULT false;
UPDATE rollout SET is_refused = true WHERE state IN ('aborted', 'rolled_back', 'failed');
CREATE FUNCTION rollout_judge_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_refused := NEW.state IN ('aborted', 'rolled_back', 'failed') AND (
        EXISTS (SELECT 1 FROM member AS m LEFT JOIN attempt AS a ON a.number = m.attempt_number WHERE m.rollout_id = NEW.rollout_id
            AND (m.state IN ('applied', 'failed') OR m.applied_at IS NOT NULL OR (m.state = 'rolled_back' AND m.reason <> '')
                 OR (m.ready_at IS NOT NULL AND a.outcome = 'activate')))
        OR EXISTS (SELECT 1 FROM command AS c WHERE c.rollout_id = NEW.rollout_id AND c.state <> 'refused'
            AND c.action IN ('abort', 'rollback')));
    RETURN NEW;
END $$;
CREATE TRIGGER rollout_end BEFORE UPDATE ON rollout FOR EACH ROW
    WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL) EXECUTE FUNCTION rollout_judge_end();

-- May a scope's head be rolled out by itself? When nothing went that far yet; and again, after pauses that
-- grow, when nobody was there the last time and somebody has been seen since.
CREATE FUNCTION scope_is_untried(p_scope bigint, p_head bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT count(*) = 0 OR (bool_and(r.state IN ('aborted', 'rolled_back', 'failed') AND NOT r.is_refused)
            AND now() > max(r.finished_at) + interval '10 seconds' * power(2, least(count(*), 9))
            AND EXISTS (SELECT 1 FROM server_scope AS m JOIN server AS v USING (server_id)
                WHERE m.scope_id = p_scope AND v.state = 'enrolled' AND v.last_seen > max(r.finished_at)))
        FROM rollout_change AS c JOIN rollout AS r USING (rollout_id) WHERE c.scope_id = p_scope AND c.to_revision >= p_head
$$;
