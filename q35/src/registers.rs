//! The registers of the MCH, function 00:00.0, one row each.
