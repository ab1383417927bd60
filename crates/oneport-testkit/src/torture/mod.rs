//! Hostile and odd frames, each with its right answer (`testdata/torture/`), and ten thousand more
//! that a seed makes up.

mod case;
mod generate;
mod peer;
mod run;
mod template;

pub use case::{Answers, Any, Case, Chapter, From, State, Step, Then, read_all};
pub use generate::generate;
pub use run::run;
pub use template::{Values, expand, hex, takes_number, unhex};
