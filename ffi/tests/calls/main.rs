//! The library as C calls it.

mod bus;
mod host;
mod known;
mod record;
mod reset;
mod withdraw;
