-- 005_schemas.sql - JSON Schemas of the keys of a service, and what they are together.

-- Every version of every schema, for ever. They belong to a service, not to one environment: what
-- was tried in staging is what prod will be asked for. Key * is the whole document.
CREATE TABLE schema_version (
    service    text    NOT NULL CHECK (service ~ '^[a-z0-9][a-z0-9._-]*$' AND length(service) <= 100),
    key        text    NOT NULL CHECK (length(key) > 0 AND octet_length(key) <= 500),
    version    bigint  NOT NULL CHECK (version > 0),
    is_deleted boolean NOT NULL DEFAULT false,
    body       text    NOT NULL, -- canonical JSON; '' when deleted
    hash       bytea   NOT NULL CHECK (length(hash) = 32), -- of the body
    change_description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text    NOT NULL,
    PRIMARY KEY (service, key, version)
);

-- All schemas of a service after each change of one of them, as a document of their own (key to
-- schema, type json): agents fetch it and verify it like any other.
CREATE TABLE schema_set (
    service    text   NOT NULL,
    number     bigint NOT NULL CHECK (number > 0),
    hash       bytea  REFERENCES document, -- NULL: none is left
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, number)
);

-- What agents check the document by in PREPARE; NULL: nothing, as always when it goes back.
ALTER TABLE rollout_change ADD COLUMN schemas bytea REFERENCES document;

-- The schema of a key as it is now; no row: there is none.
CREATE FUNCTION schema_newest(p_service text, p_key text) RETURNS SETOF schema_version
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT v.* FROM (SELECT * FROM schema_version WHERE service = p_service AND key = p_key
                     ORDER BY version DESC LIMIT 1) AS v WHERE NOT v.is_deleted
$$;
