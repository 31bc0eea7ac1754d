-- 019_receivers.sql - who a message goes to: the host and port of its subscription's address.
-- A courier sends only so many messages to one receiver, and of one owner, at a time (outbox.c).

ALTER TABLE subscription ADD COLUMN receiver text NOT NULL
    GENERATED ALWAYS AS (lower(substring(url FROM '^https?://([^/?#]*)'))) STORED;
CREATE INDEX subscription_by_owner ON subscription (created_by);
