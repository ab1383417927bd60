//! What needs the server itself.

mod calls;
mod forgetting;
mod presence;
mod registrations;
mod slots;
mod statements;
mod unanswered;
