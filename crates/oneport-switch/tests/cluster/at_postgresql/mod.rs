//! What needs the server itself.

mod presence;
mod slots;
