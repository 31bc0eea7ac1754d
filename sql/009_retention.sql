-- 009_retention.sql - how long things are kept: the audit trail in partitions, and what else may be dropped.
-- The trail is one chain for all environments and has the timelines of rollouts in it, so it is cut at its
-- beginning only, a partition at a time. History and acknowledgements are deleted in batches: a snapshot
-- needs the newest version of a key however old it is, and a partition by time would have to go as a whole.

-- Revisions below it are no longer complete; 0: all are there.
ALTER TABLE scope ADD COLUMN oldest bigint NOT NULL DEFAULT 0 CHECK (oldest <= released);

-- ---------------------------------------------------------------- the trail in partitions

DROP TRIGGER audit_claim ON audit;
DROP FUNCTION audit_hash(audit);
DROP FUNCTION audit_canonical(audit);
ALTER TABLE audit RENAME TO audit_0;
ALTER INDEX audit_pkey RENAME TO audit_0_pkey;
ALTER INDEX audit_by_rollout RENAME TO audit_0_by_rollout;
ALTER INDEX audit_by_scope RENAME TO audit_0_by_scope;
CREATE TABLE audit (LIKE audit_0 INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (number)) PARTITION BY RANGE (number);
CREATE INDEX audit_by_rollout ON audit (rollout_id, number) WHERE rollout_id IS NOT NULL;
CREATE INDEX audit_by_scope ON audit (scope_id, number) WHERE scope_id IS NOT NULL;

-- One partition has 10,000 numbers, and the next one is there before it is needed.
CREATE FUNCTION audit_extend(p_first bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE audit_%s (LIKE audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', p_first);
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON audit_%s FROM PUBLIC, CURRENT_USER', p_first);
    EXECUTE format('CREATE TRIGGER audit_is_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_%s
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()', p_first);
    EXECUTE format('ALTER TABLE audit ATTACH PARTITION audit_%s FOR VALUES FROM (%s) TO (%s)', p_first, p_first, p_first + 10000);
END $$;
DO $$
DECLARE next bigint;
BEGIN
    SELECT (number / 10000 + 1) * 10000 INTO next FROM audit_head;
    EXECUTE format('ALTER TABLE audit ATTACH PARTITION audit_0 FOR VALUES FROM (0) TO (%s)', next);
    PERFORM audit_extend(next);
END $$;
REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM PUBLIC, CURRENT_USER;
CREATE TRIGGER audit_is_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_claim AFTER INSERT ON audit FOR EACH ROW
    WHEN (current_setting('lockstep.claim', true) <> '') EXECUTE FUNCTION claim_done();

CREATE FUNCTION audit_canonical(a audit) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN jsonb_build_array(a.number, to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.actor,
        a.address, a.action, a.rollout_id, a.server_id, a.scope_id, a.data, a.note, encode(a.previous, 'hex'))::text;
END $$;
CREATE FUNCTION audit_hash(a audit) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN sha256(convert_to(audit_canonical(a), 'UTF8'));
END $$;

CREATE OR REPLACE FUNCTION audit_append(p_actor text, p_action text, p_rollout bigint, p_server bigint, p_scope bigint, p_data jsonb,
    p_address text DEFAULT '', p_note text DEFAULT '')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE a audit;
BEGIN
    SELECT h.number + 1, h.hash INTO a.number, a.previous FROM audit_head AS h FOR UPDATE;
    IF a.number % 10000 = 0 THEN
        PERFORM audit_extend(a.number + 10000);
    END IF;
    a.at := clock_timestamp();
    a.actor := p_actor;
    a.address := p_address;
    a.action := p_action;
    a.rollout_id := p_rollout;
    a.server_id := p_server;
    a.scope_id := p_scope;
    a.data := p_data;
    a.note := p_note;
    INSERT INTO audit SELECT a.*;
    UPDATE audit_head SET number = a.number, hash = audit_hash(a);
    PERFORM pg_notify('lockstep', a.number || ' ' || p_action);
    RETURN a.number;
END $$;

-- The last row that was cut, by whose hash the first one that is left is verified. It counts only when
-- a row of the trail (audit.cut) says the same: a cut that nobody recorded is found.
CREATE TABLE audit_cut (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    number  bigint NOT NULL DEFAULT 0,
    hash    bytea  NOT NULL DEFAULT sha256('lockstep audit 1') CHECK (length(hash) = 32)
);
INSERT INTO audit_cut DEFAULT VALUES;
REVOKE DELETE, TRUNCATE ON audit_cut FROM PUBLIC, CURRENT_USER;
CREATE TRIGGER audit_cut_stays BEFORE DELETE OR TRUNCATE ON audit_cut
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- Nothing, or what is wrong with the chain: rows that were changed, removed, reordered, a tail or a
-- beginning that was cut.
CREATE OR REPLACE FUNCTION audit_faults() RETURNS TABLE (number bigint, fault text) LANGUAGE sql STABLE AS $$
    SELECT q.number, CASE WHEN q.number <> q.before + 1 THEN 'follows number ' || q.before || ': rows are missing'
            ELSE 'does not continue the row before: one of the two was changed' END
        FROM (SELECT a.number, a.previous, lag(a.number, 1, c.number) OVER w AS before,
                  lag(audit_hash(a), 1, c.hash) OVER w AS wanted
              FROM audit AS a, audit_cut AS c WINDOW w AS (ORDER BY a.number)) AS q
        WHERE q.number <> q.before + 1 OR q.previous <> q.wanted
    UNION ALL
    SELECT c.number, 'is where the trail was cut, and no row of it says so' FROM audit_cut AS c
        WHERE c.number > 0 AND NOT EXISTS (SELECT 1 FROM audit AS a WHERE a.action = 'audit.cut'
            AND a.data = jsonb_build_object('number', c.number, 'hash', encode(c.hash, 'hex')) || (a.data - 'number' - 'hash'))
    UNION ALL
    SELECT h.number, CASE WHEN a.number IS NULL THEN 'is the head and is missing: the tail was cut'
            ELSE 'is not the row whose hash the head has: it was changed' END
        FROM audit_head AS h LEFT JOIN audit AS a USING (number)
        WHERE CASE WHEN h.number = 0 THEN EXISTS (SELECT 1 FROM audit) OR h.hash <> sha256('lockstep audit 1')
              ELSE audit_hash(a) IS DISTINCT FROM h.hash END
    UNION ALL
    SELECT max(a.number), 'is behind the head' FROM audit AS a, audit_head AS h
        HAVING max(a.number) > max(h.number)
    ORDER BY 1
$$;

-- Drops the oldest partition when all of it is older and no open rollout has a row in it; how many rows
-- that were, 0: nothing was dropped. The one with the head stays.
CREATE FUNCTION audit_cut_before(p_before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    partitions bigint[];
    last audit;
    cut_hash bytea;
    rows bigint;
BEGIN
    PERFORM 1 FROM audit_head FOR UPDATE;
    SELECT array_agg(substr(c.relname, 7)::bigint ORDER BY substr(c.relname, 7)::bigint) INTO partitions
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'audit'::regclass;
    SELECT a.* INTO last FROM audit AS a WHERE a.number < partitions[2] ORDER BY a.number DESC LIMIT 1;
    IF last.number IS NULL OR last.at >= p_before OR (SELECT h.number FROM audit_head AS h) < partitions[2]
        OR EXISTS (SELECT 1 FROM audit AS a JOIN rollout AS r USING (rollout_id) WHERE a.number < partitions[2]
            AND r.state NOT IN ('completed', 'aborted', 'rolled_back', 'rejected', 'failed')) THEN
        RETURN 0;
    END IF;
    cut_hash := audit_hash(last);
    rows := last.number - (SELECT c.number FROM audit_cut AS c);
    EXECUTE format('ALTER TABLE audit DETACH PARTITION audit_%s', partitions[1]);
    EXECUTE format('DROP TABLE audit_%s', partitions[1]);
    UPDATE audit_cut AS c SET number = last.number, hash = cut_hash;
    PERFORM audit_append('lockstepd', 'audit.cut', NULL, NULL, NULL, jsonb_build_object('number', last.number,
        'hash', encode(cut_hash, 'hex'), 'rows', rows, 'before', p_before));
    RETURN rows;
END $$;

-- ---------------------------------------------------------------- history

-- The first revision of a scope that must stay whole: what is younger, released or written last, what a
-- server runs, what an open rollout goes to or may go back to, and what the last one may be rolled back to.
CREATE FUNCTION retention_floor(p_scope bigint, p_before timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT least(s.released,
        (SELECT min(r.revision) FROM revision AS r WHERE r.scope_id = p_scope AND r.created_at >= p_before),
        (SELECT min(v.revision) FROM server_scope AS v WHERE v.scope_id = p_scope AND v.revision > 0),
        (SELECT min(n.revision) FROM rollout_change AS c JOIN rollout AS r USING (rollout_id),
            unnest(ARRAY[c.from_revision, c.to_revision]) AS n (revision) WHERE c.scope_id = p_scope AND n.revision > 0
            AND (r.state NOT IN ('completed', 'aborted', 'rolled_back', 'rejected', 'failed')
                 OR r.rollout_id = (SELECT max(l.rollout_id) FROM rollout_change AS l WHERE l.scope_id = p_scope))))
        FROM scope AS s WHERE s.scope_id = p_scope
$$;

-- Rows dropped, at most about p_limit; call it again until nothing is left. Of every key the newest version
-- up to the floor stays, deletions too: versions go on counting where they were.
CREATE FUNCTION retention_history(p_scope bigint, p_before timestamptz, p_limit integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    floor bigint;
    versions bigint;
    revisions bigint;
    hashes bytea[];
BEGIN
    PERFORM 1 FROM scope WHERE scope_id = p_scope FOR NO KEY UPDATE;
    UPDATE scope SET oldest = retention_floor(p_scope, p_before) WHERE scope_id = p_scope AND oldest < retention_floor(p_scope, p_before);
    SELECT oldest INTO floor FROM scope WHERE scope_id = p_scope;
    DELETE FROM config_version AS v USING (
        SELECT o.key, o.version FROM config_version AS o WHERE o.scope_id = p_scope AND o.revision < floor
            AND EXISTS (SELECT 1 FROM config_version AS n WHERE n.scope_id = p_scope AND n.key = o.key
                AND n.revision > o.revision AND n.revision <= floor) LIMIT p_limit) AS gone
        WHERE v.scope_id = p_scope AND v.key = gone.key AND v.version = gone.version;
    GET DIAGNOSTICS versions = ROW_COUNT;
    WITH gone AS (DELETE FROM revision AS r WHERE r.scope_id = p_scope AND r.revision IN (
            SELECT o.revision FROM revision AS o WHERE o.scope_id = p_scope AND o.revision < floor ORDER BY o.revision LIMIT p_limit)
        RETURNING r.hash)
        SELECT count(*), array_agg(DISTINCT g.hash) FILTER (WHERE g.hash IS NOT NULL) INTO revisions, hashes FROM gone AS g;
    PERFORM retention_documents(hashes);
    IF versions + revisions > 0 THEN
        PERFORM audit_append('lockstepd', 'retention.drop', NULL, NULL, NULL, (SELECT jsonb_build_object('kind', 'history', 'service', s.service,
            'environment', s.environment, 'oldest', s.oldest, 'rows', versions + revisions, 'before', p_before) FROM scope AS s WHERE s.scope_id = p_scope));
    END IF;
    RETURN versions + revisions;
END $$;

-- Documents that nothing refers to any more; what rollouts went between is told by their hashes alone.
CREATE FUNCTION retention_documents(p_hashes bytea[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM document AS d WHERE d.hash = ANY (p_hashes)
        AND NOT EXISTS (SELECT 1 FROM revision AS r WHERE r.hash = d.hash)
        AND NOT EXISTS (SELECT 1 FROM server_scope AS s WHERE s.hash = d.hash)
        AND NOT EXISTS (SELECT 1 FROM schema_set AS s WHERE s.hash = d.hash)
        AND NOT EXISTS (SELECT 1 FROM rollout_change AS c JOIN rollout AS r USING (rollout_id) WHERE c.schemas = d.hash
            OR (d.hash IN (c.from_hash, c.to_hash) AND r.state NOT IN ('completed', 'aborted', 'rolled_back', 'rejected', 'failed')))
$$;
CREATE INDEX revision_by_hash ON revision (hash) WHERE hash IS NOT NULL;

-- Values of secrets that no version refers to any more, with their data keys.
CREATE FUNCTION retention_secrets(p_before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    digests text[];
BEGIN
    SELECT array_agg(s.digest) INTO digests FROM secret AS s WHERE s.created_at < p_before AND s.destroyed_at IS NULL
        AND EXISTS (SELECT 1 FROM scope AS o WHERE o.scope_id = s.scope_id AND o.oldest > 0)
        AND NOT EXISTS (SELECT 1 FROM config_version AS v WHERE v.secret = s.digest);
    DELETE FROM secret_key WHERE digest = ANY (digests);
    DELETE FROM secret WHERE digest = ANY (digests);
    RETURN coalesce(cardinality(digests), 0);
END $$;

-- ---------------------------------------------------------------- acknowledgements

-- What servers said in rollouts that ended before the time of every environment that they changed (an
-- environment that is not named keeps everything), and are not the last of a scope. Rows, at most p_limit.
CREATE FUNCTION retention_acknowledgements(p_names text[], p_befores timestamptz[], p_limit integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    rows bigint;
BEGIN
    DELETE FROM member AS m USING (
        SELECT o.rollout_id, o.server_id FROM rollout AS r JOIN member AS o USING (rollout_id)
            WHERE r.state IN ('completed', 'aborted', 'rolled_back', 'rejected', 'failed')
            AND NOT EXISTS (SELECT 1 FROM rollout_change AS c JOIN scope AS s USING (scope_id)
                LEFT JOIN unnest(p_names, p_befores) AS k (name, before) ON k.name = s.environment
                WHERE c.rollout_id = r.rollout_id AND (k.before IS NULL OR r.finished_at IS NULL OR r.finished_at >= k.before
                    OR r.rollout_id = (SELECT max(l.rollout_id) FROM rollout_change AS l WHERE l.scope_id = c.scope_id)))
            LIMIT p_limit) AS gone
        WHERE m.rollout_id = gone.rollout_id AND m.server_id = gone.server_id;
    GET DIAGNOSTICS rows = ROW_COUNT;
    IF rows > 0 THEN
        PERFORM audit_append('lockstepd', 'retention.drop', NULL, NULL, NULL,
            jsonb_build_object('kind', 'acknowledgements', 'environments', to_jsonb(p_names), 'rows', rows));
    END IF;
    RETURN rows;
END $$;
