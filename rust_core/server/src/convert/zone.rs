//! Calendars: time zones to the offsets that the engine keeps, dates to days.

use bespeak_engine::limits::MAX_DAY_OFFSETS;
use bespeak_engine::{DayOffset, UtcMillis};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::error::ApiError;

/// Offsets are worked out from the start of this year …
const FIRST_YEAR: i16 = 2020;
/// … to the end of this one; the last offset holds from then on.
const LAST_YEAR: i16 = 2099;

/// The offsets of an IANA zone, ascending; none for UTC.
///
/// # Errors
/// `InvalidArgument` for a name that the time zone database does not hold.
pub fn offsets(name: &str) -> Result<Vec<DayOffset>, ApiError> {
    if matches!(name, "" | "UTC") {
        return Ok(Vec::new());
    }
    let rule = "it must be a name of the IANA time zone database, such as Europe/Berlin";
    super::fields::name("time_zone", name)?;
    let zone = TimeZone::get(name).map_err(|_| ApiError::invalid("time_zone", name, rule))?;
    let bound = |year: i16, month, day| {
        Date::new(year, month, day)
            .and_then(|date| {
                TimeZone::UTC.to_zoned(date.to_datetime(jiff::civil::Time::midnight()))
            })
            .map(|zoned| zoned.timestamp())
            .map_err(|error| ApiError::Internal(error.to_string()))
    };
    let (first, last) = (bound(FIRST_YEAR, 1, 1)?, bound(LAST_YEAR, 12, 31)?);
    let mut found = vec![offset_at(first, zone.to_offset(first).seconds())];
    for transition in zone.following(first) {
        if transition.timestamp() > last || found.len() == MAX_DAY_OFFSETS {
            break;
        }
        let next = offset_at(transition.timestamp(), transition.offset().seconds());
        // Zones also change their name or their rule while the offset stays.
        if found
            .last()
            .is_none_or(|before| before.offset_s != next.offset_s)
        {
            found.push(next);
        }
    }
    Ok(found)
}

fn offset_at(from: Timestamp, offset_s: i32) -> DayOffset {
    DayOffset {
        from: UtcMillis::new(from.as_millisecond()),
        offset_s,
    }
}

/// A date `YYYY-MM-DD` as days since 1970-01-01.
///
/// # Errors
/// `InvalidArgument` for anything else.
pub fn day(field: &'static str, date: &str) -> Result<i32, ApiError> {
    let rule = "it must be a date from 1970 on, as YYYY-MM-DD";
    let wrong = || ApiError::invalid(field, date, rule);
    if date.len() != 10 {
        return Err(wrong());
    }
    let parsed: Date = date.parse().map_err(|_| wrong())?;
    let since = parsed
        .since(jiff::civil::date(1970, 1, 1))
        .map_err(|_| wrong())?;
    match since.get_days() {
        days if days >= 0 => Ok(days),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summer_time_is_a_pair_of_offsets_a_year() {
        let berlin = offsets("Europe/Berlin").expect("known zone");
        assert!(berlin.windows(2).all(|pair| pair[0].from < pair[1].from));
        assert!(
            berlin
                .iter()
                .all(|offset| matches!(offset.offset_s, 3_600 | 7_200))
        );
        // The change of 2026-10-25 at 01:00 UTC.
        assert!(berlin.contains(&DayOffset {
            from: UtcMillis::new(1_792_890_000_000),
            offset_s: 3_600
        }));
        assert_eq!(berlin.len(), 161);
    }

    #[test]
    fn zones_without_changes_are_one_offset() {
        assert_eq!(offsets("Asia/Tokyo").map(|found| found.len()).ok(), Some(1));
        assert_eq!(offsets("").map(|found| found.len()).ok(), Some(0));
        for bad in [
            "Mars/Olympus",
            "../../etc/passwd",
            "Europe/Berlin\0",
            "+25:00",
        ] {
            assert!(offsets(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates_are_days() {
        assert_eq!(day("due_date", "1970-01-02").ok(), Some(1));
        assert_eq!(day("due_date", "2026-11-22").ok(), Some(20_779));
        for bad in [
            "",
            "2026-02-30",
            "26-11-22",
            "2026-11-22T00",
            "1969-12-31",
            "99999-1-1",
            "2026/11/22",
        ] {
            assert!(day("due_date", bad).is_err(), "{bad}");
        }
    }
}
