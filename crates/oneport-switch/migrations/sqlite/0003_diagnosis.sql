-- What ailed a leg: names of causes, and a sentence with the figures that show them.

ALTER TABLE cdr ADD COLUMN causes TEXT;
ALTER TABLE cdr ADD COLUMN diagnosis TEXT;
