-- Moments are to the millisecond. Texts are compared by their bytes, so that their order is the same in every
-- database.

CREATE TABLE cdr (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id UUID NOT NULL,
    leg BIGINT NOT NULL,
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
    start_time TIMESTAMPTZ NOT NULL,
    answer_time TIMESTAMPTZ,
    end_time TIMESTAMPTZ NOT NULL,
    duration_ms BIGINT NOT NULL,
    billable_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    cause BIGINT NOT NULL,
    cause_text TEXT,
    hung_up_by TEXT NOT NULL,
    codec TEXT,
    encrypted BOOLEAN NOT NULL,
    trunk BOOLEAN NOT NULL,
    limit_name TEXT,
    account_code TEXT,
    frames BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    late BIGINT NOT NULL,
    out_of_order BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    jitter_us BIGINT NOT NULL,
    sent_frames BIGINT NOT NULL,
    sent_bytes BIGINT NOT NULL,
    send_drops BIGINT NOT NULL,
    retransmissions BIGINT NOT NULL,
    rtt_us BIGINT,
    remote_frames BIGINT,
    remote_lost BIGINT,
    remote_dropped BIGINT,
    remote_out_of_order BIGINT,
    remote_jitter_ms BIGINT,
    remote_delay_ms BIGINT,
    agreement TEXT NOT NULL,
    frame_ms BIGINT NOT NULL,
    late_p50_us BIGINT NOT NULL,
    late_p95_us BIGINT NOT NULL,
    late_p99_us BIGINT NOT NULL,
    late_max_us BIGINT NOT NULL,
    bursts BIGINT NOT NULL,
    burst_ms BIGINT NOT NULL,
    gap_ms BIGINT NOT NULL,
    burst_loss_percent DOUBLE PRECISION NOT NULL,
    gap_loss_percent DOUBLE PRECISION NOT NULL,
    burst_ratio DOUBLE PRECISION NOT NULL,
    clock_ppm BIGINT,
    lag_us BIGINT,
    lag_least_us BIGINT,
    lag_greatest_us BIGINT,
    lag_here_us BIGINT,
    lag_there_us BIGINT,
    rating DOUBLE PRECISION,
    mos DOUBLE PRECISION,
    remote_rating DOUBLE PRECISION,
    remote_mos DOUBLE PRECISION,
    causes TEXT,
    diagnosis TEXT,
    transcoded TEXT,
    one_way TEXT,
    one_way_why TEXT,
    one_way_ms BIGINT,
    UNIQUE (call_id, leg)
);

CREATE INDEX cdr_by_end ON cdr (end_time);
CREATE INDEX cdr_by_peer ON cdr (peer, id);

CREATE TABLE refusal (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id UUID NOT NULL,
    number BIGINT NOT NULL,
    time TIMESTAMPTZ NOT NULL,
    peer TEXT,
    address TEXT NOT NULL,
    calling_number TEXT,
    called_number TEXT NOT NULL,
    stage TEXT NOT NULL,
    kind TEXT NOT NULL,
    rule TEXT,
    value TEXT,
    destination TEXT,
    ended_call BOOLEAN NOT NULL,
    cause BIGINT,
    said TEXT,
    why TEXT NOT NULL,
    fix TEXT,
    UNIQUE (call_id, number)
);

CREATE TABLE refusal_count (
    stage TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (stage, kind)
);

CREATE TABLE registration (
    peer TEXT COLLATE "C" PRIMARY KEY,
    address TEXT NOT NULL,
    registered_time TIMESTAMPTZ NOT NULL,
    expires_time TIMESTAMPTZ NOT NULL,
    contact TEXT
);

-- Who may use the console: a name, a role, whether calls may be listened to, and the hash of a password
-- (Argon2id, in the form of the PHC). `user` is a word of the database's own.
CREATE TABLE console_user (
    name TEXT COLLATE "C" PRIMARY KEY,
    role TEXT NOT NULL,
    listens BOOLEAN NOT NULL,
    password TEXT NOT NULL
);
