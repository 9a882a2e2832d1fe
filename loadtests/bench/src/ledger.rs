//! The client's own account of what it was promised, held against the server's at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Result, bail};
use serde::Serialize;

/// Units taken and not given back, per SKU, over all rounds against one server.
#[derive(Clone)]
pub struct Ledger(Arc<[AtomicI64]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub skus: u64,
    pub units_sold: u64,
    pub units_oversold: u64,
}

impl Ledger {
    pub fn new(skus: u32) -> Self {
        Self((0..skus).map(|_| AtomicI64::new(0)).collect())
    }

    /// The same account with more SKUs behind those that it has.
    pub fn grown(&self, more: u32) -> Self {
        let kept = self.0.iter().map(|units| units.load(Ordering::Relaxed));
        let new = std::iter::repeat_n(0, more as usize);
        Self(kept.chain(new).map(AtomicI64::new).collect())
    }

    pub fn accepted(&self, sku: u32, quantity: u8) {
        self.0[sku as usize].fetch_add(i64::from(quantity), Ordering::Relaxed);
    }

    pub fn cancelled(&self, sku: u32, quantity: u8) {
        self.0[sku as usize].fetch_sub(i64::from(quantity), Ordering::Relaxed);
    }

    /// Holds what each SKU began with against what the server says is left.
    ///
    /// # Errors
    /// Units were sold that did not exist, or the server's account differs from the answers it gave.
    pub fn verify(&self, begin: impl Fn(u32) -> u64, left: &[i64]) -> Result<Verified> {
        if left.len() != self.0.len() {
            bail!(
                "{} SKUs were sold from, the server tells of {}",
                self.0.len(),
                left.len()
            );
        }
        let mut verified = Verified {
            skus: 0,
            units_sold: 0,
            units_oversold: 0,
        };
        let mut wrong = Vec::new();
        for (sku, (sold, &left)) in self.0.iter().zip(left).enumerate() {
            let sold = sold.load(Ordering::Relaxed);
            let stock = begin(sku as u32).cast_signed();
            verified.skus += 1;
            verified.units_sold += sold.max(0).cast_unsigned();
            verified.units_oversold += (sold - stock).max(0).cast_unsigned();
            if left < 0 || stock - sold != left {
                wrong.push(format!(
                    "sku {sku}: {stock} at first, {sold} sold, {left} left"
                ));
            }
        }
        if !wrong.is_empty() {
            bail!(
                "the account of {} SKUs does not add up, {} units oversold: {}",
                wrong.len(),
                verified.units_oversold,
                wrong[..wrong.len().min(3)].join("; ")
            );
        }
        Ok(verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sold(units: &[u8]) -> Ledger {
        let ledger = Ledger::new(units.len() as u32);
        for (sku, &quantity) in units.iter().enumerate() {
            ledger.accepted(sku as u32, quantity);
        }
        ledger
    }

    #[test]
    fn an_account_that_adds_up_is_verified() {
        let ledger = sold(&[3, 0, 10]);
        ledger.cancelled(2, 4);
        let verified = ledger.verify(|_| 10, &[7, 10, 4]).unwrap();
        assert_eq!(
            verified,
            Verified {
                skus: 3,
                units_sold: 9,
                units_oversold: 0
            }
        );
    }

    #[test]
    fn a_grown_account_keeps_what_it_had() {
        let ledger = sold(&[3, 0]).grown(2);
        ledger.accepted(3, 5);
        assert!(ledger.verify(|_| 10, &[7, 10, 10, 5]).is_ok());
        assert!(ledger.verify(|_| 10, &[7, 10]).is_err());
    }

    #[test]
    fn overselling_is_found() {
        let error = sold(&[11]).verify(|_| 10, &[0]).unwrap_err().to_string();
        assert!(error.contains("1 units oversold"), "{error}");
        assert!(sold(&[11]).verify(|_| 10, &[-1]).is_err());
    }

    #[test]
    fn a_lost_or_invented_sale_is_found() {
        assert!(sold(&[3]).verify(|_| 10, &[10]).is_err());
        assert!(sold(&[3]).verify(|_| 10, &[6]).is_err());
        assert!(sold(&[3]).verify(|_| 10, &[7, 10]).is_err());
    }
}
