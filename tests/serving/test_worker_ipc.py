"""Tables in bytes fields: what is read, and what is refused before it is unpacked."""

import pyarrow as pa
import pytest

from serving.worker_ipc import TableError, read_table, write_table

TABLE = pa.table(
    {
        "item_id": pa.array(["tea", "rum", "tea"]).dictionary_encode(),
        "target": [1.0, None, 3.0],
        "note": ["a", "b", None],
    }
)


def written(table, compression=None, named=None, rows=2):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        for batch in table.to_batches(max_chunksize=rows):
            writer.write_batch(batch, custom_metadata=named)
    return sink.getvalue()


@pytest.mark.parametrize("table", [TABLE, TABLE.select(["target"]), TABLE.select(["target"]).slice(0, 0)])
def test_what_is_written_is_read(table):
    for data in (write_table(table), written(table), written(table).to_pybytes()):
        assert read_table(data, "context").equals(table)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("columns", [["item_id"], ["target"], ["note"]])
def test_compressed_buffers_are_refused_before_they_are_unpacked(codec, columns):
    zeros = pa.table(
        {
            "item_id": pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["tea" * 1_000]),
            "target": [0.0] * 100_000,
            "note": ["same"] * 100_000,
        }
    )
    data = written(zeros.select(columns), codec, rows=100_000)
    with pytest.raises(TableError, match="context has compressed buffers: write it without compression"):
        read_table(data, "context")


def test_the_place_of_arrow_0_17_counts_as_well():
    data = written(TABLE, named={"ARROW:experimental_compression": "ZSTD"})
    with pytest.raises(TableError, match="has compressed buffers"):
        read_table(data, "context")
    assert read_table(written(TABLE, named={"other": "ZSTD"}), "context").equals(TABLE)


@pytest.mark.parametrize("data", [b"", b"hello" * 50, written(TABLE).to_pybytes()[:300]])
def test_what_is_no_stream_is_told(data):
    with pytest.raises(TableError, match="context is no sound Arrow IPC stream"):
        read_table(data, "context")
