-- The codec of the other leg, where a leg's voice was transcoded. Of legs that ended before, nobody knows.

ALTER TABLE cdr ADD COLUMN transcoded TEXT;
