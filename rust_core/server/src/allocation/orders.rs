//! Orders of messages as the table that batches send.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, UInt32Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_proto::v1 as pb;

use crate::convert::fields;
use crate::error::ApiError;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, kind: DataType, nullable| Field::new(name, kind, nullable);
    Arc::new(Schema::new(vec![
        field("order_id", DataType::Utf8, false),
        field("line", DataType::Int32, false),
        field("item", DataType::Utf8, false),
        field("quantity", DataType::Int64, false),
        field("unfilled_minor", DataType::Int64, false),
        field("weight_g", DataType::Int64, false),
        field("requires", DataType::Utf8, false),
        field("zone", DataType::Utf8, false),
        field("due_days", DataType::Int32, true),
        field("late_minor", DataType::Int64, true),
        field("tier", DataType::UInt32, false),
        field("class", DataType::UInt32, false),
        field("ship_complete", DataType::Boolean, false),
        field("max_packages", DataType::UInt32, false),
        field("customer", DataType::Utf8, false),
        field("segment", DataType::Utf8, false),
    ]))
});

/// Makes the `orders` table. Numbers are checked with the other tables.
///
/// # Errors
/// `InvalidArgument` for a name that cannot be, or an order without lines.
pub fn table<'a>(
    orders: impl IntoIterator<Item = &'a pb::AllocationOrder>,
) -> Result<RecordBatch, ApiError> {
    let mut columns = Columns::default();
    for order in orders {
        fields::name("order.order_id", &order.order_id)?;
        if order.lines.is_empty() {
            return Err(ApiError::invalid(
                "order.lines",
                "",
                "at least one is needed",
            ));
        }
        for line in &order.lines {
            columns.push(order, line);
        }
    }
    columns.finish()
}

#[derive(Default)]
struct Columns {
    order_id: StringBuilder,
    line: Int32Builder,
    item: StringBuilder,
    quantity: Int64Builder,
    unfilled: Int64Builder,
    weight: Int64Builder,
    requires: StringBuilder,
    zone: StringBuilder,
    due: Int32Builder,
    late: Int64Builder,
    tier: UInt32Builder,
    class: UInt32Builder,
    complete: BooleanBuilder,
    packages: UInt32Builder,
    customer: StringBuilder,
    segment: StringBuilder,
}

impl Columns {
    fn push(&mut self, order: &pb::AllocationOrder, line: &pb::AllocationLine) {
        self.order_id.append_value(&order.order_id);
        self.line.append_value(line.line);
        self.item.append_value(&line.item);
        self.quantity.append_value(line.quantity);
        self.unfilled.append_value(line.unfilled_minor);
        self.weight.append_value(line.weight_g);
        self.requires.append_value(&line.requires);
        self.zone.append_value(&order.zone);
        self.due.append_option(order.due_days);
        self.late.append_option(order.late_minor);
        self.tier.append_value(order.tier);
        self.class.append_value(order.class);
        self.complete.append_value(order.ship_complete);
        self.packages.append_value(order.max_packages);
        self.customer.append_value(&order.customer);
        self.segment.append_value(&order.segment);
    }

    fn finish(mut self) -> Result<RecordBatch, ApiError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.order_id.finish()),
            Arc::new(self.line.finish()),
            Arc::new(self.item.finish()),
            Arc::new(self.quantity.finish()),
            Arc::new(self.unfilled.finish()),
            Arc::new(self.weight.finish()),
            Arc::new(self.requires.finish()),
            Arc::new(self.zone.finish()),
            Arc::new(self.due.finish()),
            Arc::new(self.late.finish()),
            Arc::new(self.tier.finish()),
            Arc::new(self.class.finish()),
            Arc::new(self.complete.finish()),
            Arc::new(self.packages.finish()),
            Arc::new(self.customer.finish()),
            Arc::new(self.segment.finish()),
        ];
        RecordBatch::try_new(SchemaRef::clone(&SCHEMA), columns)
            .map_err(|error| ApiError::Internal(error.to_string()))
    }
}
