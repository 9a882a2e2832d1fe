//! The specification, one line a case. How to read a table: `../language/mod.rs`.

#[path = "../language/mod.rs"]
mod language;

mod buffers;
mod catalog;
mod golden;
mod hold;
mod lifecycle;
mod limits;
mod promise;
mod reads;
mod receipts;
mod replace;
mod requests;
mod rules;
mod shocks;
mod supply;
mod unmet;
