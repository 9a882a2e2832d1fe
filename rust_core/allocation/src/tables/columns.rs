//! Columns of a caller's table: which types are taken, and their values checked at once.

use std::ops::RangeInclusive;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, LargeStringArray, RecordBatch, StringArray, StringViewArray};
use arrow_schema::DataType;

use super::{ROWS_MAX, Result, TableError, too_long};

/// A table and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    name: &'static str,
    batch: &'a RecordBatch,
}

impl<'a> Table<'a> {
    /// Takes a table.
    ///
    /// # Errors
    /// It is too long, or has a column twice or one that is not known: a misspelt one would otherwise be left out.
    pub fn new(name: &'static str, batch: &'a RecordBatch, known: &[&str]) -> Result<Self> {
        if batch.num_rows() > ROWS_MAX {
            return Err(too_long(name, batch.num_rows()));
        }
        let fields = batch.schema_ref().fields();
        for (at, field) in fields.iter().enumerate() {
            if !known.contains(&field.name().as_str()) {
                let rule = format!("the columns are {}", known.join(", "));
                return Err(TableError::new(
                    format!("column of {name}"),
                    field.name(),
                    rule,
                ));
            }
            if fields[..at]
                .iter()
                .any(|before| before.name() == field.name())
            {
                let rule = "each column may be there once";
                return Err(TableError::new(
                    format!("column of {name}"),
                    field.name(),
                    rule,
                ));
            }
        }
        Ok(Self { name, batch })
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.batch.num_rows()
    }

    /// Refuses a row.
    #[cold]
    pub fn wrong(
        self,
        row: usize,
        column: &str,
        value: impl std::fmt::Display,
        rule: impl Into<String>,
    ) -> TableError {
        let field = match column {
            "" => format!("{}[{row}]", self.name),
            _ => format!("{}[{row}].{column}", self.name),
        };
        TableError::new(field, value, rule)
    }

    fn column(self, name: &str) -> Option<&'a ArrayRef> {
        self.batch.column_by_name(name)
    }

    /// Whether it has this column.
    pub fn has(self, name: &str) -> bool {
        self.column(name).is_some()
    }

    fn required(self, name: &str) -> Result<&'a ArrayRef> {
        self.column(name).ok_or_else(|| {
            TableError::new(
                format!("column {name} of {}", self.name),
                "absent",
                "add it",
            )
        })
    }

    fn wrong_type(self, name: &str, column: &ArrayRef, rule: &'static str) -> TableError {
        let field = format!("type of column {name} of {}", self.name);
        TableError::new(field, column.data_type(), rule)
    }

    /// A column of text that must be there, every row of it.
    ///
    /// # Errors
    /// It is missing, of another type, or has a null.
    pub fn texts(self, name: &'static str) -> Result<Texts<'a>> {
        self.as_texts(name, self.required(name)?)
    }

    /// A column of text, `None` when it is absent.
    ///
    /// # Errors
    /// As [`Self::texts`].
    pub fn optional_texts(self, name: &'static str) -> Result<Option<Texts<'a>>> {
        self.column(name)
            .map(|column| self.as_texts(name, column))
            .transpose()
    }

    fn as_texts(self, name: &'static str, column: &'a ArrayRef) -> Result<Texts<'a>> {
        let rule = "it must be utf8, large_utf8, utf8_view, or a dictionary of one of these";
        let texts = match Texts::plain(column) {
            Some(texts) => texts,
            None => Texts::dictionary(column).ok_or_else(|| self.wrong_type(name, column, rule))?,
        };
        if let Some(row) = first_null(column) {
            return Err(self.wrong(row, name, "null", "every row needs one"));
        }
        Ok(texts)
    }

    /// A column of whole numbers within bounds that must be there, every row of it.
    ///
    /// # Errors
    /// It is missing, of another type, or has a null or a number out of bounds.
    pub fn integers(self, name: &'static str, bounds: RangeInclusive<i64>) -> Result<Vec<i64>> {
        let column = self.required(name)?;
        self.as_integers(name, column, bounds)
    }

    /// As [`Self::integers`], `default` in every row where the column is absent.
    ///
    /// # Errors
    /// As [`Self::integers`], except that it may be missing.
    pub fn integers_or(
        self,
        name: &'static str,
        bounds: RangeInclusive<i64>,
        default: i64,
    ) -> Result<Vec<i64>> {
        match self.column(name) {
            Some(column) => self.as_integers(name, column, bounds),
            None => Ok(vec![default; self.rows()]),
        }
    }

    /// As [`Self::integers_or`], `None` where a row has none.
    ///
    /// # Errors
    /// As [`Self::integers_or`], except that it may have nulls.
    pub fn nullable_integers_or(
        self,
        name: &'static str,
        bounds: RangeInclusive<i64>,
        default: Option<i64>,
    ) -> Result<Vec<Option<i64>>> {
        let Some(column) = self.column(name) else {
            return Ok(vec![default; self.rows()]);
        };
        let values = self.widened(name, column)?;
        let nulls = column.logical_nulls();
        let valid = |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let checked = values.into_iter().enumerate().map(|(row, value)| {
            match (valid(row), bounds.contains(&value)) {
                (false, _) => Ok(None),
                (true, true) => Ok(Some(value)),
                (true, false) => Err(self.out_of_bounds(row, name, column, value, &bounds)),
            }
        });
        checked.collect()
    }

    fn as_integers(
        self,
        name: &'static str,
        column: &ArrayRef,
        bounds: RangeInclusive<i64>,
    ) -> Result<Vec<i64>> {
        let values = self.widened(name, column)?;
        if let Some(row) = first_null(column) {
            return Err(self.wrong(row, name, "null", "every row needs one"));
        }
        match values.iter().position(|value| !bounds.contains(value)) {
            Some(row) => Err(self.out_of_bounds(row, name, column, values[row], &bounds)),
            None => Ok(values),
        }
    }

    #[cold]
    fn out_of_bounds(
        self,
        row: usize,
        name: &str,
        column: &ArrayRef,
        value: i64,
        bounds: &RangeInclusive<i64>,
    ) -> TableError {
        // What does not fit was cut: it is told as it came.
        let unsigned = column.as_primitive_opt::<UInt64Type>();
        let value = unsigned.map_or(value.to_string(), |column| column.value(row).to_string());
        let (low, high) = (bounds.start(), bounds.end());
        let rule = format!("it must be a whole number from {low} to {high}");
        self.wrong(row, name, value, rule)
    }

    /// Whole numbers of any width; what a null stands for is not known.
    fn widened(self, name: &'static str, column: &ArrayRef) -> Result<Vec<i64>> {
        macro_rules! plain {
            ($kind:ty) => {
                column
                    .as_primitive::<$kind>()
                    .values()
                    .iter()
                    .map(|value| i64::from(*value))
                    .collect()
            };
        }
        Ok(match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().values().to_vec(),
            DataType::Int32 => plain!(Int32Type),
            DataType::Int16 => plain!(Int16Type),
            DataType::Int8 => plain!(Int8Type),
            DataType::UInt32 => plain!(UInt32Type),
            DataType::UInt16 => plain!(UInt16Type),
            DataType::UInt8 => plain!(UInt8Type),
            // What does not fit is beyond every limit, and stays so.
            DataType::UInt64 => column
                .as_primitive::<UInt64Type>()
                .values()
                .iter()
                .map(|value| i64::try_from(*value).unwrap_or(i64::MAX))
                .collect(),
            // A column that nobody gave a value has no type of its own.
            DataType::Null => vec![0; column.len()],
            _ => return Err(self.wrong_type(name, column, "it must be a whole number")),
        })
    }

    /// A column of true and false, false where it is absent.
    ///
    /// # Errors
    /// It is of another type, or has a null.
    pub fn flags(self, name: &'static str) -> Result<Vec<bool>> {
        let Some(column) = self.column(name) else {
            return Ok(vec![false; self.rows()]);
        };
        let flags = column
            .as_boolean_opt()
            .ok_or_else(|| self.wrong_type(name, column, "it must be boolean"))?;
        if let Some(row) = first_null(column) {
            return Err(self.wrong(row, name, "null", "every row needs one"));
        }
        Ok(flags.values().iter().collect())
    }
}

fn first_null(column: &ArrayRef) -> Option<usize> {
    let nulls = column
        .logical_nulls()
        .filter(|nulls| nulls.null_count() > 0)?;
    (0..nulls.len()).find(|row| nulls.is_null(*row))
}

/// Text without nulls, plain or by dictionary.
#[derive(Debug)]
pub enum Texts<'a> {
    /// Utf8.
    Small(&'a StringArray),
    /// LargeUtf8.
    Large(&'a LargeStringArray),
    /// Utf8View.
    View(&'a StringViewArray),
    /// A dictionary of one of these: index into the values, one a row.
    Dictionary(Vec<usize>, Box<Texts<'a>>),
}

impl<'a> Texts<'a> {
    fn plain(column: &'a ArrayRef) -> Option<Self> {
        Some(match column.data_type() {
            DataType::Utf8 => Self::Small(column.as_string_opt()?),
            DataType::LargeUtf8 => Self::Large(column.as_string_opt()?),
            DataType::Utf8View => Self::View(column.as_string_view_opt()?),
            _ => return None,
        })
    }

    fn dictionary(column: &'a ArrayRef) -> Option<Self> {
        let dictionary = column.as_any_dictionary_opt()?;
        let values = Self::plain(dictionary.values())?;
        // Of an empty dictionary no row has a value, and such a column is refused for its nulls.
        let keys = match dictionary.values().len() {
            0 => Vec::new(),
            _ => dictionary.normalized_keys(),
        };
        Some(Self::Dictionary(keys, Box::new(values)))
    }

    /// The text of a row.
    pub fn get(&self, row: usize) -> &'a str {
        match self {
            Self::Small(texts) => texts.value(row),
            Self::Large(texts) => texts.value(row),
            Self::View(texts) => texts.value(row),
            Self::Dictionary(keys, values) => values.get(keys[row]),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Small(texts) => texts.len(),
            Self::Large(texts) => texts.len(),
            Self::View(texts) => texts.len(),
            Self::Dictionary(keys, _) => keys.len(),
        }
    }

    /// A number for each row; equal neighbours and values of a dictionary are looked up once.
    pub fn ids(&self, look_up: impl FnMut(&'a str) -> u32) -> Vec<u32> {
        match self {
            Self::Small(texts) => plain_ids(texts.len(), |row| texts.value(row), look_up),
            Self::Large(texts) => plain_ids(texts.len(), |row| texts.value(row), look_up),
            Self::View(texts) => plain_ids(texts.len(), |row| texts.value(row), look_up),
            Self::Dictionary(keys, values) => dictionary_ids(keys, values, look_up),
        }
    }
}

fn plain_ids<'a>(
    rows: usize,
    text: impl Fn(usize) -> &'a str,
    mut look_up: impl FnMut(&'a str) -> u32,
) -> Vec<u32> {
    let mut ids = Vec::with_capacity(rows);
    let mut last: Option<(&'a str, u32)> = None;
    for row in 0..rows {
        let name = text(row);
        let id = match last {
            Some((before, id)) if before == name => id,
            _ => look_up(name),
        };
        last = Some((name, id));
        ids.push(id);
    }
    ids
}

fn dictionary_ids<'a>(
    keys: &[usize],
    values: &Texts<'a>,
    mut look_up: impl FnMut(&'a str) -> u32,
) -> Vec<u32> {
    let mut known = vec![None; values.len()];
    let id = |key: &usize| *known[*key].get_or_insert_with(|| look_up(values.get(*key)));
    keys.iter().map(id).collect()
}

/// A number for each row of a column of text; that of "" where the column is absent.
pub fn ids_or_empty<'a>(
    texts: Option<&Texts<'a>>,
    rows: usize,
    mut look_up: impl FnMut(&'a str) -> u32,
) -> Vec<u32> {
    match texts {
        Some(texts) => texts.ids(look_up),
        None if rows == 0 => Vec::new(),
        None => vec![look_up(""); rows],
    }
}
