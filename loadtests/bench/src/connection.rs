//! What one client can ask of a server. Every system answers the same four questions.

use anyhow::{Result, bail};

/// What becomes of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    Confirm,
    Cancel,
}

/// One client's line to a server, one question at a time.
pub trait Connection: Send + 'static {
    /// What the server calls a hold.
    type Hold: Send + Copy + 'static;

    /// Holds `quantity` units of a SKU. `None` when there are not that many.
    fn reserve(
        &mut self,
        sku: u32,
        quantity: u8,
    ) -> impl Future<Output = Result<Option<Self::Hold>>> + Send;

    /// Confirms or cancels a hold.
    ///
    /// # Errors
    /// The server did not accept it: every hold settled here is live.
    fn settle(&mut self, hold: Self::Hold, how: Settle) -> impl Future<Output = Result<()>> + Send;

    /// Units of a SKU that can be had now.
    fn check(&mut self, sku: u32) -> impl Future<Output = Result<u64>> + Send;

    /// Reserves each line by itself, all in one trip; tells for each whether it was held.
    fn reserve_batch(
        &mut self,
        lines: &[(u32, u8)],
    ) -> impl Future<Output = Result<Vec<bool>>> + Send {
        let lines = lines.len();
        async move { bail!("a batch of {lines} lines was sent to a client that knows no batches") }
    }
}
