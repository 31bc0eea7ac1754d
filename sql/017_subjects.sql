-- 017_subjects.sql - whose a token is, and which token made it: rights end with what they came from.
-- A name is what a token is called; its subject is the person or the machine behind it, and what the
-- audit trail, approvals and the authors of rollouts go by. Until now the name stood for both.

ALTER TABLE token ADD COLUMN subject text, ADD COLUMN made_by text REFERENCES token;
UPDATE token SET subject = name;
ALTER TABLE token ALTER COLUMN subject SET NOT NULL;
CREATE INDEX token_by_maker ON token (made_by) WHERE made_by IS NOT NULL;

-- Is a token in the hands of this subject: its own, or made by one of its tokens, or by one of those?
CREATE FUNCTION token_is_of(p_token text, p_subject text) RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH RECURSIVE up AS (SELECT t.token_id, t.subject, t.made_by FROM token AS t WHERE t.token_id = p_token
        UNION SELECT t.token_id, t.subject, t.made_by FROM token AS t JOIN up ON t.token_id = up.made_by)
    SELECT EXISTS (SELECT 1 FROM up WHERE subject = p_subject)
$$;

-- Who made a token has seen it, and could use it: a token that the author of a rollout made approves
-- nothing of that author's, whoever it was made for.
ALTER TABLE rollout_approval ADD COLUMN token_id text REFERENCES token;
CREATE FUNCTION approval_is_by_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF token_is_of(NEW.token_id, NEW.author) THEN
        RAISE EXCEPTION 'the token that approves was made by the author of the rollout' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_by_another BEFORE INSERT OR UPDATE ON rollout_approval FOR EACH ROW
    WHEN (NEW.token_id IS NOT NULL) EXECUTE FUNCTION approval_is_by_another();
