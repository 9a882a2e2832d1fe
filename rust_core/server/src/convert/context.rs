//! Who asks, and under which id.

use bespeak_engine::{Meta, State};
use bespeak_proto::v1 as pb;
use prost::Message;

use super::fields;
use crate::error::ApiError;
use crate::method::Method;

/// Far from overflow, and more than any feed counts to.
pub const SEQUENCE_MAX: u64 = (1 << 62) - 1;

/// Makes the journal's account of a caller.
///
/// # Errors
/// `InvalidArgument` when the context or its request id is missing, or a name is out of bounds.
pub fn meta(context: &mut Option<pb::RequestContext>, trace_id: u128) -> Result<Meta, ApiError> {
    let Some(context) = context else {
        return Err(ApiError::invalid(
            "context",
            "missing",
            "every write carries one, with a request_id",
        ));
    };
    let source = match &mut context.source {
        None => None,
        Some(source) => {
            if source.sequence == 0 || source.sequence > SEQUENCE_MAX {
                let rule = "it must be 1 to 4611686018427387903";
                return Err(ApiError::invalid(
                    "context.source.sequence",
                    source.sequence,
                    rule,
                ));
            }
            Some((
                fields::take_required("context.source.source", &mut source.source)?,
                source.sequence,
            ))
        }
    };
    Ok(Meta {
        request_id: fields::request_id("context.request_id", &context.request_id)?,
        tenant: fields::take_name("context.tenant", &mut context.tenant)?,
        actor: fields::take_name("context.actor", &mut context.actor)?,
        trace_id,
        source,
        sent: 0,
    })
}

/// A request of which another command may be made when it comes again is known by what was sent: what a unit of measure
/// is worth, the receipt that is meant and the prices of stock move. The method counts too, for messages of two methods
/// may have the same bytes. `body` no longer has its context.
///
/// # Errors
/// That of `meta`.
pub fn as_sent(
    meta: Result<Meta, ApiError>,
    method: Method,
    body: &impl Message,
    moves: bool,
) -> Result<Meta, ApiError> {
    let mut meta = meta?;
    if moves {
        let mut bytes = method.name().as_bytes().to_vec();
        bytes.extend_from_slice(&body.encode_to_vec());
        meta.sent = State::fingerprint_sent(&bytes);
    }
    Ok(meta)
}

/// The trace id of a W3C `traceparent` header; 0 when there is none that holds.
pub fn trace_id(traceparent: &str) -> u128 {
    trace_parts(traceparent).map_or(0, |(trace, _, _)| trace)
}

/// Trace id, parent span id and the sampled flag of a W3C `traceparent` header.
pub fn trace_parts(traceparent: &str) -> Option<(u128, u64, bool)> {
    let bytes = traceparent.as_bytes();
    let version = traceparent.get(0..2)?;
    let well_formed = bytes.len() >= 55
        && bytes[2] == b'-'
        && bytes[35] == b'-'
        && bytes[52] == b'-'
        && version != "ff"
        && bytes[..55]
            .iter()
            .all(|b| *b == b'-' || b.is_ascii_hexdigit());
    if !well_formed {
        return None;
    }
    let trace = u128::from_str_radix(traceparent.get(3..35)?, 16).ok()?;
    let span = u64::from_str_radix(traceparent.get(36..52)?, 16).ok()?;
    let flags = u8::from_str_radix(traceparent.get(53..55)?, 16).ok()?;
    (trace != 0 && span != 0).then_some((trace, span, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_are_read_or_ignored() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            trace_parts(good),
            Some((
                0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
                0xb7ad_6b71_6920_3331,
                true
            ))
        );
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cb7ad6b71692033310100000",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_id(bad), 0, "{bad}");
        }
    }

    #[test]
    fn a_write_needs_a_request_id() {
        assert!(meta(&mut None, 0).is_err());
        assert!(meta(&mut Some(pb::RequestContext::default()), 0).is_err());
        let mut context = Some(pb::RequestContext {
            request_id: "01936f2e8c1a7b3e9d4f0123456789ab".into(),
            source: Some(pb::SourceSequence {
                source: "wms".into(),
                sequence: 0,
            }),
            ..Default::default()
        });
        assert!(meta(&mut context, 0).is_err());
    }
}
