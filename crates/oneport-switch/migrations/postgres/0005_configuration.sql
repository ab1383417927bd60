-- The part of the configuration that switches share, in all versions that it has had: the greatest is in force.

CREATE TABLE shared_configuration (
    version BIGINT PRIMARY KEY,
    -- TOML, as it was written.
    text TEXT NOT NULL,
    -- Who has set it: the name of a token, or of a user of the console.
    author TEXT NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION shared_configuration_has_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('oneport', 'configuration');
    RETURN NULL;
END;
$$;

CREATE TRIGGER shared_configuration_changes AFTER INSERT ON shared_configuration
    FOR EACH ROW EXECUTE FUNCTION shared_configuration_has_changed();

-- Which version each switch runs; nothing where it runs none.
ALTER TABLE switch ADD COLUMN configuration BIGINT;
