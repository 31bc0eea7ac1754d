-- 010_signing.sql - signing secrets of subscriptions may lie sealed: an envelope instead of the clear text.
-- Bound to the scope, the id of the subscription and version 0, which no version of a key has. The data key
-- lies beside the bytes: a signing secret ends with its subscription, nobody destroys it alone.

ALTER TABLE subscription
    ALTER COLUMN secret DROP NOT NULL, -- NULL: sealed
    ADD COLUMN iv          bytea CHECK (length(iv) = 12),
    ADD COLUMN tag         bytea CHECK (length(tag) = 16),
    ADD COLUMN ciphertext  bytea,
    ADD COLUMN key_id      text CHECK (length(key_id) BETWEEN 1 AND 128),
    ADD COLUMN wrapped_key bytea CHECK (length(wrapped_key) BETWEEN 1 AND 512),
    ADD CONSTRAINT subscription_sealed_or_clear
        CHECK (num_nonnulls(iv, tag, ciphertext, key_id, wrapped_key) = CASE WHEN secret IS NULL THEN 5 ELSE 0 END);
