-- 011_entitlement.sql - a server belongs to a scope while its enrolment allows that, and no longer.
-- lockstepd asks the enrolment before it writes or sends anything; here the database refuses what it would forget.

-- An enrolment says what it allows: nothing is every scope unless somebody wrote "*".
ALTER TABLE server ALTER COLUMN scopes DROP DEFAULT,
    ADD CONSTRAINT server_scopes_said CHECK (cardinality(scopes) > 0);

-- As common/name.h matches globs: "*" stands for any characters, "/" among them, "?" for one.
CREATE FUNCTION scope_is_allowed(p_globs text[], p_service text, p_environment text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(bool_or(p_service || '/' || p_environment LIKE
        translate(replace(replace(replace(g, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_')), false) FROM unnest(p_globs) AS g
$$;

-- Memberships that no glob covers were made by what agents said: they end.
WITH gone AS (DELETE FROM server_scope AS m USING server AS v, scope AS s WHERE v.server_id = m.server_id
        AND s.scope_id = m.scope_id AND NOT scope_is_allowed(v.scopes, s.service, s.environment)
    RETURNING m.server_id, s.service || '/' || s.environment AS scope)
SELECT audit_append('lockstepd', 'server.leave', NULL, g.server_id, NULL, jsonb_build_object('scopes', jsonb_agg(g.scope ORDER BY g.scope),
    'reason', 'the enrolment does not allow them')) FROM gone AS g GROUP BY g.server_id;

-- The lock makes a change of the enrolment wait, and the other way round: neither misses the other.
CREATE FUNCTION server_scope_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE globs text[];
BEGIN
    SELECT v.scopes INTO globs FROM server AS v WHERE v.server_id = NEW.server_id FOR SHARE;
    IF NOT EXISTS (SELECT 1 FROM scope AS s WHERE s.scope_id = NEW.scope_id AND scope_is_allowed(globs, s.service, s.environment)) THEN
        RAISE EXCEPTION 'the enrolment of server % does not allow scope %', NEW.server_id, NEW.scope_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER server_scope_is_allowed BEFORE INSERT OR UPDATE OF server_id, scope_id ON server_scope
    FOR EACH ROW EXECUTE FUNCTION server_scope_check();

-- An enrolment that allows less ends what it no longer covers.
CREATE FUNCTION server_scopes_shrink() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM server_scope AS m USING scope AS s WHERE m.server_id = NEW.server_id AND s.scope_id = m.scope_id
        AND NOT scope_is_allowed(NEW.scopes, s.service, s.environment);
    RETURN NULL;
END $$;
CREATE TRIGGER server_scopes_end AFTER UPDATE OF scopes ON server FOR EACH ROW
    WHEN (OLD.scopes IS DISTINCT FROM NEW.scopes) EXECUTE FUNCTION server_scopes_shrink();
