"""fscl predict --taxonomy: answers that are unsure become the lowest rank that is sure."""

import json
from pathlib import Path

import pandas as pd
import pytest

TABLE = "class,family,order\nBoar,Suidae,Artiodactyla\ndeer,Cervidae,Artiodactyla\nhare,Leporidae,Lagomorpha\n"


def predicted(fscl, model, shots, out, *more):
    code, text, err = fscl("predict", model, shots, "--out", out, *more)
    assert code == 0, err
    return text


def test_unsure_answers_become_the_order_where_that_is_sure(fscl, model, shots):
    Path("taxonomy.csv").write_text(TABLE)
    predicted(fscl, model, shots, "plain.csv")
    plain = pd.read_csv("plain.csv")
    hoofed = (plain["boar"] + plain["deer"]).where(plain["prediction"] != "hare", plain["hare"])
    bar = float(plain["probability"].quantile(0.7).round(3))
    given = ["--taxonomy", "taxonomy.csv", "--unsure-below", bar]
    text = predicted(fscl, model, shots, "a.csv", *given, "--copy-to", "sorted")
    table = pd.read_csv("a.csv")
    answered, sure = plain["probability"].notna(), plain["probability"] >= bar
    rolled_up = answered & ~sure & (hoofed >= bar)
    assert 0 < rolled_up.sum() < answered.sum() - sure.sum() + rolled_up.sum()
    stays = table[answered & ~rolled_up]
    assert stays["prediction"].tolist() == plain["prediction"][stays.index].tolist()
    assert stays["probability"].tolist() == plain["probability"][stays.index].tolist()
    assert (stays["answer_rank"] == "class").all()
    assert stays["abstained"].tolist() == (~sure[stays.index]).tolist()
    became = table[rolled_up]
    assert set(became["prediction"]) == {"Artiodactyla"}
    assert set(became["answer_rank"]) == {"order"}
    assert not became["abstained"].astype(bool).any()
    assert became["probability"].to_numpy() == pytest.approx(hoofed[rolled_up].to_numpy(), abs=1.5e-4)
    for column in ("boar", "deer", "hare"):
        assert table[column].equals(plain[column])
    line = next(line for line in text.splitlines() if "rolled up to Artiodactyla (order)" in line)
    assert line.split()[-1] == str(rolled_up.sum())
    counted = json.loads(Path("a.csv.settings.json").read_text())["summary"]
    assert counted["rolled_up"] == {"Artiodactyla (order)": rolled_up.sum()}
    assert sum(counted["species"].values()) == answered.sum() - rolled_up.sum()
    folders = {path.parts[1] for path in Path("sorted").rglob("*.jpg")}
    assert "Artiodactyla" in folders
    again = predicted(fscl, model, shots, "a.csv", *given, "--copy-to", "sorted")
    assert "rolled up to Artiodactyla (order)" in again, "finished: not made again"
    json_text = predicted(fscl, model, shots, "a.json", *given)
    assert "rolled up to" in json_text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.replace("hare", "fox"), "has no row for hare, which the model names"),
        (TABLE + "deer,Cervidae,Artiodactyla\n", "has 2 rows for the class deer"),
        (TABLE.replace("Leporidae", "Cervidae"), "family Cervidae is in order Artiodactyla and order Lagomorpha"),
        ("PK\x03\x04", "expected text"),
    ],
)
def test_a_taxonomy_that_cannot_be_used_is_a_clear_error(fscl, model, shots, table, message):
    Path("taxonomy.csv").write_text(table)
    code, out, err = fscl("predict", model, shots, "--out", "a.csv", "--taxonomy", "taxonomy.csv")
    assert "Traceback" not in out + err
    assert (code == 2) == bool(message)
    if message:
        assert "taxonomy.csv" in err
        assert message in err
        assert not Path("a.csv").exists()
