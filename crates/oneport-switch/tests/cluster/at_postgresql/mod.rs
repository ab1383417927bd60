//! What needs the server itself.

mod calls;
mod presence;
mod registrations;
mod slots;
mod statements;
mod unanswered;
