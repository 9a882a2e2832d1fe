//! The specification, one line a case. How to read a table: `../language/mod.rs`.

#[path = "../language/mod.rs"]
mod language;

mod hold;
mod lifecycle;
mod promise;
mod receipts;
mod requests;
mod rules;
mod shocks;
mod supply;
mod unmet;
