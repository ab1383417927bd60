//! The web console in Chromium: what users see and press, by keyboard too, and what axe-core says of it.

mod accessible;
mod actions;
mod browser;
mod calls;
mod past;
mod scene;
mod screens;
mod signing;
mod switches;
