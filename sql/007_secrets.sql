-- 007_secrets.sql - envelopes of secret values, apart from their data keys, and who refers to them.
-- What a version of a secret has for a value is a reference, {"$secret":DIGEST}. No plain value has
-- this form (common/document/document.h), so whatever copies, compares or shows versions may do so unseen.

-- Bytes and place of an envelope (common/crypto/envelope.h): written once, never changed but by its end.
CREATE TABLE secret (
    digest     text PRIMARY KEY CHECK (digest ~ '^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$'),
    scope_id   bigint NOT NULL REFERENCES scope, -- what it is sealed to: the scope, key and version
    key        text NOT NULL,                    -- that it was written for, wherever it is referred
    version    bigint NOT NULL,                  -- to by now
    iv         bytea NOT NULL CHECK (length(iv) = 12),
    tag        bytea NOT NULL CHECK (length(tag) = 16),
    ciphertext bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,                    -- its data key is gone, and the value with it
    UNIQUE (scope_id, key, version)
);
ALTER TABLE secret ALTER COLUMN ciphertext SET STORAGE EXTERNAL;
CREATE INDEX secret_destroyed ON secret (destroyed_at) WHERE destroyed_at IS NOT NULL;

-- The data keys, wrapped. To rewrap one is to change a row here, to destroy a secret to remove it:
-- small rows, so that nothing of the values is written again.
CREATE TABLE secret_key (
    digest      text PRIMARY KEY REFERENCES secret,
    key_id      text NOT NULL CHECK (length(key_id) BETWEEN 1 AND 128),
    wrapped_key bytea NOT NULL CHECK (length(wrapped_key) BETWEEN 1 AND 512)
) WITH (fillfactor = 70);

-- A destroyed secret has no data key and never gets one again.
CREATE FUNCTION secret_key_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM secret WHERE digest = NEW.digest AND destroyed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'secret % is destroyed', NEW.digest USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER secret_key_of_the_living BEFORE INSERT OR UPDATE ON secret_key
    FOR EACH ROW EXECUTE FUNCTION secret_key_check();

-- The digest that a version refers to; NULL: its value is a plain one.
ALTER TABLE config_version ADD COLUMN secret text REFERENCES secret GENERATED ALWAYS AS (
    CASE WHEN octet_length(value) = 58 AND value ~ '^\{"\$secret":"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="\}$'
        THEN substr(value, 13, 44) END) STORED;
CREATE INDEX config_version_secret ON config_version (secret, scope_id) WHERE secret IS NOT NULL;

-- The audit trail has the digest of a secret: it confirms no guess of the value.
CREATE OR REPLACE FUNCTION audit_version(v config_version) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v.version IS NULL OR v.is_deleted THEN NULL
        WHEN v.secret IS NOT NULL
            THEN jsonb_build_object('version', v.version, 'type', v.value_type, 'secret', v.secret)
        WHEN octet_length(v.value) <= 1024
            THEN jsonb_build_object('version', v.version, 'type', v.value_type, 'value', v.value)
        ELSE jsonb_build_object('version', v.version, 'type', v.value_type,
            'sha256', encode(sha256(convert_to(v.value, 'UTF8')), 'hex')) END
$$;
