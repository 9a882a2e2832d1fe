//! Writes postcard's form of a value: the bytes of the `postcard` crate, for a third of its instructions.
//!
//! Every record that is journaled and every command that has a request id passes through here. The crate writes each
//! number to a buffer of its own and copies that; here it is written where it stays.

use postcard::{Error, Result};
use serde::Serialize;
use serde::ser::{self, Serializer};

/// Bytes of most commands and records.
const ROOM: usize = 256;
/// The most bytes of a number of 64 bits; nine of them hold 63 bits.
const NUMBER: usize = 10;
const NINE: u32 = 63;
/// Says that a byte is not a number's last.
const MORE: u8 = 0x80;

/// Takes the bytes for which there was no room.
pub trait Take {
    /// Takes bytes that follow those taken before.
    fn take(&mut self, bytes: &[u8]);
}

impl Take for &mut Vec<u8> {
    fn take(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Gathers bytes and passes them on whenever it is full.
#[derive(Debug)]
pub struct Short<T> {
    bytes: [u8; ROOM],
    length: usize,
    taker: T,
}

impl<T: Take> Short<T> {
    /// An empty one, and who takes what was gathered when there is no room for more.
    #[inline]
    pub fn new(taker: T) -> Self {
        Self {
            bytes: [0; ROOM],
            length: 0,
            taker,
        }
    }

    /// Adds a value's postcard form.
    ///
    /// # Errors
    /// A value that has none: a sequence of unknown length.
    #[inline]
    pub fn write(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        value.serialize(self)
    }

    /// What was gathered and not passed on, and who took all before it.
    #[inline]
    pub fn end(&mut self) -> (&mut T, &[u8]) {
        (&mut self.taker, &self.bytes[..self.length])
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self) {
        self.taker.take(&self.bytes[..self.length]);
        self.length = 0;
    }

    /// Room for so many bytes.
    #[inline(always)]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        if self.length > ROOM - N {
            self.make_room();
        }
        self.bytes[self.length..]
            .first_chunk_mut()
            .expect("invariant: there is room")
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        *self.room() = [byte];
        self.length += 1;
    }

    #[inline]
    fn number(&mut self, value: u64) {
        if value < 1 << 7 {
            return self.byte(value as u8);
        }
        if value < 1 << 14 {
            *self.room() = [value as u8 | MORE, (value >> 7) as u8];
            self.length += 2;
            return;
        }
        self.long_number(value);
    }

    /// All bytes at once, without asking after each whether it is the last.
    #[inline(never)]
    fn long_number(&mut self, value: u64) {
        let last = value.ilog2() as usize / 7;
        let room = self.room::<NUMBER>();
        for (n, byte) in room.iter_mut().enumerate() {
            *byte = (value >> (7 * n)) as u8 | MORE;
        }
        room[last] &= !MORE;
        self.length += last + 1;
    }

    #[inline(never)]
    fn wide_number(&mut self, mut value: u128) {
        while value > u64::MAX.into() {
            for (n, byte) in self.room::<9>().iter_mut().enumerate() {
                *byte = ((value as u64) >> (7 * n)) as u8 | MORE;
            }
            self.length += 9;
            value >>= NINE;
        }
        self.number(value as u64);
    }

    #[inline(never)]
    fn raw(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(ROOM) {
            if piece.len() > ROOM - self.length {
                self.make_room();
            }
            self.bytes[self.length..self.length + piece.len()].copy_from_slice(piece);
            self.length += piece.len();
        }
    }
}

/// A signed number with its sign in the lowest bit.
#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

macro_rules! numbers {
    ($($name:ident($kind:ty)),*) => {$(
        #[inline]
        fn $name(self, value: $kind) -> Result<()> {
            self.number(value.into());
            Ok(())
        }
    )*};
}

macro_rules! signed_numbers {
    ($($name:ident($kind:ty)),*) => {$(
        #[inline]
        fn $name(self, value: $kind) -> Result<()> {
            self.number(zigzag(value.into()));
            Ok(())
        }
    )*};
}

impl<T: Take> Serializer for &mut Short<T> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers!(serialize_u16(u16), serialize_u32(u32), serialize_u64(u64));
    signed_numbers!(serialize_i16(i16), serialize_i32(i32), serialize_i64(i64));

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.byte(value.into());
        Ok(())
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<()> {
        self.byte(value);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<()> {
        self.byte(value.cast_unsigned());
        Ok(())
    }

    #[inline]
    fn serialize_u128(self, value: u128) -> Result<()> {
        self.wide_number(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        self.wide_number(((value << 1) ^ (value >> 127)).cast_unsigned());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.raw(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        self.raw(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.number(value.len() as u64);
        // Most texts of a record are empty.
        if !value.is_empty() {
            self.raw(value);
        }
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.byte(0);
        Ok(())
    }

    #[inline]
    fn serialize_some<V: Serialize + ?Sized>(self, value: &V) -> Result<()> {
        self.byte(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<()> {
        self.serialize_u32(index)
    }

    #[inline]
    fn serialize_newtype_struct<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &V,
    ) -> Result<()> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &V,
    ) -> Result<()> {
        self.number(index.into());
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self> {
        self.number(length.ok_or(Error::SerializeSeqLengthUnknown)? as u64);
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.number(index.into());
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self> {
        self.serialize_seq(length)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.number(index.into());
        Ok(self)
    }
}

macro_rules! parts {
    ($($kind:ident: $part:ident($($name:ty)?)),*) => {$(
        impl<T: Take> ser::$kind for &mut Short<T> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $part<V: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &V) -> Result<()> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<()> {
                Ok(())
            }
        }
    )*};
}

parts!(
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(&'static str),
    SerializeStructVariant: serialize_field(&'static str)
);

impl<T: Take> ser::SerializeMap for &mut Short<T> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<()> {
        key.serialize(&mut **self)
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<()> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// All bytes, in the order in which they came, held against those of the crate.
    fn check(value: &impl Serialize, what: &str) {
        let mut bytes = Vec::new();
        let mut short = Short::new(&mut bytes);
        short.write(value).expect("it has a form");
        let (before, rest) = short.end();
        before.take(rest);
        let theirs = postcard::to_extend(value, Vec::new()).expect("it has a form");
        assert_eq!(bytes, theirs, "{what}");
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Pair(i8, u16);

    #[derive(Serialize)]
    struct One(char);

    #[derive(Serialize)]
    enum Choice {
        Unit,
        One(One),
        Pair(f32, f64),
        Named { left: i128, right: Option<bool> },
    }

    #[test]
    fn every_kind_of_value_has_the_form_of_postcard() {
        check(&(Unit, (), Pair(-3, 700), One('é')), "structs");
        check(
            &(true, false, u8::MAX, i8::MIN, 'x', 0.1f32, -1e300),
            "small",
        );
        check(&[Some(5u32), None], "options");
        check(&Choice::Unit, "unit variant");
        check(&Choice::One(One('中')), "newtype variant");
        check(&Choice::Pair(1.5, f64::NEG_INFINITY), "tuple variant");
        for left in [0, 1, -1, i128::MAX, i128::MIN] {
            let right = Some(left > 0);
            check(&Choice::Named { left, right }, "struct variant");
        }
        let map: BTreeMap<i32, &str> = [(-70_000, "a"), (8, "")].into_iter().collect();
        check(&map, "map");
        check(
            &(i16::MIN, i16::MAX, i32::MIN, i32::MAX, i64::MIN, i64::MAX),
            "signed",
        );
    }

    #[test]
    fn numbers_of_every_length_are_whole_wherever_they_fall() {
        for shift in 0..128 {
            for lower in [0u128, 1] {
                let wide = (u128::MAX >> shift) - lower.min(u128::MAX >> shift);
                let signed = wide as i64 >> (shift % 64);
                for many in 0..25usize {
                    let value =
                        vec![(wide, wide as u64, wide as u32, signed, -signed.max(-9)); many];
                    check(&value, &format!("{many} of {wide}"));
                }
            }
        }
    }

    #[test]
    fn text_is_whole_however_long_it_is() {
        for length in (0..20).chain(230..530).chain([5_000]) {
            let value = (7u32, "x".repeat(length), 300u64, vec![1u8; length / 2]);
            check(&value, &length.to_string());
        }
    }

    #[test]
    fn a_sequence_of_unknown_length_has_none() {
        struct Odd;
        impl Serialize for Odd {
            fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
                to.collect_seq((0..9).filter(|n| n % 2 == 1))
            }
        }
        let mut bytes = Vec::new();
        let failed = Short::new(&mut bytes).write(&Odd);
        assert_eq!(failed, Err(Error::SerializeSeqLengthUnknown));
    }
}
