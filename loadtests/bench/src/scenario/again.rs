//! Writes without a good answer: nobody knows whether they were done, until they are sent again under the same id.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bespeak_proto::v1::*;
use serde::Serialize;

use super::client::{Client, Finished, Reserved, Sent};
use super::holds::{Hold, Units, gone};
use super::plans::Plans;
use crate::grpc::{CallError, Channel};
use crate::ledger::Ledger;

/// Questions about reservations that are under way at once.
const ASKED: usize = 32;

/// What a write would have brought.
pub enum Then {
    Reserved(Units),
    Confirmed(Hold),
    Released(Hold),
    Fulfilled(u64),
    Found(u32, u8),
    Planned(usize),
}

/// A write that was sent and has no good answer.
pub struct Unsure {
    pub sent: Sent,
    pub then: Then,
}

/// What a reservation was last acknowledged to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Held,
    Confirmed,
    /// Fulfilled or released: the server keeps no more than that it was made.
    Ended,
}

pub type Acknowledged = BTreeMap<u64, Known>;

/// What sending again and asking showed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Settled {
    /// Writes that had no good answer and were sent again.
    pub sent_again: u64,
    /// Of the reserves among them, those that had been done before.
    pub done_before: u64,
    /// Reservations that were acknowledged, every one of which was found again.
    pub acknowledged: u64,
}

/// Sends each again and accounts for what is told. Gives holds that nobody has finished.
///
/// # Errors
/// The server is gone, or answers wrongly.
pub async fn send(
    unsure: Vec<Unsure>,
    client: &mut Client,
    ledger: &Ledger,
    plans: Option<&Plans>,
    acknowledged: &mut Acknowledged,
) -> Result<(Vec<Hold>, Settled)> {
    let mut rest = Vec::new();
    let mut settled = Settled::default();
    for Unsure { sent, then } in unsure {
        settled.sent_again += 1;
        let answer = client.resend(&sent).await.context("sent again")?;
        match then {
            Then::Reserved(units) => {
                let (reserved, before) = Client::reserved(answer)?;
                settled.done_before += u64::from(before);
                if let Reserved::Held(id) = reserved {
                    accepted(&units, ledger);
                    acknowledged.insert(id, Known::Held);
                    rest.push(Hold { id, units });
                }
            }
            Then::Confirmed(hold) => match Client::confirmed(answer, hold.id)? {
                Finished::Done => {
                    acknowledged.insert(hold.id, Known::Confirmed);
                }
                Finished::Expired => {
                    gone(&hold.units, ledger);
                    acknowledged.insert(hold.id, Known::Ended);
                }
            },
            Then::Released(hold) => {
                Client::released(answer, hold.id)?;
                gone(&hold.units, ledger);
                acknowledged.insert(hold.id, Known::Ended);
            }
            Then::Fulfilled(id) => {
                Client::fulfilled(answer, id)?;
                acknowledged.insert(id, Known::Ended);
            }
            Then::Found(sku, quantity) => {
                Client::adjusted(answer)?;
                gone(&[(sku, quantity)], ledger);
            }
            Then::Planned(batch) => {
                let plans = plans.context("a batch without plans")?;
                let planned = plans.held(batch, &Client::planned(answer)?)?;
                for hold in planned.holds {
                    accepted(&hold.units, ledger);
                    acknowledged.insert(hold.id, Known::Held);
                    rest.push(hold);
                }
            }
        }
    }
    Ok((rest, settled))
}

fn accepted(units: &Units, ledger: &Ledger) {
    for &(sku, quantity) in units {
        ledger.accepted(sku, quantity);
    }
}

/// Asks for every reservation that was acknowledged.
///
/// # Errors
/// One is not there, or is not what was acknowledged.
pub async fn find(acknowledged: Acknowledged, channel: &Channel) -> Result<u64> {
    let all: Arc<[(u64, Known)]> = acknowledged.into_iter().collect();
    let asking = (0..ASKED).map(|first| {
        let (mut channel, all) = (channel.clone(), all.clone());
        tokio::spawn(async move {
            for &(reservation_id, known) in all.iter().skip(first).step_by(ASKED) {
                let request = GetReservationRequest { reservation_id };
                let path = "/bespeak.v1.PromiseService/GetReservation";
                let answer: Result<GetReservationResponse> = channel.call(path, &request).await;
                let found = match answer {
                    Ok(answer) => answer.reservation.map(|one| one.state()),
                    Err(error) if error.downcast_ref::<CallError>().is_some() => {
                        bail!("reservation {reservation_id} was acknowledged and is lost: {error}")
                    }
                    Err(error) => return Err(error),
                };
                check(reservation_id, known, found)?;
            }
            Ok(())
        })
    });
    for task in asking.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(all.len() as u64)
}

/// A hold may have expired since; what is expired or ended is no longer kept.
fn check(id: u64, known: Known, found: Option<ReservationState>) -> Result<()> {
    let fits = match known {
        Known::Held => matches!(
            found,
            None | Some(ReservationState::Held | ReservationState::Expired)
        ),
        Known::Confirmed => found == Some(ReservationState::Confirmed),
        Known::Ended => matches!(
            found,
            None | Some(
                ReservationState::Fulfilled
                    | ReservationState::Released
                    | ReservationState::Expired
            )
        ),
    };
    ensure!(
        fits,
        "reservation {id} was acknowledged as {known:?}, the server has {found:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_acknowledged_fits() {
        use ReservationState as State;
        for (known, found, fits) in [
            (Known::Held, Some(State::Held), true),
            (Known::Held, None, true),
            (Known::Held, Some(State::Confirmed), false),
            (Known::Confirmed, Some(State::Confirmed), true),
            (Known::Confirmed, Some(State::Held), false),
            (Known::Confirmed, None, false),
            (Known::Ended, None, true),
            (Known::Ended, Some(State::Confirmed), false),
            (Known::Ended, Some(State::Held), false),
        ] {
            assert_eq!(check(1, known, found).is_ok(), fits, "{known:?} {found:?}");
        }
    }
}
