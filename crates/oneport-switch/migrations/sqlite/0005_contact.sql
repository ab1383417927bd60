-- Transport and URI of a peer that registered by SIP. Others have none.

ALTER TABLE registration ADD COLUMN contact TEXT;
