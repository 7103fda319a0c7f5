import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fscl.errors import OutputError
from fscl.evaluation import evaluate_run
from fscl.evaluation import thumbnails as module
from fscl.evaluation.thumbnails import LONGEST_PX, RIGHT_SHOWN, SIDE_PX, chosen
from fscl.manifest.table import Manifest
from fscl.records import read_evaluation
from fscl.records.thumbnails import Thumbnail, read_thumbnails, write_thumbnails
from fscl.training.loop import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory, photos):
    from fscl import methods
    from fscl.config import resolve, settings

    small = settings({"backbone": "test_resnet", "image_size": 32, "steps": 2, "batch_size": 16, "workers": 0})
    config = resolve([("baseline", methods.read("baseline")), ("test", small)])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run")


def answers(*rows):
    return pd.DataFrame(rows, columns=["label", "prediction", "probability"])


def test_every_error_is_chosen_the_surest_first_and_right_ones_from_the_least_sure_on():
    rows = answers(
        ("a", "a", 0.9), ("a", "b", 0.6), ("b", None, None), ("b", "b", 0.7), ("b", "a", 0.8), ("a", "a", 0.5)
    )
    assert chosen(rows) == [4, 1, 3, 5, 0]


def test_right_ones_are_at_most_fifty_a_class_spread_over_their_probability():
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1, 400)
    rows = answers(*[("a", "a", value) for value in sure], ("b", "b", 0.6))
    few = chosen(rows)
    assert len(few) == RIGHT_SHOWN + 1
    own = rows["probability"].iloc[[place for place in few if place < 400]].to_numpy()
    ordered = np.sort(sure)
    assert (own[0], own[-1]) == (ordered[0], ordered[-1])
    assert np.abs(np.searchsorted(ordered, own) - np.linspace(0, 399, RIGHT_SHOWN)).max() <= 1
    assert chosen(rows) == few


def test_evaluate_leaves_a_picture_of_every_error_and_of_right_ones(run):
    record = evaluate_run(run)
    pictures = read_thumbnails(run / "thumbnails.parquet")
    table = pd.read_csv(run / "predictions.csv")
    wrong = set(table["region"][table["label"] != table["prediction"]])
    assert wrong <= {picture.region for picture in pictures} <= set(table["region"])
    assert len(pictures) == len(table)
    for picture in pictures:
        with Image.open(io.BytesIO(picture.jpeg)) as image:
            assert image.format == "JPEG"
            assert image.size == (48, 40)  # not made larger
    assert record.provenance.machine["cores"] >= 1
    assert read_evaluation(run / "evaluation.json") == record


def test_a_picture_is_of_the_box_with_its_own_proportions_and_without_comments(run, tmp_path, draw):
    pixels = np.zeros((300, 900, 3), dtype=np.uint8)
    pixels[:, 300:600] = (200, 30, 30)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95, comment=b"where the den is")
    Image.fromarray(pixels).save(tmp_path / "b.png")
    rows = pd.DataFrame(
        {
            "path": ["a.jpg", "b.png"],
            "label": ["boar", "deer"],
            **{"x": [300.0, np.nan], "y": [0.0, np.nan], "w": [300.0, np.nan], "h": [300.0, np.nan]},
        }
    )
    evaluate_run(run, Manifest.build(rows, tmp_path), out=tmp_path / "out")
    pictures = {one.region: one.jpeg for one in read_thumbnails(tmp_path / "out" / "thumbnails.parquet")}
    box, whole = (Image.open(io.BytesIO(pictures[name])) for name in ("a.jpg#0", "b.png#0"))
    margin = 1 + 2 * read_margin(run)
    assert box.size == (SIDE_PX, SIDE_PX) or box.size == (round(SIDE_PX * margin), SIDE_PX)
    assert np.abs(np.asarray(box)[50, box.width // 2] - [200, 30, 30]).max() < 12
    assert whole.size == (LONGEST_PX, round(LONGEST_PX / 3))
    assert b"den" not in pictures["a.jpg#0"]


def read_margin(run):
    import json

    return json.loads((run / "bundle.json").read_text())["preprocessing"]["crop_margin"]


def test_pictures_end_where_the_page_would_be_too_large(run, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MOST_BYTES", 4000)
    evaluate_run(run)
    pictures = read_thumbnails(run / "thumbnails.parquet")
    assert 0 < sum(len(picture.jpeg) + len(picture.heat or b"") for picture in pictures) <= 4000
    table = pd.read_csv(run / "predictions.csv")
    order = [table["region"][place] for place in chosen(table)]
    assert [picture.region for picture in pictures] == order[: len(pictures)]


def test_a_photo_that_is_gone_by_then_has_no_picture(run, tmp_path, draw):
    root = draw("in/boar/1.png", "in/boar/2.png", "in/deer/3.png") / "in"
    from fscl.scanning.scan import scan

    photos = scan(root)
    table = answers(("boar", "boar", 0.9), ("boar", "deer", 0.8), ("deer", "deer", 0.7))
    (root / "boar" / "2.png").unlink()
    from fscl.bundle import Bundle
    from fscl.progress import Silent

    made = list(module.thumbnails(photos, table, Bundle.open(run), Silent()))
    assert [one.region for one in made] == ["boar/1.png#0", "deer/3.png#0"]


def heat_of(picture):
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_surest_errors_have_a_heat_map_over_the_same_picture(run, monkeypatch):
    monkeypatch.setattr(module, "MOST_HEATED", 2)
    evaluate_run(run)
    pictures = read_thumbnails(run / "thumbnails.parquet")
    table = pd.read_csv(run / "predictions.csv").set_index("region")
    wrong = (table["label"] != table["prediction"]).to_dict()
    assert sum(wrong.values()) > 2
    assert [picture.heat is not None for picture in pictures] == [True, True] + [False] * (len(pictures) - 2)
    for picture in pictures[:2]:
        photo, heat = heat_of(picture.jpeg), heat_of(picture.heat)
        assert wrong[picture.region]
        assert photo.shape == heat.shape
        assert np.ptp(heat, axis=2).max() > 40, "the heat has a colour"
        assert np.ptp(photo, axis=2).max() > 40 > np.ptp(heat, axis=2).min(), "the photo under it is grey"


def test_heat_is_where_the_evidence_is_also_of_wide_photos(run, tmp_path, monkeypatch):
    from fscl.bundle import Bundle
    from fscl.progress import Silent
    from fscl.saliency import look

    def to_the_right(classifier, photos):
        heat = torch.zeros(len(photos), 4, 4)
        heat[:, :, 3] = 1
        return look(classifier, photos)._replace(heat=heat)

    monkeypatch.setattr(module, "look", to_the_right)
    Image.new("RGB", (400, 200), (90, 90, 90)).save(tmp_path / "wide.png")
    photos = Manifest.build(pd.DataFrame({"path": ["wide.png"], "label": ["boar"]}), tmp_path)
    [made] = module.thumbnails(photos, answers(("boar", "deer", 0.9)), Bundle.open(run), Silent())
    heat = np.ptp(heat_of(made.heat), axis=2).mean(axis=0)
    assert heat.shape == (208,)
    assert heat[:100].max() < 8 < 40 < heat[190:].min()


def test_a_backbone_without_maps_gives_pictures_without_heat(run, draw):
    from dataclasses import replace

    from fscl.bundle import Bundle
    from fscl.models import Classifier
    from fscl.progress import Silent
    from fscl.scanning.scan import scan

    bundle = Bundle.open(run)
    without = replace(
        bundle,
        classifier=Classifier("test_vit", len(bundle.classes), image_size=160).eval(),
        preprocessing=bundle.preprocessing.model_copy(update={"image_size": 160}),
    )
    photos = scan(draw("in/boar/1.png", "in/boar/2.png") / "in")
    table = answers(("boar", "deer", 0.9), ("boar", "deer", 0.8))
    assert [made.heat for made in module.thumbnails(photos, table, without, Silent())] == [None, None]


def test_heat_maps_are_kept_where_there_are_any(tmp_path):
    path = tmp_path / "thumbnails.parquet"
    plain = [Thumbnail("a#0", b"\xff\xd8\xff1"), Thumbnail("b#0", b"\xff\xd8\xff2")]
    heated = [plain[0]._replace(heat=b"\xff\xd8\xff3"), plain[1]]
    for given in (plain, heated, []):
        write_thumbnails(path, given)
        assert read_thumbnails(path) == given


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 100])
def test_damaged_pictures_are_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "thumbnails.parquet"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"thumbnails\.parquet is damaged.*fscl evaluate"):
        read_thumbnails(path)


def test_what_is_no_jpeg_is_not_taken_for_one(tmp_path):
    write_thumbnails(tmp_path / "t.parquet", [Thumbnail("a#0", b"<svg onload=alert(1)>")])
    with pytest.raises(OutputError, match="the picture of a#0 is no JPEG"):
        read_thumbnails(tmp_path / "t.parquet")
