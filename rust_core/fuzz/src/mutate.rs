//! Changes to bytes, and to protobuf messages by their wire format.

use fastrand::Rng;

const NAMES: [&[u8]; 14] = [
    b"tea",
    b"milk",
    b"ams1",
    b"rtm1",
    b"europe",
    b"po-1",
    b"case",
    b"",
    b"no such thing",
    b"\0",
    b"\xff\xfe",
    b"2026-11-26",
    b"Europe/Amsterdam",
    &[b'x'; 129],
];
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    3,
    12,
    255,
    256,
    60_000,
    1_000_000_000_000,
    1_000_000_000_001,
    1_790_000_000_000,
    1_790_003_600_000,
    i64::MAX as u64,
    i64::MIN as u64,
    u32::MAX as u64,
    u64::MAX,
];

fn number(rng: &mut Rng) -> u64 {
    match rng.u8(0..4) {
        0 => rng.u64(..),
        1 => rng.u64(0..100),
        _ => NUMBERS[rng.usize(0..NUMBERS.len())],
    }
}

/// Changes some bytes: flips, writes over, cuts, inserts, doubles.
pub fn bytes(rng: &mut Rng, data: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        if data.is_empty() {
            data.push(rng.u8(..));
            continue;
        }
        let at = rng.usize(0..data.len());
        match rng.u8(0..7) {
            0 => data[at] ^= 1 << rng.u8(0..8),
            1 => data[at] = rng.u8(..),
            2 => data.truncate(at),
            3 => {
                let end = (at + rng.usize(1..9)).min(data.len());
                data.drain(at..end);
            }
            4 => {
                let end = (at + rng.usize(1..33)).min(data.len());
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            5 => {
                let value = number(rng).to_le_bytes();
                let width = [1, 2, 4, 8][rng.usize(0..4)];
                let end = (at + width).min(data.len());
                data[at..end].copy_from_slice(&value[..end - at]);
            }
            _ => {
                let piece: Vec<u8> = (0..rng.usize(1..9)).map(|_| rng.u8(..)).collect();
                data.splice(at..at, piece);
            }
        }
    }
}

/// One field of a message.
#[derive(Clone)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Varint(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

fn get_varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take<'a>(data: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (piece, rest) = data.split_at_checked(len)?;
    *data = rest;
    Some(piece)
}

fn parse(mut data: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let key = get_varint(&mut data)?;
        let value = match key & 7 {
            0 => Value::Varint(get_varint(&mut data)?),
            1 => Value::Fixed(take(&mut data, 8)?.to_vec()),
            5 => Value::Fixed(take(&mut data, 4)?.to_vec()),
            2 => {
                let len = usize::try_from(get_varint(&mut data)?).ok()?;
                Value::Bytes(take(&mut data, len)?.to_vec())
            }
            _ => return None,
        };
        fields.push(Field {
            number: key >> 3,
            value,
        });
    }
    Some(fields)
}

fn write(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        let wire = match &field.value {
            Value::Varint(_) => 0,
            Value::Fixed(bytes) if bytes.len() == 8 => 1,
            Value::Fixed(_) => 5,
            Value::Bytes(_) => 2,
        };
        put_varint(field.number << 3 | wire, &mut out);
        match &field.value {
            Value::Varint(value) => put_varint(*value, &mut out),
            Value::Fixed(bytes) => out.extend_from_slice(bytes),
            Value::Bytes(bytes) => {
                put_varint(bytes.len() as u64, &mut out);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

fn some_field(rng: &mut Rng) -> Field {
    let value = match rng.u8(0..4) {
        0 | 1 => Value::Varint(number(rng)),
        2 => Value::Bytes(NAMES[rng.usize(0..NAMES.len())].to_vec()),
        _ => {
            let doubles = [0.0, -1.0, f64::NAN, f64::INFINITY, 1e308];
            Value::Fixed(doubles[rng.usize(0..5)].to_le_bytes().to_vec())
        }
    };
    Field {
        number: rng.u64(1..16),
        value,
    }
}

/// Changes a message field by field, down into the messages inside it. `false` when the bytes are no message.
pub fn message(rng: &mut Rng, data: &mut Vec<u8>) -> bool {
    let Some(mut fields) = parse(data) else {
        return false;
    };
    for _ in 0..rng.usize(1..4) {
        if fields.is_empty() {
            fields.push(some_field(rng));
            continue;
        }
        let at = rng.usize(0..fields.len());
        match rng.u8(0..10) {
            0 => {
                fields.remove(at);
            }
            1 => {
                let copy = fields[at].clone();
                let times = [1, 2, 20, 300][rng.usize(0..4)];
                fields.extend(std::iter::repeat_n(copy, times));
            }
            2 => fields.push(some_field(rng)),
            3 => fields[at].number = rng.u64(1..20),
            _ => change(rng, &mut fields[at].value),
        }
    }
    *data = write(&fields);
    true
}

fn change(rng: &mut Rng, value: &mut Value) {
    match value {
        Value::Varint(value) => *value = number(rng),
        Value::Fixed(data) => data.fill_with(|| rng.u8(..)),
        Value::Bytes(data) => match rng.u8(0..5) {
            0 => *data = NAMES[rng.usize(0..NAMES.len())].to_vec(),
            1 => bytes(rng, data),
            _ => {
                if !message(rng, data) {
                    *data = NAMES[rng.usize(0..NAMES.len())].to_vec();
                }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_and_written_as_it_is() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..200 {
            let fields: Vec<Field> = (0..rng.usize(0..8)).map(|_| some_field(&mut rng)).collect();
            let data = write(&fields);
            let again = parse(&data).expect("it is a message");
            assert_eq!(write(&again), data);
        }
        assert!(parse(&[0x0a, 0x05, 1]).is_none(), "cut short");
    }
}
