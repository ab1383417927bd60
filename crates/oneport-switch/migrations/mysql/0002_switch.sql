-- Which of several switches with one database has written a record; empty where it is alone, as it is here.
--
-- Each change of a table is durable by itself, so that one may have been made before the switch was stopped. MariaDB alone
-- has IF NOT EXISTS for columns.

SET @there = (SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'cdr' AND column_name = 'switch');
SET @change = IF(@there, 'DO 0', 'ALTER TABLE cdr ADD COLUMN switch VARCHAR(64) NOT NULL DEFAULT ''''');
PREPARE step FROM @change;
EXECUTE step;
DEALLOCATE PREPARE step;

SET @there = (SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'refusal' AND column_name = 'switch');
SET @change = IF(@there, 'DO 0', 'ALTER TABLE refusal ADD COLUMN switch VARCHAR(64) NOT NULL DEFAULT ''''');
PREPARE step FROM @change;
EXECUTE step;
DEALLOCATE PREPARE step;
