-- 022_kept.sql - a way back that finds nothing to take back says so scope by scope.

-- Whoever reads another scope of the rollout again is still addressed there, whichever leader tells it.
ALTER TABLE server_scope ADD COLUMN kept bigint NOT NULL DEFAULT 0 CHECK (kept >= 0);
COMMENT ON COLUMN server_scope.kept IS 'dseq of the newest ROLLBACK that found nothing to take back there';
