//! Pages of the documentation, whose files and commands are taken as they are written.

mod alerts;
mod asterisk;
mod book;
mod boxes;
mod carriers;
mod cluster;
mod dashboard;
mod figures;
mod homer;
mod markdown;
mod network;
mod operation;
mod page;
mod readme;
mod small;
mod switch;
mod tracing;
