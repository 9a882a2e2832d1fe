//! A day that is over, as a table: Arrow IPC on disk.

use std::collections::HashMap;
use std::fs::File;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::HistoryError;
use crate::limits::MINUTE_MS;

/// Version of the files.
const FORMAT: &str = "1";

/// Whose file it is and what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// Days since 1970-01-01.
    pub day: i32,
    /// Journal position up to which everything about the day is in.
    pub revision: u64,
    /// Rows.
    pub rows: usize,
}

fn said<'a>(schema: &'a Schema, name: &str) -> &'a str {
    schema.metadata().get(name).map_or("", String::as_str)
}

fn number<T: std::str::FromStr>(schema: &Schema, name: &str) -> Result<T, String> {
    let text = said(schema, name);
    text.parse().map_err(|_| format!("its {name} is {text:?}"))
}

impl Label {
    fn read(schema: &Schema, journal: &[u8; 16]) -> Result<Self, String> {
        if said(schema, "format") != FORMAT {
            let found = said(schema, "format");
            return Err(format!("its format is {found:?}, not {FORMAT}"));
        }
        if said(schema, "journal") != hex(journal) {
            return Err("it belongs to another journal".to_owned());
        }
        Ok(Self {
            day: number(schema, "day")?,
            revision: number(schema, "revision")?,
            rows: number(schema, "rows")?,
        })
    }
}

/// Demand of one day, a row a position that sold, missed or was out of stock, or was first heard of that day.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DayTable {
    pub day: i32,
    pub revision: u64,
    pub item: Vec<u32>,
    pub location: Vec<u32>,
    pub sold: Vec<u64>,
    pub unmet: Vec<u64>,
    pub stockout_minutes: Vec<u16>,
}

/// Whole minutes, rounded.
pub fn minutes(ms: i64) -> u16 {
    u16::try_from((ms + MINUTE_MS / 2) / MINUTE_MS).unwrap_or(u16::MAX)
}

impl DayTable {
    pub fn rows(&self) -> usize {
        self.item.len()
    }

    pub fn label(&self) -> Label {
        Label {
            day: self.day,
            revision: self.revision,
            rows: self.rows(),
        }
    }

    pub fn push(&mut self, place: (u32, u32), sold: i64, unmet: u64, minutes: u16) {
        self.item.push(place.0);
        self.location.push(place.1);
        self.sold.push(sold.max(0).unsigned_abs());
        self.unmet.push(unmet);
        self.stockout_minutes.push(minutes);
    }

    /// Sum over all that the table says.
    fn check(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.rows() * 26);
        for row in 0..self.rows() {
            bytes.extend_from_slice(&self.item[row].to_le_bytes());
            bytes.extend_from_slice(&self.location[row].to_le_bytes());
            bytes.extend_from_slice(&self.sold[row].to_le_bytes());
            bytes.extend_from_slice(&self.unmet[row].to_le_bytes());
            bytes.extend_from_slice(&self.stockout_minutes[row].to_le_bytes());
        }
        xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, self.revision ^ self.day as u64)
    }

    /// The bytes of its file.
    pub fn encode(&self, journal: &[u8; 16]) -> Result<Vec<u8>, HistoryError> {
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("journal".to_owned(), hex(journal)),
            ("day".to_owned(), self.day.to_string()),
            ("revision".to_owned(), self.revision.to_string()),
            ("rows".to_owned(), self.rows().to_string()),
            ("check".to_owned(), self.check().to_string()),
        ]);
        let fields = [
            ("item", DataType::UInt32),
            ("location", DataType::UInt32),
            ("sold", DataType::UInt64),
            ("unmet", DataType::UInt64),
            ("stockout_minutes", DataType::UInt16),
        ];
        let fields = fields.map(|(name, kind)| Field::new(name, kind, false));
        let schema = Arc::new(Schema::new_with_metadata(fields.to_vec(), metadata));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.item.clone())),
            Arc::new(UInt32Array::from(self.location.clone())),
            Arc::new(UInt64Array::from(self.sold.clone())),
            Arc::new(UInt64Array::from(self.unmet.clone())),
            Arc::new(UInt16Array::from(self.stockout_minutes.clone())),
        ];
        let wrong = |error: ArrowError| HistoryError::Encoding(error.to_string());
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(wrong)?;
        let mut writer = FileWriter::try_new(Vec::new(), &schema).map_err(wrong)?;
        writer.write(&batch).map_err(wrong)?;
        writer.into_inner().map_err(wrong)
    }

    /// Reads a file back, or says what is wrong with it.
    pub fn decode(bytes: &[u8], journal: &[u8; 16]) -> Result<Self, String> {
        // The decoder has had bugs on torn bytes: one that panics is a torn file.
        catch_unwind(AssertUnwindSafe(|| Self::decode_sound(bytes, journal)))
            .unwrap_or_else(|_| Err("it contradicts itself".to_owned()))
    }

    fn decode_sound(bytes: &[u8], journal: &[u8; 16]) -> Result<Self, String> {
        let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(|e| e.to_string())?;
        let label = Label::read(&reader.schema(), journal)?;
        let check = number(&reader.schema(), "check")?;
        let mut table = Self {
            day: label.day,
            revision: label.revision,
            ..Self::default()
        };
        for batch in reader {
            let batch = batch.map_err(|error| error.to_string())?;
            table
                .take(&batch)
                .ok_or("a column is missing or of another type")?;
        }
        if table.label() != label || table.check() != check {
            return Err("its content is not what was written".to_owned());
        }
        Ok(table)
    }

    /// Reads what a file says of itself, without its rows, or says what is wrong with it.
    pub fn label_of(file: File, journal: &[u8; 16]) -> Result<Label, String> {
        let read = || {
            let reader = FileReader::try_new(file, None).map_err(|error| error.to_string())?;
            Label::read(&reader.schema(), journal)
        };
        catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err("it contradicts itself".to_owned()))
    }

    fn take(&mut self, batch: &RecordBatch) -> Option<()> {
        let narrow = |name| batch.column_by_name(name)?.as_primitive_opt::<UInt32Type>();
        let wide = |name| batch.column_by_name(name)?.as_primitive_opt::<UInt64Type>();
        let minutes = batch
            .column_by_name("stockout_minutes")?
            .as_primitive_opt::<UInt16Type>()?;
        self.item.extend_from_slice(narrow("item")?.values());
        self.location
            .extend_from_slice(narrow("location")?.values());
        self.sold.extend_from_slice(wide("sold")?.values());
        self.unmet.extend_from_slice(wide("unmet")?.values());
        self.stockout_minutes.extend_from_slice(minutes.values());
        Some(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
