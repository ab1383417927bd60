-- Which registration has lost against a later one at another switch.

ALTER TABLE registration
    -- By switch: the latest of its registrations of this peer that another switch has a later one than, in milliseconds
    -- since 1970 by the clock of that switch. A switch knows by it whether what it has of the peer counts.
    ADD COLUMN lost JSONB NOT NULL DEFAULT '{}';

CREATE OR REPLACE FUNCTION registration_has_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.switch IS NULL THEN
            RETURN NULL;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        IF OLD.switch IS NULL OR OLD.gone THEN
            RETURN NULL;
        END IF;
    ELSIF (OLD.switch, OLD.address, OLD.contact, OLD.gone, OLD.lost)
        IS NOT DISTINCT FROM (NEW.switch, NEW.address, NEW.contact, NEW.gone, NEW.lost) THEN
        RETURN NULL;
    END IF;
    INSERT INTO registration_change (peer) VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.peer ELSE NEW.peer END);
    PERFORM pg_notify('oneport', 'registrations');
    RETURN NULL;
END;
$$;
