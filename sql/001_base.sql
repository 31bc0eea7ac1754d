-- 001_base.sql - the cluster, its leader, configuration, servers, rollouts, decisions, the audit trail.
-- Applied by lockstepd at start, in one transaction, under an advisory lock (store/migrate.c).
-- Constraints carry invariants (S1 … S15 of common/PROTOCOL.md); texts that people read are texts.

-- ---------------------------------------------------------------- the cluster and its leader

CREATE TABLE cluster (
    is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    cluster_id bytea NOT NULL CHECK (length(cluster_id) = 16),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Exactly one row. A takeover updates it, epoch + 1; a fenced transaction holds it FOR KEY SHARE.
CREATE TABLE leader (
    is_only     boolean NOT NULL DEFAULT true UNIQUE CHECK (is_only),
    gen         integer NOT NULL DEFAULT 1,
    epoch       bigint  NOT NULL DEFAULT 0,
    holder      text    NOT NULL DEFAULT '',
    address     text    NOT NULL DEFAULT '', -- HTTP address of the holder, for people
    router      text    NOT NULL DEFAULT '', -- ROUTER address, for agents
    backend_pids integer[] NOT NULL DEFAULT '{}', -- the holder's connections: the taker ends them
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (gen, epoch)
);
INSERT INTO leader DEFAULT VALUES;

-- The one growing sequence of the cluster: attempts and decisions draw from it under scope locks.
CREATE SEQUENCE dseq AS bigint MINVALUE 1 NO CYCLE CACHE 1;

-- ---------------------------------------------------------------- configuration

CREATE TABLE environment (
    name     text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]*$' AND length(name) <= 100),
    policy   text NOT NULL DEFAULT 'manual' CHECK (policy IN ('auto', 'manual')),
    settings jsonb NOT NULL DEFAULT '{}', -- approvals, default_strategy, … as in the API
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO environment (name, policy, settings) VALUES
    ('dev', 'auto', '{"default_strategy":"eventual"}'),
    ('staging', 'auto', '{"default_strategy":"eventual"}'),
    ('prod', 'manual', '{"default_strategy":"canary"}');

CREATE TABLE scope (
    scope_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service     text NOT NULL CHECK (service ~ '^[a-z0-9][a-z0-9._-]*$' AND length(service) <= 100),
    environment text NOT NULL REFERENCES environment (name),
    head        bigint NOT NULL DEFAULT 0,
    released    bigint NOT NULL DEFAULT 0 CHECK (released <= head),
    released_dseq bigint NOT NULL DEFAULT 0, -- the FINALIZE that released it; 0: revision 0
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (service, environment)
);

-- Canonical documents, content addressed.
CREATE TABLE document (
    hash  bytea PRIMARY KEY CHECK (length(hash) = 32),
    bytes bytea NOT NULL
);
ALTER TABLE document ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- hash is filled when the document is first needed (a plan, a rollout, a read of the whole).
CREATE TABLE revision (
    scope_id    bigint NOT NULL REFERENCES scope,
    revision    bigint NOT NULL CHECK (revision > 0),
    hash        bytea REFERENCES document,
    size        bigint NOT NULL DEFAULT 2, -- bytes of its canonical document, or one more
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text NOT NULL,
    description text NOT NULL DEFAULT '',
    PRIMARY KEY (scope_id, revision)
);

-- Every version of every key, for ever. The snapshot at revision R is, per key, the newest version
-- with revision <= R, deletions left out.
CREATE TABLE config_version (
    scope_id    bigint NOT NULL,
    key         text   NOT NULL CHECK (length(key) > 0 AND octet_length(key) <= 500),
    version     bigint NOT NULL CHECK (version > 0),
    revision    bigint NOT NULL,
    is_deleted  boolean NOT NULL DEFAULT false,
    value_type  text   NOT NULL CHECK (value_type IN ('string', 'number', 'boolean', 'json', 'yaml')),
    value       text   NOT NULL, -- canonical text; '' when deleted
    description text   NOT NULL DEFAULT '',        -- of the key
    change_description text NOT NULL DEFAULT '',   -- of this version
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text   NOT NULL,
    PRIMARY KEY (scope_id, key, version)
) PARTITION BY HASH (scope_id);
CREATE UNIQUE INDEX config_version_revision ON config_version (scope_id, revision, key);
CREATE INDEX config_version_snapshot ON config_version (scope_id, key, revision DESC);

-- ---------------------------------------------------------------- servers

CREATE TABLE server (
    server_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]*$' AND length(name) <= 100),
    public_key  text NOT NULL UNIQUE CHECK (length(public_key) = 40), -- Z85
    scopes      text[] NOT NULL DEFAULT '{*}', -- globs of SERVICE/ENV the enrolment allows
    labels      jsonb NOT NULL DEFAULT '{}',   -- as the agent last said
    agent_version text NOT NULL DEFAULT '',
    state       text NOT NULL DEFAULT 'enrolled' CHECK (state IN ('enrolled', 'excluded', 'revoked')),
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz
);

-- A server belongs to a scope: its agent reads it and the enrolment allows it. What runs there.
CREATE TABLE server_scope (
    server_id  bigint NOT NULL REFERENCES server ON DELETE CASCADE,
    scope_id   bigint NOT NULL REFERENCES scope,
    obeyed     bigint NOT NULL DEFAULT 0, -- dseq of the newest decision whose outcome is recorded
    revision   bigint NOT NULL DEFAULT 0, -- active after it
    hash       bytea,                     -- NULL: revision 0
    outcome    text NOT NULL DEFAULT 'none' CHECK (outcome IN ('none', 'ok', 'failed', 'broken')),
    detail     text NOT NULL DEFAULT '',
    reason     text NOT NULL DEFAULT '',
    joined_at  timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server_id, scope_id)
) WITH (fillfactor = 50);
CREATE INDEX server_scope_by_scope ON server_scope (scope_id);

-- ---------------------------------------------------------------- rollouts

CREATE TABLE strategy (
    name       text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]*$' AND length(name) <= 100),
    body       jsonb NOT NULL,
    is_built_in boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rollout (
    rollout_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id   text NOT NULL UNIQUE,
    kind        text NOT NULL DEFAULT 'change' CHECK (kind IN ('change', 'rollback')),
    reverts     bigint REFERENCES rollout,
    state       text NOT NULL DEFAULT 'running' CHECK (state IN ('awaiting_approval', 'scheduled', 'running',
                'rolling_back', 'completed', 'aborted', 'rolled_back', 'rejected', 'failed')),
    phase       text NOT NULL DEFAULT 'preparing' CHECK (phase IN ('preparing', 'deciding', 'activating',
                'baking', 'finalizing', 'aborting', 'rolling_back', 'completed', 'aborted', 'rolled_back', 'failed')),
    is_paused   boolean NOT NULL DEFAULT false,
    is_opened   boolean NOT NULL DEFAULT false, -- a first C1 happened; the base is fixed
    stage       integer NOT NULL DEFAULT 0,     -- the open one, from 0
    stage_count integer NOT NULL CHECK (stage_count > 0),
    attempt     integer NOT NULL DEFAULT 0,     -- at this stage, from 1
    attempt_number bigint NOT NULL DEFAULT 0,
    reason      text NOT NULL DEFAULT '',       -- why it stands where it stands
    salt        text NOT NULL,
    strategy_name text NOT NULL DEFAULT '',
    strategy    jsonb NOT NULL,                 -- a copy, complete, all defaults written out
    note        text NOT NULL DEFAULT '',
    break_glass boolean NOT NULL DEFAULT false,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    start_at    timestamptz,
    started_at  timestamptz, -- first C1
    finished_at timestamptz
);
CREATE INDEX rollout_open ON rollout (rollout_id) WHERE state IN ('running', 'rolling_back');

-- What a rollout changes. One open rollout per scope (S12).
CREATE TABLE rollout_change (
    rollout_id    bigint NOT NULL REFERENCES rollout,
    scope_id      bigint NOT NULL REFERENCES scope,
    from_revision bigint NOT NULL, -- fixed at the first C1; before that what the plan saw
    from_hash     bytea,           -- NULL: revision 0
    to_revision   bigint NOT NULL,
    to_hash       bytea,
    is_open       boolean NOT NULL, -- holds the scope
    PRIMARY KEY (rollout_id, scope_id)
);
CREATE UNIQUE INDEX rollout_change_one_open ON rollout_change (scope_id) WHERE is_open;
CREATE INDEX rollout_change_by_scope ON rollout_change (scope_id, rollout_id DESC);

-- An attempt at a stage (C1). outcome is set once: activate and abort exclude each other (S1).
CREATE TABLE attempt (
    number     bigint PRIMARY KEY, -- drawn from dseq
    rollout_id bigint NOT NULL REFERENCES rollout,
    stage      integer NOT NULL,
    attempt    integer NOT NULL,
    outcome    text CHECK (outcome IN ('activate', 'abort')),
    epoch      bigint NOT NULL,
    opened_at  timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    applied_at timestamptz, -- the stage was found applied (baking)
    UNIQUE (rollout_id, stage, attempt)
);

CREATE TYPE member_state AS ENUM ('pending', 'ready', 'applied', 'failed', 'rolled_back');

-- One server in one rollout: what is pending, ready, applied, failed or rolled back, and why.
CREATE TABLE member (
    rollout_id bigint NOT NULL,
    server_id  bigint NOT NULL,
    stage      integer NOT NULL,
    attempt_number bigint NOT NULL,         -- of the newest attempt that asked it
    state      member_state NOT NULL DEFAULT 'pending',
    is_unfit   boolean NOT NULL DEFAULT false, -- its own check failed before it was asked
    detail     text NOT NULL DEFAULT '',    -- offline refused activating catching_up silent skipped aborted broken …
    reason     text NOT NULL DEFAULT '',
    ready_at   timestamptz,
    applied_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    steps      text NOT NULL DEFAULT '',    -- "files=3ms reload=12ms check=40ms"
    PRIMARY KEY (rollout_id, server_id)
) PARTITION BY HASH (rollout_id);

-- The numbered decisions (C3): the exact bytes that are sent, the same for ever.
CREATE TABLE decision (
    dseq       bigint PRIMARY KEY,
    gen        integer NOT NULL,
    epoch      bigint NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('activate', 'rollback', 'finalize', 'reassert')),
    rollout_id bigint NOT NULL REFERENCES rollout,
    attempt_number bigint REFERENCES attempt, -- activate
    body       bytea NOT NULL,
    because    text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (attempt_number),
    CHECK ((kind = 'activate') = (attempt_number IS NOT NULL))
);
CREATE UNIQUE INDEX decision_once ON decision (rollout_id, kind) WHERE kind IN ('rollback', 'finalize');

CREATE TABLE decision_scope (
    dseq     bigint NOT NULL REFERENCES decision,
    scope_id bigint NOT NULL REFERENCES scope,
    revision bigint NOT NULL,
    hash     bytea,
    PRIMARY KEY (dseq, scope_id)
);
CREATE INDEX decision_scope_newest ON decision_scope (scope_id, dseq DESC);

-- Commands that people and hooks give; the leader consumes them in fenced transactions.
CREATE TABLE command (
    command_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rollout_id bigint NOT NULL REFERENCES rollout,
    action     text NOT NULL CHECK (action IN ('pause', 'resume', 'promote', 'abort', 'rollback', 'retry')),
    is_full    boolean NOT NULL DEFAULT false,
    reason     text NOT NULL DEFAULT '',
    actor      text NOT NULL,
    address    text NOT NULL DEFAULT '', -- where it came from
    state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'refused')),
    answer     text NOT NULL DEFAULT '', -- refused: what is allowed, as "pause,rollback"
    created_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz
);
CREATE INDEX command_waiting ON command (command_id) WHERE state = 'waiting';

-- ---------------------------------------------------------------- the audit trail

-- The head of the chain: locked last in every transaction that writes audit rows, so that event
-- numbers appear in the order of their commits. number and hash of the newest row are its anchor:
-- a tail that was cut off does not end there. Whoever may change this row can cut it, too: an
-- anchor that was written down elsewhere (`lockstep audit verify` prints it) finds that as well.
CREATE TABLE audit_head (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    number  bigint NOT NULL DEFAULT 0,
    hash    bytea  NOT NULL DEFAULT sha256('lockstep audit 1') CHECK (length(hash) = 32)
);
INSERT INTO audit_head DEFAULT VALUES;

-- One row per transition and per batch of acknowledgements, in the same transaction (S14).
-- The columns up to note, in this order, and previous are what is hashed.
CREATE TABLE audit (
    number     bigint PRIMARY KEY, -- the event number: id of the streams
    at         timestamptz NOT NULL,
    actor      text NOT NULL,      -- "lockstepd", or the token's name
    address    text NOT NULL,      -- where the request came from; '' from inside
    action     text NOT NULL,      -- config.set, rollout.create, rollout.move, rollout.acks, server.enroll …
    rollout_id bigint,
    server_id  bigint,
    scope_id   bigint,
    data       jsonb NOT NULL,     -- old and new among it; secrets as hashes
    note       text NOT NULL,      -- what the person said about it
    previous   bytea NOT NULL CHECK (length(previous) = 32) -- hash of the row before
);
CREATE INDEX audit_by_rollout ON audit (rollout_id, number) WHERE rollout_id IS NOT NULL;
CREATE INDEX audit_by_scope ON audit (scope_id, number) WHERE scope_id IS NOT NULL;

-- The canonical form (coordinator/store/audit.h tells it to readers): a JSON array in PostgreSQL's
-- own jsonb text. The hash of a row is the SHA-256 of it, and it contains the hash of the row before.
CREATE FUNCTION audit_canonical(a audit) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN jsonb_build_array(a.number, to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.actor,
        a.address, a.action, a.rollout_id, a.server_id, a.scope_id, a.data, a.note, encode(a.previous, 'hex'))::text;
END $$;
CREATE FUNCTION audit_hash(a audit) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN sha256(convert_to(audit_canonical(a), 'UTF8'));
END $$;

-- Append one row and say so ("NUMBER ACTION") to whoever listens. Call it last in a transaction.
CREATE FUNCTION audit_append(p_actor text, p_action text, p_rollout bigint, p_server bigint, p_scope bigint, p_data jsonb,
    p_address text DEFAULT '', p_note text DEFAULT '')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE a audit;
BEGIN
    SELECT h.number + 1, h.hash INTO a.number, a.previous FROM audit_head AS h FOR UPDATE;
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

-- Nothing, or what is wrong with the chain: rows that were changed, removed, reordered, a cut tail.
CREATE FUNCTION audit_faults() RETURNS TABLE (number bigint, fault text) LANGUAGE sql STABLE AS $$
    SELECT q.number, CASE WHEN q.number <> q.before + 1 THEN 'follows number ' || q.before || ': rows are missing'
            ELSE 'does not continue the row before: one of the two was changed' END
        FROM (SELECT a.number, a.previous, lag(a.number, 1, 0::bigint) OVER w AS before,
                  lag(audit_hash(a), 1, sha256('lockstep audit 1')) OVER w AS wanted
              FROM audit AS a WINDOW w AS (ORDER BY a.number)) AS q
        WHERE q.number <> q.before + 1 OR q.previous <> q.wanted
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

-- Rows are written once. The role that lockstepd uses owns these tables when it made them, and an
-- owner can give itself everything back; so the trigger says no as well, and it says it to
-- superusers, too. What a database cannot do is to bind its own administrator: whoever can disable
-- the trigger can rewrite rows and recompute the chain, and only an anchor kept outside tells.
REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM PUBLIC, CURRENT_USER;
REVOKE DELETE, TRUNCATE ON audit_head FROM PUBLIC, CURRENT_USER;
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of the audit trail are never changed or removed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_is_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- How a version of a key appears in the audit trail: small values as they are, large ones by hash.
CREATE FUNCTION audit_version(v config_version) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v.version IS NULL OR v.is_deleted THEN NULL
        WHEN octet_length(v.value) <= 1024
            THEN jsonb_build_object('version', v.version, 'type', v.value_type, 'value', v.value)
        ELSE jsonb_build_object('version', v.version, 'type', v.value_type,
            'sha256', encode(sha256(convert_to(v.value, 'UTF8')), 'hex')) END
$$;
-- What a revision changed, key by key, for the data of its audit row; the first 100 keys.
CREATE FUNCTION audit_changes(p_scope bigint, p_revision bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('key', n.key, 'old', audit_version(o), 'new', audit_version(n))), '[]')
        FROM (SELECT * FROM config_version WHERE scope_id = p_scope AND revision = p_revision ORDER BY key LIMIT 100) AS k
        JOIN config_version AS n ON n.scope_id = k.scope_id AND n.key = k.key AND n.version = k.version
        LEFT JOIN config_version AS o ON o.scope_id = k.scope_id AND o.key = k.key AND o.version = k.version - 1
$$;

-- ---------------------------------------------------------------- access

-- A token belongs to a name: several tokens of one name are one person or machine.
CREATE TABLE token (
    token_id   text PRIMARY KEY,
    name       text NOT NULL,
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32), -- SHA-256 of the secret
    grants     jsonb NOT NULL CHECK (jsonb_typeof(grants) = 'array'),
    created_by text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz, -- to the minute
    revoked_at timestamptz
);

DO $$
BEGIN
    FOR i IN 0..7 LOOP
        EXECUTE format('CREATE TABLE config_version_%s PARTITION OF config_version FOR VALUES WITH (MODULUS 8, REMAINDER %s)', i, i);
        EXECUTE format('CREATE TABLE member_%s PARTITION OF member FOR VALUES WITH (MODULUS 8, REMAINDER %s) WITH (fillfactor = 50)', i, i);
    END LOOP;
END $$;
