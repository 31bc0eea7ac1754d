-- 021_retries.sql - a server that failed is asked to try again.

-- Counted, so that the leader sees a new wish in whatever order it reads: more than it saw before is one.
ALTER TABLE server ADD COLUMN retries bigint NOT NULL DEFAULT 0 CHECK (retries >= 0);
COMMENT ON COLUMN server.retries IS 'how often somebody asked that it tries again what failed there';
