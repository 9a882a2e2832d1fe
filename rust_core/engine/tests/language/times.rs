//! Times and durations as words.

use bespeak_engine::UtcMillis;
use bespeak_engine::limits::DAY_MS;

/// Day 0 of every world: 2026-01-05.
pub const FIRST_DAY: i32 = 20_458;

const UNITS: [(&str, i64); 5] = [
    ("d", DAY_MS),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// `15m`, `1h30m`, `-1ms`: milliseconds.
pub fn span(text: &str) -> i64 {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let letters = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |n| digits + n);
        let number: i64 = rest[..digits]
            .parse()
            .unwrap_or_else(|_| panic!("no duration: {text}"));
        let unit = UNITS
            .iter()
            .find(|(name, _)| *name == &rest[digits..letters]);
        sum += number
            * unit
                .unwrap_or_else(|| panic!("no unit of time in {text}"))
                .1;
        rest = &rest[letters..];
    }
    sign * sum
}

/// `d3`, `now`, `d3+5h-1ms`.
pub fn time(text: &str, now: UtcMillis) -> UtcMillis {
    let end = text[1..].find(['+', '-']).map_or(text.len(), |n| n + 1);
    let base = match &text[..end] {
        "now" => now.get(),
        day => {
            let number = day.strip_prefix('d').and_then(|n| n.parse::<i64>().ok());
            let number = number.unwrap_or_else(|| panic!("no time: {text}"));
            (i64::from(FIRST_DAY) + number) * DAY_MS
        }
    };
    let mut rest = &text[end..];
    let mut sum = base;
    while !rest.is_empty() {
        let next = rest[1..].find(['+', '-']).map_or(rest.len(), |n| n + 1);
        sum += span(&rest[..next]);
        rest = &rest[next..];
    }
    UtcMillis::new(sum)
}

/// The shortest of the forms that [`time`] takes.
pub fn time_text(at: UtcMillis) -> String {
    let since = at.get() - i64::from(FIRST_DAY) * DAY_MS;
    let mut rest = since.rem_euclid(DAY_MS);
    let mut text = format!("d{}", since.div_euclid(DAY_MS));
    if rest > 0 {
        text.push('+');
    }
    for (name, size) in &UNITS[1..] {
        if rest >= *size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}
