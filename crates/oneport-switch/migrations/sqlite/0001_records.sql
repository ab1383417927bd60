-- Times are text in UTC as RFC 3339 writes it, with milliseconds: their order is that of the texts.

CREATE TABLE cdr (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id TEXT NOT NULL,
    leg INTEGER NOT NULL,
    direction TEXT NOT NULL,
    peer TEXT,
    address TEXT NOT NULL,
    calling_number TEXT,
    calling_name TEXT,
    called_number TEXT NOT NULL,
    dnid TEXT,
    rdnis TEXT,
    route TEXT,
    destination TEXT,
    start_time TEXT NOT NULL,
    answer_time TEXT,
    end_time TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    billable_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    cause INTEGER NOT NULL,
    cause_text TEXT,
    hung_up_by TEXT NOT NULL,
    codec TEXT,
    encrypted INTEGER NOT NULL,
    trunk INTEGER NOT NULL,
    limit_name TEXT,
    account_code TEXT,
    frames INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    late INTEGER NOT NULL,
    out_of_order INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    jitter_us INTEGER NOT NULL,
    sent_frames INTEGER NOT NULL,
    sent_bytes INTEGER NOT NULL,
    send_drops INTEGER NOT NULL,
    retransmissions INTEGER NOT NULL,
    rtt_us INTEGER,
    remote_frames INTEGER,
    remote_lost INTEGER,
    remote_dropped INTEGER,
    remote_out_of_order INTEGER,
    remote_jitter_ms INTEGER,
    remote_delay_ms INTEGER,
    agreement TEXT NOT NULL,
    UNIQUE (call_id, leg)
) STRICT;

CREATE INDEX cdr_by_end ON cdr (end_time);
CREATE INDEX cdr_by_peer ON cdr (peer, id);

CREATE TABLE refusal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    time TEXT NOT NULL,
    peer TEXT,
    address TEXT NOT NULL,
    calling_number TEXT,
    called_number TEXT NOT NULL,
    stage TEXT NOT NULL,
    kind TEXT NOT NULL,
    rule TEXT,
    value TEXT,
    destination TEXT,
    ended_call INTEGER NOT NULL,
    cause INTEGER,
    said TEXT,
    why TEXT NOT NULL,
    fix TEXT,
    UNIQUE (call_id, number)
) STRICT;

CREATE TABLE refusal_count (
    stage TEXT NOT NULL,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (stage, kind)
) STRICT;

CREATE TABLE registration (
    peer TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    registered_time TEXT NOT NULL,
    expires_time TEXT NOT NULL
) STRICT;
