//! Arrow tables as the protocol carries them.

use anyhow::Result;
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;

/// # Errors
/// Never for tables in memory.
pub fn stream(table: &RecordBatch) -> Result<Bytes> {
    let mut writer = StreamWriter::try_new(Vec::new(), &table.schema())?;
    writer.write(table)?;
    Ok(writer.into_inner()?.into())
}

/// # Errors
/// The bytes are no Arrow IPC stream.
pub fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    let reader = StreamReader::try_new(bytes, None)?;
    Ok(reader.collect::<std::result::Result<_, _>>()?)
}
