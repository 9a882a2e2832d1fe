//! Requests built once: ids, SKU and quantity are written into a copy of the finished bytes, as a
//! caller with its own encoder would.

use bespeak_proto::v1::{
    CheckLine, CheckRequest, RequestContext, ReserveLine, ReserveRequest, SessionRequest,
    session_request,
};
use bytes::{BufMut, Bytes, BytesMut};

use super::LOCATION;
use crate::grpc::{PREFIX, frame};
use crate::ids::ID_LEN;

/// Long enough that no hold of a benchmark expires.
const HOLD_MS: i64 = 600_000;
/// Protobuf field numbers and wire types, as one byte.
const CONTEXT_TAG: u8 = 1 << 3 | 2;
const REQUEST_ID_TAG: u8 = 1 << 3 | 2;
const RESERVATION_ID_TAG: u8 = 2 << 3;

/// What the item of a SKU is called, always equally long.
pub fn item(sku: u32) -> String {
    format!("sku-{sku:07}")
}

/// Finished requests of one transport: bare messages, or wrapped for a session stream.
pub struct Requests {
    reserve: Template,
    check: Template,
    session: bool,
}

struct Template {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    sku_at: usize,
    quantity_at: Option<usize>,
}

impl Requests {
    pub fn new(session: bool) -> Self {
        Self::holding(session, HOLD_MS)
    }

    /// Reserves hold for so many milliseconds.
    pub fn holding(session: bool, hold_ms: i64) -> Self {
        let reserve = |id: &str, sku, quantity| {
            let mut request = reserve_request(id, sku, quantity);
            request.expires_in_ms = hold_ms;
            if session {
                wrap(session_request::Request::Reserve(request))
            } else {
                frame(&request)
            }
        };
        let check = |sku| {
            let request = check_request(sku);
            if session {
                wrap(session_request::Request::Check(request))
            } else {
                frame(&request)
            }
        };
        let (zeros, nines) = ("0".repeat(ID_LEN), "9".repeat(ID_LEN));
        let bytes = reserve(&zeros, 0, 1);
        let reserve = Template {
            id_at: Some(first_difference(&bytes, &reserve(&nines, 0, 1))),
            sku_at: first_difference(&bytes, &reserve(&zeros, 9_999_999, 1)),
            quantity_at: Some(first_difference(&bytes, &reserve(&zeros, 0, 2))),
            bytes: bytes.to_vec(),
        };
        let bytes = check(0);
        let check = Template {
            id_at: None,
            sku_at: first_difference(&bytes, &check(9_999_999)),
            quantity_at: None,
            bytes: bytes.to_vec(),
        };
        Self {
            reserve,
            check,
            session,
        }
    }

    pub fn reserve(&self, id: &[u8; ID_LEN], sku: u32, quantity: u8) -> Bytes {
        self.reserve.stamp(Some(id), sku, quantity)
    }

    pub fn check(&self, sku: u32) -> Bytes {
        self.check.stamp(None, sku, 0)
    }

    pub fn confirm(&self, id: &[u8; ID_LEN], reservation: u64) -> Bytes {
        self.by_reservation(3, id, reservation)
    }

    /// Fulfils all that is open.
    pub fn fulfil(&self, id: &[u8; ID_LEN], reservation: u64) -> Bytes {
        self.by_reservation(4, id, reservation)
    }

    pub fn release(&self, id: &[u8; ID_LEN], reservation: u64) -> Bytes {
        self.by_reservation(5, id, reservation)
    }

    /// Confirm, fulfil and release have the same two fields; `field` is theirs in a session request.
    fn by_reservation(&self, field: u8, id: &[u8; ID_LEN], reservation: u64) -> Bytes {
        let len = 2 + 2 + ID_LEN + 1 + varint_len(reservation);
        let wrapper = if self.session { 2 } else { 0 };
        let mut out = BytesMut::with_capacity(PREFIX + wrapper + len);
        out.put_u8(0);
        out.put_u32((wrapper + len) as u32);
        if self.session {
            out.put_slice(&[field << 3 | 2, len as u8]);
        }
        out.put_slice(&[CONTEXT_TAG, 2 + ID_LEN as u8, REQUEST_ID_TAG, ID_LEN as u8]);
        out.put_slice(id);
        out.put_u8(RESERVATION_ID_TAG);
        put_varint(&mut out, reservation);
        out.freeze()
    }
}

impl Template {
    fn stamp(&self, id: Option<&[u8; ID_LEN]>, mut sku: u32, quantity: u8) -> Bytes {
        let mut out = BytesMut::from(self.bytes.as_slice());
        if let (Some(at), Some(id)) = (self.id_at, id) {
            out[at..at + ID_LEN].copy_from_slice(id);
        }
        for digit in (self.sku_at..self.sku_at + 7).rev() {
            out[digit] = b'0' + (sku % 10) as u8;
            sku /= 10;
        }
        if let Some(at) = self.quantity_at {
            out[at] = quantity;
        }
        out.freeze()
    }
}

/// A request as a message of a session stream.
pub fn wrap(request: session_request::Request) -> Bytes {
    frame(&SessionRequest {
        request: Some(request),
    })
}

fn reserve_request(id: &str, sku: u32, quantity: u64) -> ReserveRequest {
    ReserveRequest {
        context: context(id),
        lines: vec![ReserveLine {
            item: item(sku),
            location: LOCATION.to_owned(),
            quantity,
            ..Default::default()
        }],
        expires_in_ms: HOLD_MS,
        ..Default::default()
    }
}

fn check_request(sku: u32) -> CheckRequest {
    let line = CheckLine {
        item: item(sku),
        location: LOCATION.to_owned(),
        quantity: 1,
        ..Default::default()
    };
    CheckRequest {
        lines: vec![line],
        ..Default::default()
    }
}

pub fn context(id: &str) -> Option<RequestContext> {
    Some(RequestContext {
        request_id: id.to_owned(),
        ..Default::default()
    })
}

fn first_difference(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len(), "a template must not change its length");
    a.iter()
        .zip(b)
        .position(|(x, y)| x != y)
        .expect("the two requests differ")
}

fn varint_len(value: u64) -> usize {
    prost::encoding::encoded_len_varint(value)
}

fn put_varint(out: &mut BytesMut, value: u64) {
    prost::encoding::encode_varint(value, out);
}

#[cfg(test)]
mod tests {
    use bespeak_proto::v1::{ConfirmRequest, FulfilRequest, ReleaseRequest};

    use super::*;

    const ID: &[u8; ID_LEN] = b"01234567-89ab-7def-8123-456789abcdef";

    fn id() -> String {
        String::from_utf8(ID.to_vec()).unwrap()
    }

    #[test]
    fn stamped_requests_are_what_an_encoder_makes() {
        let bare = Requests::new(false);
        let session = Requests::new(true);
        for (sku, quantity) in [(0, 1), (42_017, 3), (9_999_999, 2)] {
            let reserve = reserve_request(&id(), sku, u64::from(quantity));
            assert_eq!(bare.reserve(ID, sku, quantity), frame(&reserve));
            let wrapped = wrap(session_request::Request::Reserve(reserve));
            assert_eq!(session.reserve(ID, sku, quantity), wrapped);
            assert_eq!(bare.check(sku), frame(&check_request(sku)));
            let wrapped = wrap(session_request::Request::Check(check_request(sku)));
            assert_eq!(session.check(sku), wrapped);
        }
    }

    #[test]
    fn settlements_are_what_an_encoder_makes() {
        let bare = Requests::new(false);
        let session = Requests::new(true);
        for reservation_id in [1, 127, 128, 1 << 40, u64::MAX] {
            let confirm = ConfirmRequest {
                context: context(&id()),
                reservation_id,
            };
            assert_eq!(bare.confirm(ID, reservation_id), frame(&confirm));
            let wrapped = wrap(session_request::Request::Confirm(confirm));
            assert_eq!(session.confirm(ID, reservation_id), wrapped);
            let release = ReleaseRequest {
                context: context(&id()),
                reservation_id,
                lines: Vec::new(),
            };
            let fulfil = FulfilRequest {
                context: context(&id()),
                reservation_id,
                ..Default::default()
            };
            assert_eq!(bare.fulfil(ID, reservation_id), frame(&fulfil));
            let wrapped = wrap(session_request::Request::Fulfil(fulfil));
            assert_eq!(session.fulfil(ID, reservation_id), wrapped);
            assert_eq!(bare.release(ID, reservation_id), frame(&release));
            let wrapped = wrap(session_request::Request::Release(release));
            assert_eq!(session.release(ID, reservation_id), wrapped);
        }
    }

    #[test]
    fn items_are_equally_long() {
        assert_eq!(item(0).len(), 11);
        assert_eq!(item(9_999_999).len(), 11);
    }
}
