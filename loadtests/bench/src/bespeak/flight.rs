//! Batches over Arrow Flight: one DoExchange stream a client, a table of orders there, a table of
//! outcomes back.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch, StringArray, UInt64Array};
use arrow_flight::utils::{batches_to_flight_data, flight_data_to_arrow_batch};
use arrow_flight::{FlightData, FlightDescriptor};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_proto::v1::{Outcome, Refusal};
use prost::Message;

use super::LOCATION;
use super::wire::item;
use crate::connection::{Connection, Settle};
use crate::grpc::{Channel, Stream, frame};
use crate::ids::Ids;

const METHOD: &str = "/arrow.flight.protocol.FlightService/DoExchange";
const TABLE: &str = "reserve";

pub struct FlightClient {
    stream: Stream,
    ids: Ids,
    schema: SchemaRef,
    answers: Option<SchemaRef>,
}

impl FlightClient {
    /// Opens the stream and tells which table it is about.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn open(channel: &mut Channel, salt: u64) -> Result<Self> {
        let method = channel.method(METHOD)?;
        let mut stream = channel.stream(&method).await?;
        let schema = Arc::new(Schema::new(vec![
            Field::new("request_id", DataType::FixedSizeBinary(16), false),
            Field::new("item", DataType::Utf8, false),
            Field::new("location", DataType::Utf8, false),
            Field::new("quantity", DataType::UInt64, false),
        ]));
        let head = batches_to_flight_data(&schema, Vec::new())?;
        let head = head
            .into_iter()
            .next()
            .context("a schema makes one message")?;
        let descriptor = FlightDescriptor::new_path(vec![TABLE.to_owned()]);
        stream.send(frame(&head.with_descriptor(descriptor)))?;
        Ok(Self {
            stream,
            ids: Ids::new(salt),
            schema,
            answers: None,
        })
    }

    fn table(&mut self, lines: &[(u32, u8)]) -> Result<RecordBatch> {
        let ids = FixedSizeBinaryArray::try_from_iter(lines.iter().map(|_| self.ids.next_bytes()))?;
        let items = StringArray::from_iter_values(lines.iter().map(|&(sku, _)| item(sku)));
        let locations = StringArray::from_iter_values(lines.iter().map(|_| LOCATION));
        let quantities =
            UInt64Array::from_iter_values(lines.iter().map(|&(_, quantity)| u64::from(quantity)));
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(ids),
            Arc::new(items),
            Arc::new(locations),
            Arc::new(quantities),
        ];
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Connection for FlightClient {
    type Hold = u64;

    async fn reserve_batch(&mut self, lines: &[(u32, u8)]) -> Result<Vec<bool>> {
        let table = self.table(lines)?;
        let messages = batches_to_flight_data(&self.schema, vec![table])?;
        let data = messages
            .into_iter()
            .nth(1)
            .context("a table makes two messages")?;
        self.stream.send(frame(&data))?;
        let mut held = Vec::with_capacity(lines.len());
        while held.len() < lines.len() {
            let data = FlightData::decode(self.stream.receive().await?)?;
            let Some(schema) = &self.answers else {
                self.answers = Some(Arc::new(Schema::try_from(&data)?));
                continue;
            };
            let answers = flight_data_to_arrow_batch(&data, schema.clone(), &Default::default())?;
            outcomes(&answers, &mut held)?;
        }
        Ok(held)
    }

    async fn reserve(&mut self, sku: u32, quantity: u8) -> Result<Option<u64>> {
        bail!("{quantity} units of sku {sku} were asked for outside a batch")
    }

    async fn settle(&mut self, hold: u64, how: Settle) -> Result<()> {
        bail!("{how:?} of {hold} was asked for outside a batch")
    }

    async fn check(&mut self, sku: u32) -> Result<u64> {
        bail!("a check of sku {sku} was asked for outside a batch")
    }
}

/// Which rows were held. Only want of stock is a refusal that the job knows.
fn outcomes(answers: &RecordBatch, held: &mut Vec<bool>) -> Result<()> {
    let column = |name| {
        answers
            .column_by_name(name)
            .with_context(|| format!("no column {name}"))
    };
    let outcomes = column("outcome")?
        .as_primitive_opt::<UInt8Type>()
        .context("outcome is no u8")?;
    let refusals = column("refusal")?
        .as_primitive_opt::<UInt8Type>()
        .context("refusal is no u8")?;
    let errors = column("error")?
        .as_string_opt::<i32>()
        .context("error is no text")?;
    for row in 0..answers.num_rows() {
        let full = outcomes.value(row) == Outcome::Full as u8;
        let refused = refusals.value(row) == Refusal::InsufficientStock as u8;
        ensure!(full || refused, "row {row} failed: {:?}", errors.value(row));
        held.push(full);
    }
    Ok(())
}
