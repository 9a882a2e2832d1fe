//! What a table of facts about stock is answered with, one row a fact.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BooleanBuilder, Int64Builder, StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_proto::v1 as pb;

use super::made;
use crate::error::ApiError;

/// Columns of the answer.
pub static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("refusal", DataType::UInt8, false),
        Field::new("on_hand", DataType::Int64, false),
        Field::new("version", DataType::UInt64, false),
        Field::new("receipt_revision", DataType::UInt32, false),
        Field::new("receipt_open_quantity", DataType::UInt64, false),
        Field::new("shock_id", DataType::UInt64, false),
        Field::new("revision", DataType::UInt64, false),
        Field::new("replayed", DataType::Boolean, false),
        Field::new("duplicate", DataType::Boolean, false),
        Field::new("error", DataType::Utf8, true),
        Field::new("message", DataType::Utf8, true),
    ]))
});

#[derive(Default)]
pub(super) struct Answers {
    refusal: UInt8Builder,
    on_hand: Int64Builder,
    version: UInt64Builder,
    receipt_revision: UInt32Builder,
    receipt_open: UInt64Builder,
    shock: UInt64Builder,
    revision: UInt64Builder,
    replayed: BooleanBuilder,
    duplicate: BooleanBuilder,
    error: StringBuilder,
    message: StringBuilder,
}

/// What one event answers.
pub(super) struct Done {
    pub result: Option<pb::SupplyResult>,
    pub receipt_revision: u32,
    pub receipt_open: u64,
}

impl Done {
    pub fn plain(result: Option<pb::SupplyResult>) -> Self {
        Self {
            result,
            receipt_revision: 0,
            receipt_open: 0,
        }
    }
}

impl Answers {
    pub fn push(&mut self, done: &Done) {
        let result = done.result.clone().unwrap_or_default();
        self.refusal
            .append_value(u8::try_from(result.refusal).unwrap_or(0));
        self.on_hand.append_value(result.on_hand);
        self.version.append_value(result.version);
        self.receipt_revision.append_value(done.receipt_revision);
        self.receipt_open.append_value(done.receipt_open);
        self.shock
            .append_value(result.shock.map_or(0, |shock| shock.shock_id));
        self.revision.append_value(result.revision);
        self.replayed.append_value(result.replayed);
        self.duplicate.append_value(result.duplicate);
        self.error.append_null();
        self.message.append_null();
    }

    #[cold]
    pub fn push_error(&mut self, error: &ApiError, revision: u64) {
        self.refusal.append_value(0);
        self.on_hand.append_value(0);
        self.version.append_value(0);
        self.receipt_revision.append_value(0);
        self.receipt_open.append_value(0);
        self.shock.append_value(0);
        self.revision.append_value(revision);
        self.replayed.append_value(false);
        self.duplicate.append_value(false);
        self.error.append_value(error.code());
        self.message.append_value(error.to_string());
    }

    /// The table of all answers.
    pub fn finish(&mut self) -> Result<RecordBatch, ApiError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.refusal.finish()),
            Arc::new(self.on_hand.finish()),
            Arc::new(self.version.finish()),
            Arc::new(self.receipt_revision.finish()),
            Arc::new(self.receipt_open.finish()),
            Arc::new(self.shock.finish()),
            Arc::new(self.revision.finish()),
            Arc::new(self.replayed.finish()),
            Arc::new(self.duplicate.finish()),
            Arc::new(self.error.finish()),
            Arc::new(self.message.finish()),
        ];
        let batch =
            RecordBatch::try_new(Arc::clone(&SCHEMA), columns).map_err(|error| made(&error))?;
        Ok(batch)
    }
}
