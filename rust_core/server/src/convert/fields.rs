//! Single fields: what each may hold. Every later step relies on these checks.

use bespeak_engine::limits::{MAX_NAME_BYTES, MAX_QUANTITY};
use bespeak_engine::{ReceiptKind, StockStatus, Units, UtcMillis};
use bespeak_proto::v1 as pb;

use crate::error::ApiError;

/// The last millisecond of the year 9999: instants beyond it are mistakes of unit.
pub const TIME_MS_MAX: i64 = 253_402_300_799_999;
/// A duration beyond ten years is a mistake of unit.
pub const DURATION_MS_MAX: i64 = 10 * 366 * 86_400_000;

type Result<T> = std::result::Result<T, ApiError>;

/// A name that must be there.
///
/// # Errors
/// `InvalidArgument` when it is empty, too long, or holds control characters.
pub fn name<'a>(field: &'static str, value: &'a str) -> Result<&'a str> {
    if value.is_empty() {
        return Err(ApiError::invalid(field, value, "it is required"));
    }
    optional_name(field, value)
}

/// A name that may be empty.
///
/// # Errors
/// `InvalidArgument` when it is too long or holds control characters.
pub fn optional_name<'a>(field: &'static str, value: &'a str) -> Result<&'a str> {
    if value.len() > MAX_NAME_BYTES {
        return Err(ApiError::invalid(
            field,
            value,
            "it may have at most 128 bytes",
        ));
    }
    if value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err(ApiError::invalid(
            field,
            value,
            "it may not hold control characters",
        ));
    }
    Ok(value)
}

/// Takes an optional name out of a message, without a copy.
///
/// # Errors
/// As [`optional_name`].
pub fn take_name(field: &'static str, value: &mut String) -> Result<Box<str>> {
    optional_name(field, value)?;
    Ok(std::mem::take(value).into_boxed_str())
}

/// Takes a required name out of a message, without a copy.
///
/// # Errors
/// As [`name`].
pub fn take_required(field: &'static str, value: &mut String) -> Result<Box<str>> {
    name(field, value)?;
    Ok(std::mem::take(value).into_boxed_str())
}

/// A quantity in base units that may be zero.
///
/// # Errors
/// `InvalidArgument` beyond the limit.
pub fn units(field: &'static str, value: u64) -> Result<Units> {
    Units::new(value)
        .ok_or_else(|| ApiError::invalid(field, value, "at most 1000000000000 are allowed"))
}

/// A quantity, in any unit, that must be at least one.
///
/// # Errors
/// `InvalidArgument` for zero or beyond the limit.
pub fn positive(field: &'static str, value: u64) -> Result<u64> {
    if value == 0 || value > MAX_QUANTITY {
        return Err(ApiError::invalid(
            field,
            value,
            "it must be 1 to 1000000000000",
        ));
    }
    Ok(value)
}

/// An instant; 0 is not given.
///
/// # Errors
/// `InvalidArgument` before 1970 or after 9999.
pub fn time(field: &'static str, value: i64) -> Result<Option<UtcMillis>> {
    match value {
        0 => Ok(None),
        1..=TIME_MS_MAX => Ok(Some(UtcMillis::new(value))),
        _ => Err(ApiError::invalid(
            field,
            value,
            "it must be milliseconds since 1970, or 0 for now",
        )),
    }
}

/// An instant that must be given.
///
/// # Errors
/// `InvalidArgument` when it is 0, before 1970 or after 9999.
pub fn required_time(field: &'static str, value: i64) -> Result<UtcMillis> {
    time(field, value)?.ok_or_else(|| ApiError::invalid(field, value, "it is required"))
}

/// A duration; 0 is not given.
///
/// # Errors
/// `InvalidArgument` when it is negative or beyond ten years.
pub fn duration(field: &'static str, value: i64) -> Result<Option<i64>> {
    match value {
        0 => Ok(None),
        1..=DURATION_MS_MAX => Ok(Some(value)),
        _ => Err(ApiError::invalid(
            field,
            value,
            "it must be 0 to 316224000000 milliseconds",
        )),
    }
}

/// An enum value that this version knows; its own `UNSPECIFIED` included.
///
/// # Errors
/// `InvalidArgument` for another number.
pub fn known<E: TryFrom<i32>>(field: &'static str, value: i32) -> Result<E> {
    E::try_from(value)
        .map_err(|_| ApiError::invalid(field, value, "this version knows no such value"))
}

/// A stock status; unspecified is unrestricted.
///
/// # Errors
/// `InvalidArgument` for an unknown number.
pub fn status(field: &'static str, value: i32) -> Result<StockStatus> {
    Ok(match known::<pb::StockStatus>(field, value)? {
        pb::StockStatus::Unspecified | pb::StockStatus::Unrestricted => StockStatus::Unrestricted,
        pb::StockStatus::Quality => StockStatus::Quality,
        pb::StockStatus::Blocked => StockStatus::Blocked,
    })
}

/// A receipt kind; unspecified is a purchase order.
///
/// # Errors
/// `InvalidArgument` for an unknown number.
pub fn receipt_kind(field: &'static str, value: i32) -> Result<ReceiptKind> {
    Ok(match known::<pb::ReceiptKind>(field, value)? {
        pb::ReceiptKind::Unspecified | pb::ReceiptKind::PurchaseOrder => ReceiptKind::PurchaseOrder,
        pb::ReceiptKind::Transfer => ReceiptKind::Transfer,
        pb::ReceiptKind::Production => ReceiptKind::Production,
        pb::ReceiptKind::Return => ReceiptKind::Return,
    })
}

/// The bits of a list of statuses; an empty list gives `None`.
///
/// # Errors
/// `InvalidArgument` for an unknown or unspecified value.
pub fn status_bits(field: &'static str, values: &[i32]) -> Result<Option<u8>> {
    bits(field, values, |value| Ok(status(field, value)? as u8))
}

/// The bits of a list of receipt kinds; an empty list gives `None`.
///
/// # Errors
/// `InvalidArgument` for an unknown or unspecified value.
pub fn kind_bits(field: &'static str, values: &[i32]) -> Result<Option<u8>> {
    bits(field, values, |value| Ok(receipt_kind(field, value)? as u8))
}

fn bits(
    field: &'static str,
    values: &[i32],
    bit: impl Fn(i32) -> Result<u8>,
) -> Result<Option<u8>> {
    let mut found = None;
    for &value in values {
        if value == 0 {
            return Err(ApiError::invalid(
                field,
                "UNSPECIFIED",
                "name the values that count",
            ));
        }
        found = Some(found.unwrap_or(0) | 1 << bit(value)?);
    }
    Ok(found)
}

/// A UUID, with or without hyphens.
///
/// # Errors
/// `InvalidArgument` when it is missing, nil or no UUID.
pub fn request_id(field: &'static str, value: &str) -> Result<u128> {
    let bytes = value.as_bytes();
    let hyphenated = bytes.len() == 36;
    let mut id = 0u128;
    let mut digits = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if hyphenated && matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                digits = 99;
                break;
            }
            continue;
        }
        let Some(digit) = char::from(byte).to_digit(16) else {
            digits = 99;
            break;
        };
        id = id << 4 | u128::from(digit);
        digits += 1;
        if digits > 32 {
            break;
        }
    }
    if digits != 32 || id == 0 {
        return Err(ApiError::invalid(
            field,
            value,
            "a write needs a UUID of its own, version 7 is best",
        ));
    }
    Ok(id)
}

/// A field of a later version that must be empty for now.
///
/// # Errors
/// `NotInThisVersion` naming the field.
pub fn later(field: &'static str, is_set: bool) -> Result<()> {
    if is_set {
        Err(ApiError::NotInThisVersion(field))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids() {
        let hyphenated = "01936f2e-8c1a-7b3e-9d4f-0123456789ab";
        let plain = hyphenated.replace('-', "");
        assert_eq!(
            request_id("id", hyphenated).ok(),
            request_id("id", &plain).ok()
        );
        assert_eq!(
            request_id("id", &plain).ok(),
            u128::from_str_radix(&plain, 16).ok()
        );
        let upper = plain.to_uppercase();
        for bad in [
            "",
            "0",
            "00000000-0000-0000-0000-000000000000",
            "01936f2e-8c1a-7b3e-9d4f-0123456789a",
            "01936f2e-8c1a-7b3e-9d4f-0123456789abc",
            "01936f2e+8c1a+7b3e+9d4f+0123456789ab",
            "g1936f2e-8c1a-7b3e-9d4f-0123456789ab",
            "é1936f2e8c1a7b3e9d4f0123456789ab",
        ] {
            assert!(request_id("id", bad).is_err(), "{bad}");
        }
        assert!(request_id("id", &upper).is_ok());
    }

    #[test]
    fn times_and_durations_have_bounds() {
        assert_eq!(time("t", 0).ok(), Some(None));
        assert_eq!(time("t", 5).ok(), Some(Some(UtcMillis::new(5))));
        for bad in [-1, i64::MIN, i64::MAX, TIME_MS_MAX + 1] {
            assert!(time("t", bad).is_err(), "{bad}");
        }
        for bad in [-1, i64::MIN, i64::MAX] {
            assert!(duration("d", bad).is_err(), "{bad}");
        }
        assert!(required_time("t", 0).is_err());
    }

    #[test]
    fn names_have_bounds() {
        assert!(name("item", "").is_err());
        assert!(name("item", &"x".repeat(129)).is_err());
        assert!(name("item", "a\u{0}b").is_err());
        assert_eq!(name("item", "Äpfel 1 kg").ok(), Some("Äpfel 1 kg"));
    }

    #[test]
    fn unknown_enum_values_are_refused() {
        assert!(status("status", 17).is_err());
        assert!(receipt_kind("kind", -1).is_err());
        assert_eq!(status_bits("statuses", &[]).ok(), Some(None));
        assert_eq!(status_bits("statuses", &[1, 3, 3]).ok(), Some(Some(0b101)));
        assert!(status_bits("statuses", &[0]).is_err());
    }
}
