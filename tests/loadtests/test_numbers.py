"""Options that take numbers, and stored lines that cannot be told again: what is wrong is named, with status 2."""

import pytest

from loadtests.slo.cli import main


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--search", "orders", "--resolution", "0"], "--resolution: '0' is no number above 0"),
        (["--search", "orders", "--highest", "-1"], "--highest: '-1' is no number above 0"),
        (["--search", "orders", "--highest", "inf"], "--highest: 'inf'"),
        (["--search", "orders", "--confirmations", "-1"], "--confirmations: '-1' is no whole number from 0 on"),
        (["--rounds", "0"], "--rounds: '0' is no whole number from 1 on"),
        (["--rounds", "two"], "--rounds: 'two'"),
    ],
)
def test_a_wrong_number_is_named(options, told, capsys):
    with pytest.raises(SystemExit) as left:
        main(options)
    assert left.value.code == 2
    assert told in capsys.readouterr().err


def test_lines_that_are_not_there_or_are_none_are_named(tmp_path, capsys):
    missing = tmp_path / "missing.jsonl"
    assert main(["--from", str(missing), "--figures"]) == 2
    assert f"No such file or directory: '{missing}'" in capsys.readouterr().err
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"kind": "run"}\nno JSON\n')
    assert main(["--from", str(wrong), "--figures"]) == 2
    assert f"error: {wrong}:2: " in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named_before_anything_is_run(tmp_path, capsys):
    place = tmp_path / "no" / "lines.jsonl"
    assert main(["--out", str(place)]) == 2
    assert str(place) in capsys.readouterr().err
