//! Orders that are being held. A request that is sent again while the first is under way would find nothing held yet, plan
//! its orders anew, and tell of a plan that is not what the first one holds.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::batch::Batch;
use super::hold::Holding;
use crate::api::Api;
use crate::error::ApiError;

/// What a caller whose orders are being held is told to wait, milliseconds.
const RETRY_MS: u64 = 50;

/// Request ids of orders that are being held.
#[derive(Debug, Default)]
pub struct Claims(Mutex<HashSet<u128>>);

/// Orders that nobody else holds meanwhile.
#[derive(Debug)]
pub struct Claim<'a> {
    claims: &'a Claims,
    ids: Vec<u128>,
}

/// Claims the orders of a batch.
///
/// # Errors
/// As [`Claims::take`].
pub fn claim<'a>(
    api: &'a Api,
    batch: &Batch,
    holdings: &[&Holding],
) -> Result<Claim<'a>, ApiError> {
    let names = holdings.iter().zip(&batch.names.orders);
    let ids = names.map(|(holding, name)| holding.id_of(name)).collect();
    api.desk().claims.take(ids)
}

impl Claims {
    /// Claims all of them, or none.
    ///
    /// # Errors
    /// `Overloaded` when one is being held by another call, at once.
    pub fn take(&self, ids: Vec<u128>) -> Result<Claim<'_>, ApiError> {
        let mut taken = self.lock();
        if ids.iter().any(|id| taken.contains(id)) {
            return Err(ApiError::Overloaded {
                what: "calls at once that hold an order under the same request id",
                limit: 1,
                retry_ms: RETRY_MS,
            });
        }
        taken.extend(&ids);
        drop(taken);
        Ok(Claim { claims: self, ids })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u128>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut taken = self.claims.lock();
        for id in &self.ids {
            taken.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_held_by_one_call_at_a_time() {
        let claims = Claims::default();
        let first = claims.take(vec![1, 2]).expect("nobody has them");
        let full = claims.take(vec![3, 2]).expect_err("2 is being held");
        assert_eq!(full.code(), "OVERLOADED");
        assert!(full.retry_after().is_some());
        let other = claims.take(vec![3, 4]).expect("3 was not claimed");
        drop(first);
        drop(claims.take(vec![1, 2]).expect("they are free again"));
        assert!(claims.take(vec![4]).is_err());
        drop(other);
        assert!(claims.lock().is_empty());
    }
}
