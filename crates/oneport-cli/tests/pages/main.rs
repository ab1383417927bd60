//! Pages of the documentation, whose files and commands are taken as they are written.

mod carriers;
mod operation;
mod page;
mod readme;
mod switch;
