// Answers of the API: the examples of the documentation include this.

macro_rules! answer {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/api/", $name, ".json"))
    };
}

/// Of `GET /v1/calls/{id}`.
pub const CALL: &str = answer!("call");
/// Of `GET /v1/capacity`.
pub const CAPACITY: &str = answer!("capacity");
/// Of `GET /v1/overview`.
pub const OVERVIEW: &str = answer!("overview");
/// Of `GET /v1/peers/ann`.
pub const PEER: &str = answer!("peer");
/// Of `GET /v1/status`.
pub const STATUS: &str = answer!("status");
/// Of `GET /v1/calls/table?search=dialer`.
pub const TABLE: &str = answer!("table");
