-- 004_approvals.sql - approvals of rollouts by others than their author, broken glass, freezes.
-- What S13 of common/PROTOCOL.md asks for is a constraint here, whoever writes.

ALTER TABLE rollout
    ADD COLUMN approvals_needed integer NOT NULL DEFAULT 0 CHECK (approvals_needed >= 0),
    ADD COLUMN approvals integer NOT NULL DEFAULT 0, -- that were valid when it started
    ADD COLUMN approved_base text,                   -- and for which base
    ADD UNIQUE (rollout_id, created_by),
    -- It runs, ran or will run only with its approvals, or over broken glass.
    ADD CONSTRAINT rollout_is_approved CHECK (approvals >= approvals_needed OR break_glass
        OR state IN ('awaiting_approval', 'rejected', 'aborted')),
    ADD CONSTRAINT rollout_glass_has_a_note CHECK (NOT break_glass OR note ~ '\S');

-- Never by the author. An approval is for one base: it is void when a scope's released revision moved.
CREATE TABLE rollout_approval (
    rollout_id bigint NOT NULL,
    author  text NOT NULL,
    actor   text NOT NULL,
    base    text NOT NULL,
    reason  text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (rollout_id, base, actor),
    FOREIGN KEY (rollout_id, author) REFERENCES rollout (rollout_id, created_by),
    CONSTRAINT approval_is_not_by_the_author CHECK (actor <> author)
);

-- What the rollout's scopes run at the moment: "12@41,13@7", by scope id.
CREATE FUNCTION rollout_base(p_rollout bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(s.scope_id || '@' || s.released, ',' ORDER BY s.scope_id)
        FROM rollout_change AS c JOIN scope AS s USING (scope_id) WHERE c.rollout_id = p_rollout
$$;

-- Approvals are counted by the database, at the moment when the rollout leaves its waiting room.
CREATE FUNCTION rollout_count_approvals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.approvals_needed := OLD.approvals_needed;
    NEW.created_by := OLD.created_by;
    NEW.break_glass := OLD.break_glass;
    NEW.approved_base := OLD.approved_base;
    NEW.approvals := OLD.approvals;
    IF OLD.state = 'awaiting_approval' AND NEW.state <> 'awaiting_approval' THEN
        NEW.approved_base := rollout_base(NEW.rollout_id);
        NEW.approvals := (SELECT count(*) FROM rollout_approval AS a
            WHERE a.rollout_id = NEW.rollout_id AND a.base = NEW.approved_base);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rollout_approvals BEFORE UPDATE ON rollout FOR EACH ROW
    WHEN (OLD.state = 'awaiting_approval' OR (NEW.approvals_needed, NEW.approvals, NEW.approved_base, NEW.created_by, NEW.break_glass)
        IS DISTINCT FROM (OLD.approvals_needed, OLD.approvals, OLD.approved_base, OLD.created_by, OLD.break_glass))
    EXECUTE FUNCTION rollout_count_approvals();

CREATE TABLE change_freeze (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]*$' AND length(name) <= 100),
    environment text NOT NULL, -- one, or "*"
    service     text NOT NULL, -- a glob
    reason      text NOT NULL,
    starts_at   timestamptz,
    ends_at     timestamptz,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
