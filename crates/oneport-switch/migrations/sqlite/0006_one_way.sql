-- Whether voice flowed one way only: names of reasons, the first as a sentence, and for how long.

ALTER TABLE cdr ADD COLUMN one_way TEXT;
ALTER TABLE cdr ADD COLUMN one_way_why TEXT;
ALTER TABLE cdr ADD COLUMN one_way_ms INTEGER;
