-- 006_subscriptions.sql - who wants to hear of changed keys, and the durable outbox of what is to be said.
-- Messages are written by the transaction that releases a change: what was released is told, what was
-- not is never told. Coordinators share the outbox by row locks (coordinator/store/access/outbox.h).

CREATE TABLE subscription (
    subscription_id text PRIMARY KEY,
    scope_id    bigint NOT NULL REFERENCES scope,
    keys        text[] NOT NULL CHECK (cardinality(keys) > 0), -- globs: * any run of characters, ? one
    url         text NOT NULL CHECK (url ~ '^https?://'),
    secret      text NOT NULL CHECK (secret ~ '^whsec_'),      -- signs every message; shown once
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    reason      text NOT NULL DEFAULT '', -- disabled: why
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    last_notified_at timestamptz          -- the newest message that was taken
);
CREATE INDEX subscription_by_scope ON subscription (scope_id);

CREATE TABLE outbox (
    outbox_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id  text NOT NULL UNIQUE, -- webhook-id: the same at every attempt
    subscription_id text NOT NULL REFERENCES subscription ON DELETE CASCADE,
    body        text NOT NULL,        -- the same bytes at every attempt
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts    integer NOT NULL DEFAULT 0, -- begun ones
    next_at     timestamptz NOT NULL DEFAULT now(), -- while an attempt is under way: when it counts as lost
    last_status integer NOT NULL DEFAULT 0, -- HTTP status of the newest attempt; 0: no answer
    last_reason text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK ((state = 'waiting') = (finished_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_subscription ON outbox (subscription_id, outbox_id);
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state <> 'waiting';

-- A glob as a pattern for LIKE.
CREATE FUNCTION glob_like(p_glob text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT replace(replace(replace(replace(replace(p_glob, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'), '?', '_')
$$;

-- One message for every subscription whose globs meet a key whose content differs between two revisions
-- of a scope (drafts that were put back do not): names and versions of keys, never values. The first 1000 keys; who gets has_more reads the rest.
-- Called inside the transaction that releases p_to, which holds the scope.
CREATE FUNCTION outbox_config_changed(p_scope bigint, p_from bigint, p_to bigint) RETURNS void LANGUAGE sql AS $$
    WITH newest AS MATERIALIZED (
        SELECT DISTINCT ON (v.key) v.key, v.version, v.is_deleted, v.value_type, v.value FROM config_version AS v
        WHERE v.scope_id = p_scope AND v.revision > p_from AND v.revision <= p_to
            AND EXISTS (SELECT 1 FROM subscription AS s WHERE s.scope_id = p_scope AND s.state = 'active')
        ORDER BY v.key, v.revision DESC),
    changed AS MATERIALIZED (
        SELECT n.key, n.version, n.is_deleted FROM newest AS n LEFT JOIN LATERAL (
            SELECT o.value_type, o.value FROM (SELECT * FROM config_version AS v WHERE v.scope_id = p_scope
                AND v.key = n.key AND v.revision <= p_from ORDER BY v.revision DESC LIMIT 1) AS o WHERE NOT o.is_deleted) AS old ON true
        WHERE CASE WHEN n.is_deleted THEN old.value IS NOT NULL
              ELSE (n.value_type, n.value) IS DISTINCT FROM (old.value_type, old.value) END),
    wanted AS (
        SELECT s.subscription_id, c.*, row_number() OVER (PARTITION BY s.subscription_id ORDER BY c.key COLLATE "C") AS place
        FROM subscription AS s JOIN changed AS c
            ON EXISTS (SELECT 1 FROM unnest(s.keys) AS k (glob) WHERE c.key LIKE glob_like(k.glob))
        WHERE s.scope_id = p_scope AND s.state = 'active')
    INSERT INTO outbox (message_id, subscription_id, body)
    SELECT 'msg_' || replace(gen_random_uuid()::text, '-', ''), w.subscription_id,
        json_build_object('type', 'config.changed',
            'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'data', json_build_object('service', s.service, 'environment', s.environment, 'revision', p_to,
                'changes', json_agg(CASE WHEN w.is_deleted
                        THEN json_build_object('key', w.key, 'version', w.version, 'deleted', true)
                        ELSE json_build_object('key', w.key, 'version', w.version) END
                    ORDER BY w.place) FILTER (WHERE w.place <= 1000),
                'has_more', count(*) > 1000))::text
    FROM wanted AS w JOIN scope AS s ON s.scope_id = p_scope
    GROUP BY w.subscription_id, s.service, s.environment
$$;
