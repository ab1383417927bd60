-- Registrations that several switches share, and records that say which switch has written them.

ALTER TABLE registration
    -- Where the peer is registered; nothing where one switch has the database for itself.
    ADD COLUMN switch TEXT COLLATE "C",
    -- When it registered, by this database's clock. Of two switches that both say they have a peer the later is right,
    -- whichever is heard of first: one that was cut off writes what it has kept meanwhile when it is back.
    ADD COLUMN ordered_time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- It is registered no more. The row stays for a while, so that what was kept before that does not count.
    ADD COLUMN gone BOOLEAN NOT NULL DEFAULT false;

-- Whose registration has changed its switch, its address, or has come or gone. Renewals are nobody else's concern.
-- Sequences are drawn in another order than transactions end, so that whoever reads goes by transactions.
CREATE TABLE registration_change (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction XID8 NOT NULL DEFAULT pg_current_xact_id(),
    time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    peer TEXT COLLATE "C" NOT NULL
);

CREATE INDEX registration_change_by_transaction ON registration_change (transaction);
CREATE INDEX registration_change_by_time ON registration_change (time);

CREATE FUNCTION registration_has_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.switch IS NULL THEN
            RETURN NULL;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        IF OLD.switch IS NULL OR OLD.gone THEN
            RETURN NULL;
        END IF;
    ELSIF (OLD.switch, OLD.address, OLD.contact, OLD.gone)
        IS NOT DISTINCT FROM (NEW.switch, NEW.address, NEW.contact, NEW.gone) THEN
        RETURN NULL;
    END IF;
    INSERT INTO registration_change (peer) VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.peer ELSE NEW.peer END);
    PERFORM pg_notify('oneport', 'registrations');
    RETURN NULL;
END;
$$;

CREATE TRIGGER registration_changes AFTER INSERT OR UPDATE OR DELETE ON registration
    FOR EACH ROW EXECUTE FUNCTION registration_has_changed();

-- Legs of a call that goes over two switches are numbered by each.
ALTER TABLE cdr ADD COLUMN switch TEXT NOT NULL DEFAULT '';
ALTER TABLE cdr DROP CONSTRAINT cdr_call_id_leg_key;
ALTER TABLE cdr ADD UNIQUE (call_id, leg, switch);
ALTER TABLE refusal ADD COLUMN switch TEXT NOT NULL DEFAULT '';
ALTER TABLE refusal DROP CONSTRAINT refusal_call_id_number_key;
ALTER TABLE refusal ADD UNIQUE (call_id, number, switch);
