-- 008_steps.sql - how far each server came with a content, and whether it still holds it.

-- Steps are "pointer=1ms files=3ms reload=12ms", in the order they were taken.
ALTER TABLE member
    ADD COLUMN failed_step text NOT NULL DEFAULT '', -- the step of `steps` that failed
    ADD COLUMN reverted_to jsonb; -- [{"scope": scope_id, "revision": 4, "hash": "ab…"}]: what it runs since
ALTER TABLE server_scope
    ADD COLUMN steps       text NOT NULL DEFAULT '', -- of the newest content that was applied, or tried
    ADD COLUMN failed_step text NOT NULL DEFAULT '',
    ADD COLUMN drift       text NOT NULL DEFAULT '', -- what differs from the recorded content, and where; '': nothing
    ADD COLUMN drifted_at  timestamptz;
CREATE INDEX server_scope_drifted ON server_scope (scope_id) WHERE drift <> '';

-- [{"step": "files", "took_ms": 3}, …]
CREATE FUNCTION steps_json(p_steps text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('step', split_part(u.one, '=', 1),
            'took_ms', rtrim(split_part(u.one, '=', 2), 'ms')::bigint) ORDER BY u.place), '[]')
        FROM unnest(string_to_array(p_steps, ' ')) WITH ORDINALITY AS u (one, place) WHERE u.one LIKE '%=%ms'
$$;
