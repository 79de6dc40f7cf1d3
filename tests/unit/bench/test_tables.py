"""Rows with other columns begin another table; `--json` prints what the benchmark itself makes of its rows."""

from __future__ import annotations

from bench.__main__ import as_object, table


def test_rows_of_other_columns_are_another_table() -> None:
    rows = [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"c": 5}, {"a": 6, "b": 7}]
    assert table(rows) == (
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n| c |\n|---|\n| 5 |\n\n| a | b |\n|---|---|\n| 6 | 7 |"
    )


def test_json_is_the_last_row_or_what_the_benchmark_says() -> None:
    rows = [{"msamples_per_s": 500, "copy_msamples_per_s": 1000, "ratio": ""}, {"other": 1}]
    assert as_object({"startup": rows}) == {"other": 1}
    assert as_object({"detector": rows}) == {**rows[0], "ratio": 0.5, "rows": rows}
    assert as_object({"startup": rows, "detector": rows}) == {"startup": rows, "detector": rows}
