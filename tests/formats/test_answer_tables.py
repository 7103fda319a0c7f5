"""Tables of answers: any names are read back to the same rows, from CSV and from Parquet."""

import csv

import pandas as pd
from hypothesis import HealthCheck, given, settings

from fscl.formats import answer_tables
from fscl.manifest.names import class_columns
from tests.formats.writing import about, answered

SAME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@SAME
@given(given=answered())
def test_any_names_are_read_back_to_the_same_rows(tmp_path, given):
    classes, photos = given
    answer_tables.write_csv(tmp_path / "a.csv", photos, about(classes))
    answer_tables.write_parquet(tmp_path / "a.parquet", photos, about(classes))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert len(set(table.columns)) == len(table.columns) == len(answer_tables.OWN) + len(classes)
    assert table["filepath"].tolist() == [row["filepath"] for row in rows] == [photo.file for photo in photos]
    columns = class_columns(classes, answer_tables.OWN)
    for row, (_, of_table), photo in zip(rows, table.iterrows(), photos, strict=True):
        assert row["problem"] == (photo.failure or "")
        if photo.main is None:
            continue
        assert row["prediction"] == of_table["prediction"] == classes[photo.main.answer]
        scores = [photo.main.scores[place] for place in range(len(classes))]
        assert [float(row[columns[name]]) for name in classes] == scores
        assert [of_table[columns[name]] for name in classes] == scores
