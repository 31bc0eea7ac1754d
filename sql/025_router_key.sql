-- 025_router_key.sql - the key by which agents know their coordinators: one of another key is found at its start.

ALTER TABLE cluster ADD COLUMN router_key text CHECK (length(router_key) = 40);
COMMENT ON COLUMN cluster.router_key IS 'public key of every coordinator (Z85), of the first that started; NULL: none of them had one yet';
