-- 023_shapes.sql - JSON columns hold what they are read as.
-- Settings and strategies are replaced as a whole, so a row that broke the rule before may stay until
-- somebody does (NOT VALID); what an agent said of itself is said again when it next says hello.

ALTER TABLE environment ADD CONSTRAINT environment_settings_is_object CHECK (jsonb_typeof(settings) = 'object') NOT VALID;
ALTER TABLE environment ADD CONSTRAINT environment_approvals_are_few CHECK (NOT settings ? 'approvals'
    OR CASE jsonb_typeof(settings -> 'approvals') WHEN 'number' THEN (settings ->> 'approvals')::numeric BETWEEN 0 AND 100 ELSE false END) NOT VALID;
ALTER TABLE strategy ADD CONSTRAINT strategy_body_is_object CHECK (jsonb_typeof(body) = 'object') NOT VALID;

UPDATE server SET labels = '{}' WHERE jsonb_typeof(labels) <> 'object';
ALTER TABLE server ADD CONSTRAINT server_labels_are_an_object CHECK (jsonb_typeof(labels) = 'object');
