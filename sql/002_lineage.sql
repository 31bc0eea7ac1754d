-- 002_lineage.sql - where versions and revisions come from: parents, copies, causes, ways back.

-- The document of a scope is its parents' keys, in the order of their places, overlaid by its own.
CREATE TABLE scope_parent (
    scope_id  bigint NOT NULL REFERENCES scope,
    place     smallint NOT NULL CHECK (place > 0), -- the higher one wins
    parent_id bigint NOT NULL REFERENCES scope,
    PRIMARY KEY (scope_id, place),
    UNIQUE (scope_id, parent_id),
    CHECK (scope_id <> parent_id)
);
CREATE INDEX scope_parent_children ON scope_parent (parent_id);

-- Inherited keys are versions of the child, too: snapshots, differences and rollouts need no second
-- look, and an old revision stays what it was when a parent changes.
ALTER TABLE config_version
    ADD COLUMN origin_id bigint REFERENCES scope, -- inherited from it; NULL: the scope's own
    ADD COLUMN copy_of   bigint;                  -- the version that was put back; NULL: a new one

ALTER TABLE revision
    ADD COLUMN cause_id       bigint REFERENCES scope, -- a change of this scope made it
    ADD COLUMN cause_revision bigint,
    ADD COLUMN takes_back     bigint REFERENCES rollout, -- it is the base of this one again
    ADD CHECK ((cause_id IS NULL) = (cause_revision IS NULL));
CREATE INDEX revision_by_cause ON revision (cause_id, cause_revision) WHERE cause_id IS NOT NULL;

-- Who looks for unreleased heads.
CREATE INDEX scope_unreleased ON scope (scope_id) WHERE head > released;
