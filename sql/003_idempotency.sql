-- 003_idempotency.sql - answers of requests that carried an Idempotency-Key, for a day.

CREATE TABLE claim (
    claim_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner        text NOT NULL CHECK (length(owner) <= 200), -- a key means something to its sender only
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    is_done      boolean NOT NULL DEFAULT false, -- its transaction was committed
    status       integer,                        -- NULL: no answer (yet)
    location     text NOT NULL DEFAULT '',
    body         bytea,                          -- NULL with a status: not kept
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, key)
);
CREATE INDEX claim_by_age ON claim (created_at);

-- Every transaction that does something writes its row in the audit trail. The claim that it works
-- for becomes done in the same commit, so a request that is repeated after a crash happens once.
CREATE FUNCTION claim_done() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE claim SET is_done = true
        WHERE claim_id = current_setting('lockstep.claim')::bigint AND NOT is_done;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_claim AFTER INSERT ON audit FOR EACH ROW
    WHEN (current_setting('lockstep.claim', true) <> '') EXECUTE FUNCTION claim_done();
