"""`import`: files as people have them, and every mistake in them told by row."""

import csv

import polars as pl
import pytest

from bespeak import Client
from serving.imports.checking import check
from serving.imports.kinds import KINDS, RECEIPTS, STOCK
from serving.imports.reading import FileError, parse_mapping, read
from tests.serving.cli_process import call, run, server


@pytest.fixture
def service(tmp_path):
    """An empty server."""
    with server("--memory", cwd=tmp_path) as (_, address), Client(address) as client:
        yield client


def file_of(tmp_path, text, name="given.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def wrong_cells(path, kind, mapping=()):
    rows = check(read(path, kind, parse_mapping(list(mapping), kind)), kind)
    return [(error.row, error.column, error.value) for row in rows for error in row.wrong]


def test_columns_are_found_under_the_names_that_people_use(tmp_path):
    path = file_of(tmp_path, "StockCode,Store ID,On Hand,Colour\ntea,ams1,12.0,green\n")
    source = read(path, STOCK, {})
    assert source.ignored == ("Colour",)
    (row,) = check(source, STOCK)
    assert {name: value for name, value in row.values.items() if value is not None} == {
        "item": "tea",
        "location": "ams1",
        "quantity": 12,
    }


@pytest.mark.parametrize(
    ("cell", "column"),
    [
        ("tea,ams1,-1,,", "quantity"),
        ("tea,ams1,1.5,,", "quantity"),
        ("tea,ams1,,,", "quantity"),
        ("tea,ams1,1e3,,", "quantity"),
        ("tea,ams1,9999999999999,,", "quantity"),
        (",ams1,1,,", "item"),
        (f"{'x' * 129},ams1,1,,", "item"),
        ("tea,,1,,", "location"),
        ("tea,ams1,1,LOST,", "status"),
        ("tea,ams1,1,,yesterday", "counted_at"),
    ],
)
def test_each_wrong_cell_is_told_with_its_row_and_column(tmp_path, cell, column):
    path = file_of(tmp_path, f"item,location,quantity,status,counted_at\nrice,ams1,1,,\n{cell}\n")
    (wrong,) = wrong_cells(path, STOCK)
    assert wrong[:2] == (3, column)


def test_a_count_given_twice_is_told(tmp_path):
    path = file_of(tmp_path, "item,location,quantity\ntea,ams1,1\ntea,ams2,1\ntea,ams1,2\n")
    assert wrong_cells(path, STOCK) == [(4, "", "item tea, location ams1")]


def test_a_count_without_a_status_is_of_unrestricted_stock(tmp_path):
    path = file_of(
        tmp_path, "item,location,quantity,status\ntea,ams1,20,\ntea,ams1,7,unrestricted\ntea,ams1,1,BLOCKED\n"
    )
    assert wrong_cells(path, STOCK) == [(3, "", "item tea, location ams1, status UNRESTRICTED")]


def test_dates_stay_dates_and_times_become_instants(tmp_path):
    path = file_of(
        tmp_path,
        "po,sku,site,qty,eta\na,tea,ams1,1,2026-11-25\nb,tea,ams1,1,2026-11-25T12:00+01:00\nc,tea,ams1,1,2026-13-01\n",
    )
    rows = list(check(read(path, RECEIPTS, {}), RECEIPTS))
    assert [row.values["due"] for row in rows] == ["2026-11-25", 1_795_604_400_000, None]
    assert [error.column for error in rows[2].wrong] == ["due"]


def test_parquet_keeps_its_types(tmp_path):
    path = tmp_path / "given.parquet"
    pl.DataFrame(
        {"item": ["tea"], "location": ["ams1"], "quantity": [12], "counted_at": ["2026-11-25T12:00:00"]}
    ).with_columns(pl.col("counted_at").str.to_datetime(time_unit="us")).write_parquet(path)
    (row,) = check(read(path, STOCK, {}), STOCK)
    assert (row.number, row.values["quantity"], row.values["counted_at"]) == (1, 12, 1_795_608_000_000)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (["quantity"], "--map quantity is no pair"),
        (["quantty=Antal"], "did you mean quantity?"),
        (["quantity=Antall"], "has no column Antall: did you mean Antal?"),
        ([], "has no column quantity: it has item, location, Antal"),
    ],
)
def test_mistakes_in_a_mapping_are_told(tmp_path, mapping, said):
    path = file_of(tmp_path, "item,location,Antal\n")
    with pytest.raises(FileError) as raised:
        read(path, STOCK, parse_mapping(mapping, STOCK))
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["given.xlsx", "gone.csv"])
def test_files_that_cannot_be_read_are_told(tmp_path, name):
    with pytest.raises(FileError, match=name):
        read(tmp_path / name, STOCK, {})


def test_every_kind_has_its_command(tmp_path):
    for kind in KINDS:
        assert call("import", kind, "--help", cwd=tmp_path).returncode == 0


def test_stock_and_receipts_are_taken_once(tmp_path, service):
    stock = file_of(tmp_path, "item,location,Antal,unit\ntea,ams1,20,\ntea,ams1,2,case\nrice,rtm1,7,\n", "stock.csv")
    dry = call("import", "stock", stock, "--map", "quantity=Antal", "--dry-run", cwd=tmp_path)
    assert "3 rows: 2 can be sent; nothing was sent" in dry.stdout
    assert dry.returncode == 1
    stock.write_text("item,location,Antal,unit\ntea,ams1,20,\nrice,rtm1,7,\nrice,ams1,1,barrel\n")
    arguments = ("import", "stock", stock, "-m", "quantity=Antal", "--create", "-a", service.address)
    errors_to = tmp_path / "errors.csv"
    first = run(*arguments, "--errors", errors_to, cwd=tmp_path)
    assert "3 rows: 2 taken, 0 of them had been before" in first.stdout
    assert first.returncode == 1
    ((row, _, _, what),) = list(csv.reader(errors_to.open()))[1:]
    assert row == "4"
    assert "UNKNOWN_UNIT" in what
    assert service.get_position("tea", "ams1").unrestricted == 20
    service.adjust_on_hand("tea", "ams1", -5, "SALE")
    again = call(*arguments, cwd=tmp_path)
    assert "2 taken, 2 of them had been before" in again.stdout
    assert service.get_position("tea", "ams1").unrestricted == 15

    receipts = file_of(tmp_path, "receipt_id,item,location,quantity,due\npo-1,tea,ams1,5,+9d\n", "receipts.csv")
    refused = call("import", "receipts", receipts, "-a", service.address, cwd=tmp_path)
    assert "0 taken" in refused.stdout
    assert "it must be a time such as" in refused.stdout
    receipts.write_text("receipt_id,item,location,quantity,due,kind\npo-1,tea,ams1,5,2027-06-01,production\n")
    assert run("import", "receipts", receipts, "-a", service.address, cwd=tmp_path).returncode == 0
    (receipt,) = service.get_position("tea", "ams1").receipts
    assert (receipt.receipt_id, receipt.kind, receipt.open_quantity) == ("po-1", "PRODUCTION", 5)


def test_orders_are_held_whole_or_told(tmp_path, service):
    stock = file_of(tmp_path, "item,location,quantity\ntea,ams1,20\nrice,ams2,5\n", "stock.csv")
    assert call("import", "stock", stock, "--create", "-a", service.address, cwd=tmp_path).returncode == 0
    orders = file_of(
        tmp_path,
        "order_ref,item,quantity,location,customer\n"
        "o-1,tea,2,,ann\n"
        "o-1,rice,1,,ann\n"
        "o-2,tea,4,ams1,bob\n"
        "o-3,tea,1,,\n"
        "o-3,rice,zero,,\n"
        "o-4,rice,50,,\n"
        "o-1,tea,1,,ann\n",
        "orders.csv",
    )
    asked = ("import", "orders", orders, "-l", "ams1", "-l", "ams2", "--confirm", "-a", service.address)
    ran = run(*asked, cwd=tmp_path)
    assert "7 rows, 3 orders: 2 in full, 0 in part, 1 refused; 0 had been answered before" in ran.stdout
    assert "quantity" in ran.stdout
    assert "its order began at row 2" in ran.stdout
    assert ran.returncode == 1
    assert service.stats().confirmed_reservations == 2
    assert service.get_position("tea", "ams1").confirmed == 6
    assert service.get_position("rice", "ams2").confirmed == 1
    again = call(*asked, cwd=tmp_path)
    assert "2 had been answered before" in again.stdout
    assert service.stats().confirmed_reservations == 2
