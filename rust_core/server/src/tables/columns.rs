//! Columns of a caller's table: which types are taken, and one value at a time.
//!
//! Nothing is copied: a column is looked at where it lies. A dictionary's values are resolved once each.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use bespeak_engine::{Catalog, ItemId};

use crate::convert::fields;
use crate::error::ApiError;

type Result<T> = std::result::Result<T, ApiError>;

/// A table that a caller sent, with the names of the columns that its job knows.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    batch: &'a RecordBatch,
}

/// The number of a batch's rows.
///
/// # Errors
/// `InvalidArgument` when there are too many.
pub fn check_rows(batch: &RecordBatch, rows_max: usize) -> Result<usize> {
    if batch.num_rows() > rows_max {
        let rule = format!("at most {rows_max} are allowed in one batch: send more batches");
        return Err(ApiError::invalid("rows", batch.num_rows(), rule));
    }
    Ok(batch.num_rows())
}

impl<'a> Table<'a> {
    /// Takes a table.
    ///
    /// # Errors
    /// `InvalidArgument` for a column that is not known, or one that is there twice: a misspelt column would
    /// otherwise be silently left out.
    pub fn new(batch: &'a RecordBatch, known: &[&str], rows_max: usize) -> Result<Self> {
        check_rows(batch, rows_max)?;
        let schema = batch.schema_ref();
        for (at, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            if !known.contains(&name.as_str()) {
                let rule = format!("the columns are {}", known.join(", "));
                return Err(ApiError::invalid("column", name, rule));
            }
            if schema.fields()[..at]
                .iter()
                .any(|before| before.name() == name)
            {
                return Err(ApiError::invalid(
                    "column",
                    name,
                    "each column may be there once",
                ));
            }
        }
        Ok(Self { batch })
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.batch.num_rows()
    }

    fn column(self, name: &str) -> Option<&'a ArrayRef> {
        self.batch.column_by_name(name)
    }

    /// A column of text that must be there.
    ///
    /// # Errors
    /// `InvalidArgument` when it is missing or of another type.
    pub fn texts(self, name: &'static str) -> Result<Texts<'a>> {
        self.optional_texts(name)?.ok_or_else(|| missing(name))
    }

    /// A column of text.
    ///
    /// # Errors
    /// `InvalidArgument` when it is of another type.
    pub fn optional_texts(self, name: &'static str) -> Result<Option<Texts<'a>>> {
        self.column(name)
            .map(|column| Texts::new(name, column))
            .transpose()
    }

    /// A column of whole numbers that must be there.
    ///
    /// # Errors
    /// `InvalidArgument` when it is missing or of another type.
    pub fn numbers(self, name: &'static str) -> Result<Numbers<'a>> {
        self.optional_numbers(name)?.ok_or_else(|| missing(name))
    }

    /// A column of whole numbers, or of timestamps, which are then milliseconds.
    ///
    /// # Errors
    /// `InvalidArgument` when it is of another type.
    pub fn optional_numbers(self, name: &'static str) -> Result<Option<Numbers<'a>>> {
        self.column(name)
            .map(|column| Numbers::new(name, column))
            .transpose()
    }

    /// A column of true and false.
    ///
    /// # Errors
    /// `InvalidArgument` when it is of another type.
    pub fn optional_flags(self, name: &'static str) -> Result<Option<Flags<'a>>> {
        let Some(column) = self.column(name) else {
            return Ok(None);
        };
        match column.as_boolean_opt() {
            Some(flags) => Ok(Some(Flags(flags))),
            None => Err(wrong_type(name, column, "it must be boolean")),
        }
    }

    /// A column of request ids: UUIDs as text, or as 16 bytes.
    ///
    /// # Errors
    /// `InvalidArgument` when it is of another type.
    pub fn optional_request_ids(self, name: &'static str) -> Result<Option<RequestIds<'a>>> {
        let Some(column) = self.column(name) else {
            return Ok(None);
        };
        Ok(Some(match column.data_type() {
            DataType::FixedSizeBinary(16) => RequestIds::Fixed(column),
            DataType::Binary | DataType::LargeBinary => RequestIds::Binary(column),
            _ => RequestIds::Text(Texts::new(name, column)?),
        }))
    }
}

fn missing(name: &'static str) -> ApiError {
    ApiError::invalid("column", name, "it is required, and missing from the table")
}

fn wrong_type(name: &str, column: &ArrayRef, rule: &'static str) -> ApiError {
    ApiError::invalid(format!("type of column {name}"), column.data_type(), rule)
}

/// Text, plain or by dictionary.
#[derive(Debug, Clone)]
pub enum Texts<'a> {
    /// Utf8.
    Small(&'a arrow_array::StringArray),
    /// LargeUtf8.
    Large(&'a arrow_array::LargeStringArray),
    /// Utf8View.
    View(&'a arrow_array::StringViewArray),
    /// A dictionary of one of these.
    Dictionary {
        /// Index into the values, one a row.
        keys: Vec<usize>,
        /// Which rows are there.
        nulls: &'a dyn Array,
        /// The values.
        values: Box<Texts<'a>>,
    },
}

impl<'a> Texts<'a> {
    /// Looks at a column.
    ///
    /// # Errors
    /// `InvalidArgument` when it is of another type.
    pub fn new(name: &'static str, column: &'a ArrayRef) -> Result<Self> {
        Self::plain(column).map_or_else(
            || {
                let rule =
                    "it must be utf8, large_utf8, utf8_view, or a dictionary of one of these";
                let dictionary = column
                    .as_any_dictionary_opt()
                    .ok_or_else(|| wrong_type(name, column, rule))?;
                let values = Self::plain(dictionary.values())
                    .ok_or_else(|| wrong_type(name, column, rule))?;
                // An empty dictionary has nothing that a key could mean.
                let keys = match dictionary.values().len() {
                    0 => vec![usize::MAX; column.len()],
                    _ => dictionary.normalized_keys(),
                };
                Ok(Self::Dictionary {
                    keys,
                    nulls: dictionary.keys(),
                    values: Box::new(values),
                })
            },
            Ok,
        )
    }

    fn plain(column: &'a ArrayRef) -> Option<Self> {
        Some(match column.data_type() {
            DataType::Utf8 => Self::Small(column.as_string_opt()?),
            DataType::LargeUtf8 => Self::Large(column.as_string_opt()?),
            DataType::Utf8View => Self::View(column.as_string_view_opt()?),
            _ => return None,
        })
    }

    /// The text of a row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Small(texts) => {
                (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row))
            }
            Self::Large(texts) => {
                (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row))
            }
            Self::View(texts) => {
                (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row))
            }
            Self::Dictionary {
                keys,
                nulls,
                values,
            } => {
                if nulls.is_null(row) {
                    return None;
                }
                values.get(*keys.get(row)?)
            }
        }
    }

    /// The text of a row, "" when there is none.
    #[inline]
    pub fn or_empty(texts: Option<&Self>, row: usize) -> &str {
        texts.and_then(|texts| texts.get(row)).unwrap_or("")
    }
}

/// Rows that are looked up side by side.
pub const SLICE: usize = 32;

/// Ids of a column of names, each name of a dictionary looked up once.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    texts: Texts<'a>,
    /// Ids of the dictionary's values, as far as looked up.
    known: Vec<Option<u32>>,
    /// The row looked up last: equal neighbours are common.
    last: Option<(usize, u32)>,
}

impl<'a> Names<'a> {
    /// Names to be looked up.
    pub fn new(texts: Texts<'a>) -> Self {
        let known = match &texts {
            Texts::Dictionary { values, .. } => vec![None; values.len()],
            _ => Vec::new(),
        };
        Self {
            texts,
            known,
            last: None,
        }
    }

    /// The name of a row, "" when there is none.
    pub fn name(&self, row: usize) -> &str {
        self.texts.get(row).unwrap_or("")
    }

    /// The id of a row's name.
    #[inline]
    pub fn id(&mut self, row: usize, look_up: impl FnOnce(&str) -> Option<u32>) -> Option<u32> {
        if let Texts::Dictionary {
            keys,
            nulls,
            values,
        } = &self.texts
        {
            if nulls.is_null(row) {
                return None;
            }
            let key = *keys.get(row)?;
            let known = self.known.get_mut(key)?;
            if known.is_none() {
                *known = look_up(values.get(key)?);
            }
            return *known;
        }
        let name = self.texts.get(row)?;
        if let Some((before, id)) = self.last
            && self.texts.get(before) == Some(name)
        {
            return Some(id);
        }
        let id = look_up(name)?;
        self.last = Some((row, id));
        Some(id)
    }
}

impl<'a> Names<'a> {
    /// The ids of some rows' items.
    pub fn items(
        &mut self,
        catalog: &Catalog,
        rows: Range<usize>,
        found: &mut [Option<ItemId>; SLICE],
    ) {
        if let Texts::Dictionary { .. } = self.texts {
            for (found, row) in found.iter_mut().zip(rows) {
                let id = self.id(row, |name| catalog.item_id(name).map(|id| id.0));
                *found = id.map(ItemId);
            }
            return;
        }
        let mut names = [None; SLICE];
        for (name, row) in names.iter_mut().zip(rows) {
            *name = self.texts.get(row);
        }
        catalog.item_ids(&names, found);
    }
}

impl Texts<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Small(texts) => texts.len(),
            Self::Large(texts) => texts.len(),
            Self::View(texts) => texts.len(),
            Self::Dictionary { keys, .. } => keys.len(),
        }
    }
}

/// Whole numbers of any width, or timestamps as milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a> {
    column: &'a ArrayRef,
    get: fn(&ArrayRef, usize) -> i64,
}

impl<'a> Numbers<'a> {
    fn new(name: &'static str, column: &'a ArrayRef) -> Result<Self> {
        macro_rules! plain {
            ($kind:ty) => {
                |column, row| i64::from(column.as_primitive::<$kind>().value(row))
            };
        }
        let get: fn(&ArrayRef, usize) -> i64 = match column.data_type() {
            DataType::Int64 => plain!(Int64Type),
            DataType::Int32 => plain!(Int32Type),
            DataType::Int16 => plain!(Int16Type),
            DataType::Int8 => plain!(Int8Type),
            DataType::UInt32 => plain!(UInt32Type),
            DataType::UInt16 => plain!(UInt16Type),
            DataType::UInt8 => plain!(UInt8Type),
            // What does not fit is beyond every limit, and stays so.
            DataType::UInt64 => |column, row| {
                i64::try_from(column.as_primitive::<UInt64Type>().value(row)).unwrap_or(i64::MAX)
            },
            DataType::Timestamp(TimeUnit::Millisecond, _) => plain!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Second, _) => |column, row| {
                column
                    .as_primitive::<TimestampSecondType>()
                    .value(row)
                    .saturating_mul(1_000)
            },
            DataType::Timestamp(TimeUnit::Microsecond, _) => |column, row| {
                column
                    .as_primitive::<TimestampMicrosecondType>()
                    .value(row)
                    .div_euclid(1_000)
            },
            DataType::Timestamp(TimeUnit::Nanosecond, _) => |column, row| {
                column
                    .as_primitive::<TimestampNanosecondType>()
                    .value(row)
                    .div_euclid(1_000_000)
            },
            _ => {
                return Err(wrong_type(
                    name,
                    column,
                    "it must be a whole number or a timestamp",
                ));
            }
        };
        Ok(Self { column, get })
    }

    /// The number of a row.
    #[inline]
    pub fn get(self, row: usize) -> Option<i64> {
        (row < self.column.len() && self.column.is_valid(row)).then(|| (self.get)(self.column, row))
    }

    /// The number of a row, 0 when there is none.
    #[inline]
    pub fn or_zero(numbers: Option<Self>, row: usize) -> i64 {
        numbers.and_then(|numbers| numbers.get(row)).unwrap_or(0)
    }

    /// A number that may not be negative, 0 when there is none.
    ///
    /// # Errors
    /// `InvalidArgument` for a negative one.
    #[inline]
    pub fn unsigned(numbers: Option<Self>, field: &'static str, row: usize) -> Result<u64> {
        let value = Self::or_zero(numbers, row);
        u64::try_from(value).map_err(|_| ApiError::invalid(field, value, "it may not be negative"))
    }
}

/// True and false.
#[derive(Debug, Clone, Copy)]
pub struct Flags<'a>(&'a arrow_array::BooleanArray);

impl Flags<'_> {
    /// The flag of a row, false when there is none.
    pub fn or_false(flags: Option<Self>, row: usize) -> bool {
        flags
            .is_some_and(|flags| row < flags.0.len() && flags.0.is_valid(row) && flags.0.value(row))
    }
}

/// Request ids.
#[derive(Debug, Clone)]
pub enum RequestIds<'a> {
    /// 16 bytes each.
    Fixed(&'a ArrayRef),
    /// Bytes of any length, of which 16 are taken.
    Binary(&'a ArrayRef),
    /// Text.
    Text(Texts<'a>),
}

impl RequestIds<'_> {
    /// The id of a row; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no UUID.
    pub fn get(&self, row: usize) -> Result<Option<u128>> {
        let bytes = match self {
            Self::Text(texts) => {
                return texts
                    .get(row)
                    .map(|text| fields::request_id("request_id", text))
                    .transpose();
            }
            Self::Fixed(column) if column.is_null(row) => return Ok(None),
            Self::Fixed(column) => column.as_fixed_size_binary().value(row),
            Self::Binary(column) if column.is_null(row) => return Ok(None),
            Self::Binary(column) => match column.as_binary_opt::<i32>() {
                Some(small) => small.value(row),
                None => column.as_binary::<i64>().value(row),
            },
        };
        match <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes) {
            Ok(id) if id != 0 => Ok(Some(id)),
            _ => Err(ApiError::invalid(
                "request_id",
                format!("{} bytes", bytes.len()),
                "it must be a UUID of 16 bytes",
            )),
        }
    }
}
