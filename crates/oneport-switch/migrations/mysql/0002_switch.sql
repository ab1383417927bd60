-- Which of several switches with one database has written a record; empty where it is alone, as it is here.

ALTER TABLE cdr ADD COLUMN IF NOT EXISTS switch VARCHAR(64) NOT NULL DEFAULT '';
ALTER TABLE refusal ADD COLUMN IF NOT EXISTS switch VARCHAR(64) NOT NULL DEFAULT '';
