//! Several switches with one database of PostgreSQL.

mod at_postgresql;
mod setting;
