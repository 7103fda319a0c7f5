"""What the page is told: answers as `fscl predict` has them, heat maps, neighbours, refusals with a reason."""

import base64
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fscl.errors import ConfigurationError
from fscl.formats.walk import walk
from fscl.predictor import load
from fscl.serve import app, require_extra
from fscl.serve.folder import Folder, checked_name
from fscl.serve.training_photos import NearestPhotos
from tests.serve.conftest import serving


def answer(page, content, **options):
    return page.post("/api/answer", content=content, **options)


def test_an_answer_is_that_of_predict(page, run, class_folders, fscl, tmp_path):
    photos = [f"{name}/{number:03}.jpg" for name in ("boar", "deer", "hare") for number in range(4)]
    (tmp_path / "list.txt").write_text("".join(f"{class_folders / photo}\n" for photo in photos))
    code, _, err = fscl("predict", run, tmp_path / "list.txt", "--out", "said.csv")
    assert code == 0, err
    said = pd.read_csv("said.csv")
    classes = list(load(run).classes)
    for photo, row in zip(photos, said.to_dict("records"), strict=True):
        for told in (
            answer(page, (class_folders / photo).read_bytes()),
            answer(page, b"", params={"photo": photo}),
        ):
            got = told.raise_for_status().json()
            assert got["species"] == row["prediction"]
            assert got["probability"] == pytest.approx(row["probability"], abs=2e-4)
            assert got["unsure"] == row["abstained"]
            shares = sorted(((row[name], name) for name in classes), reverse=True)
            assert [share for _, share in got["likeliest"]] == pytest.approx([share for share, _ in shares], abs=2e-4)


def test_a_direction_tells_the_similarity_of_photos_and_finds_the_training_photos(page):
    got = answer(page, b"", params={"photo": "boar/000.jpg"}).json()
    direction = base64.b64decode(got["direction"])
    assert np.linalg.norm(np.frombuffer(direction, "<f4")) == pytest.approx(1, abs=1e-3)
    near = page.post("/api/nearest", content=direction).raise_for_status().json()
    assert near["ready"]
    assert len(near["photos"]) == 5
    similarities = [one["similarity"] for one in near["photos"]]
    assert similarities == sorted(similarities, reverse=True)
    first = near["photos"][0]
    itself = page.post("/api/nearest", content=direction, params={"photo": first["path"]}).json()["photos"]
    assert first["path"] not in [one["path"] for one in itself]
    picture = page.get(f"/api/training/{first['number']}")
    assert Image.open(BytesIO(picture.content)).format == "JPEG"
    assert picture.headers["cache-control"] == "no-store"  # the next page at this address may be of another run
    assert page.get("/api/training/100000").status_code == 404
    assert page.get("/api/training/-1").status_code == 404
    assert page.post("/api/nearest", content=b"x" * len(direction)).status_code == 422
    assert page.post("/api/nearest", content=b"x").status_code == 422


def test_features_that_come_while_they_are_asked_for_are_not_missed(page, monkeypatch):
    training = page.page.served.training
    known = training._known

    class Ending:
        def is_alive(self):
            training._known = known  # the thread ends at this very moment
            return False

    monkeypatch.setattr(training, "_known", None)
    monkeypatch.setattr(training, "_thread", Ending())
    near = training.nearest(known.features[0], "")
    assert (near.ready, len(near.photos)) == (True, 5)


def test_all_that_is_to_be_known_of_the_training_photos_is_said(page, monkeypatch):
    training = page.page.served.training
    known = training._known
    monkeypatch.setattr(training, "_notes", [])
    for note in ("20 of 50 training photos are compared with", "features are not kept in the cache"):
        training.note(note)
    near = training.nearest(known.features[0], "")
    assert near.note == "20 of 50 training photos are compared with; features are not kept in the cache"
    monkeypatch.setattr(training, "_known", None)
    monkeypatch.setattr(training, "_why", "coming")
    assert training.nearest(known.features[0], "").note == f"coming; {near.note}"


def test_training_photos_that_cannot_be_read_are_counted(run, page, monkeypatch):
    served = page.page.served
    known = served.training._known._replace(unread=1)
    monkeypatch.setattr("fscl.serve.training_photos.directions_of", lambda *_: known)
    training = NearestPhotos(run, None, served.bundle, served.model)
    training.wait()
    assert training.nearest(known.features[0], "").note == "1 training photo could not be read"


def test_a_heat_map_has_the_proportions_of_the_photo(page):
    written = BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (60, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(written, "JPEG")
    got = page.post("/api/heat", content=written.getvalue()).raise_for_status().json()
    assert "heat: what spoke for" in got["note"]
    picture = Image.open(BytesIO(base64.b64decode(got["picture"].partition(",")[2])))
    assert picture.size == (120, 60)


def bomb():
    """Return a PNG of a few bytes that claims 40,000 pixels a side."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"no photo", "not an image"),
        (b"\0\0\0\x18ftypheic", "HEIC is not supported, convert it to JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not an image"),
        (bomb(), "decompression bomb"),
    ],
)
@pytest.mark.parametrize("what", ["answer", "heat"])
def test_what_is_no_photo_is_refused_with_a_reason(page, content, reason, what):
    told = page.post(f"/api/{what}", content=content)
    assert told.status_code == 422
    assert reason in told.json()["detail"]


def test_half_a_photo_is_refused(page, class_folders):
    content = (class_folders / "boar/000.jpg").read_bytes()
    assert answer(page, content[:300]).json()["detail"] == "truncated file"


def test_a_photo_is_bounded_before_it_is_read(page, monkeypatch):
    monkeypatch.setattr(app, "MOST_BYTES", 100)
    assert answer(page, b"x" * 101).status_code == 413
    assert answer(page, iter([b"x" * 10])).status_code == 411  # in chunks, nobody knows how many


NAMES = ["../boar/000.jpg", "/etc/passwd", "boar/../../x.jpg", "boar/000.jpg\0", "boar", "", "C:\\x.jpg", "out.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder(page, name):
    for path in ("/api/answer", "/api/heat"):
        assert page.post(path, params={"photo": name}).status_code == 422
    assert page.get("/api/picture", params={"photo": name}).status_code == 422


def test_links_out_of_the_folder_are_not_photos_of_it(run, draw, tmp_path):
    draw("mine/1.jpg", "mine/a/2.jpg", "secret/3.jpg")
    (tmp_path / "mine/out.jpg").symlink_to(tmp_path / "secret/3.jpg")
    (tmp_path / "mine/away").symlink_to(tmp_path / "secret")
    (tmp_path / "mine/in.jpg").symlink_to(tmp_path / "mine/1.jpg")
    with serving(run, folder=tmp_path / "mine") as page:
        names = page.get("/api/photos").json()
        assert names == {"names": ["1.jpg", "a/2.jpg", "in.jpg"], "total": 3}
        assert answer(page, b"", params={"photo": "in.jpg"}).status_code == 200
        for name in ("out.jpg", "away/3.jpg"):
            assert answer(page, b"", params={"photo": name}).status_code == 422
        (tmp_path / "mine/1.jpg").unlink()
        (tmp_path / "mine/1.jpg").symlink_to(tmp_path / "secret/3.jpg")  # after it was listed
        assert answer(page, b"", params={"photo": "1.jpg"}).status_code == 422
        page.get("/api/photos")
        draw("mine/new.jpg")
        assert page.get("/api/photos", params={"start": 1, "count": 1}).json()["total"] == 1
        assert "new.jpg" in page.get("/api/photos").json()["names"]


def test_a_folder_shows_photos_and_no_videos(draw, tmp_path):
    draw("mine/1.jpg")
    for name in ("2.mp4", "3.MOV", "4.avi"):
        (tmp_path / "mine" / name).write_bytes(b"video")
    assert Folder(tmp_path / "mine").names() == ["1.jpg"]


@pytest.mark.parametrize(
    "name", ["../1.jpg", "/1.jpg", "a/../../1.jpg", "a\0.jpg", "", "C:/1.jpg", "..\\1.jpg", "a\n"]
)
def test_names_from_a_browser_stay_below_the_table(name):
    with pytest.raises(ValueError, match="expected the name of a photo below a folder"):
        checked_name(name)


def test_twenty_clients_at_once_without_an_error(page, class_folders):
    photos = [path.read_bytes() for path in sorted(class_folders.rglob("*.jpg"))[:60]]
    alone = [answer(page, photo).json()["species"] for photo in photos]
    start = threading.Barrier(20)

    def client(number):
        start.wait()
        return [answer(page, photo).json() for photo in photos[3 * number : 3 * number + 3]]

    with ThreadPoolExecutor(20) as clients:
        together = [one for told in clients.map(client, range(20)) for one in told]
    assert [one["species"] for one in together] == alone


def test_what_there_is_no_room_for_is_to_ask_again(page, class_folders, monkeypatch):
    monkeypatch.setattr(page.page.served.answers, "_requests", 0)
    told = answer(page, (class_folders / "boar/000.jpg").read_bytes())
    assert (told.status_code, told.headers["retry-after"]) == (503, "1")
    monkeypatch.setattr(page.page.served.answers, "_requests", 1)
    for _ in range(3):  # also after a refusal its room is free again
        assert answer(page, b"no photo").status_code == 422
        assert answer(page, b"", params={"photo": "gone"}).status_code == 422
    assert answer(page, (class_folders / "boar/000.jpg").read_bytes()).status_code == 200


def test_what_is_neither_answer_nor_heat_map_has_its_room_too(page, monkeypatch):
    direction = base64.b64decode(answer(page, b"", params={"photo": "boar/000.jpg"}).json()["direction"])
    asked = {
        "/api/photos": {},
        "/api/picture": {"params": {"photo": "boar/000.jpg"}},
        "/api/training/0": {},
        "/api/nearest": {"content": direction},
    }

    def told():
        return [page.request("POST" if "content" in what else "GET", path, **what) for path, what in asked.items()]

    monkeypatch.setattr(page.page.served.others, "_requests", 0)
    assert [(one.status_code, one.headers["retry-after"]) for one in told()] == [(503, "1")] * 4
    monkeypatch.setattr(page.page.served.others, "_requests", 1)
    assert [one.status_code for one in told()] == [200] * 4


def test_a_request_takes_its_room_once(page, monkeypatch):
    others, taken = page.page.served.others, []
    room = others.taken
    monkeypatch.setattr(others, "taken", lambda size: taken.append(size) or room(size))
    direction = base64.b64decode(answer(page, b"", params={"photo": "boar/000.jpg"}).json()["direction"])
    assert page.post("/api/nearest", content=direction, params={"photo": "boar/000.jpg"}).status_code == 200
    assert taken == [0]


def test_who_opens_the_page_at_once_share_a_look_into_the_folder(draw, tmp_path, monkeypatch):
    draw("mine/1.jpg")
    folder = Folder(tmp_path / "mine")
    looks, going = [], threading.Event()

    def slow(*given):
        looks.append(1)
        going.wait(10)
        return walk(*given)

    monkeypatch.setattr("fscl.serve.folder.walk", slow)
    with ThreadPoolExecutor(8) as people:
        lists = [people.submit(folder.names, anew=True) for _ in range(8)]
        while not looks:
            time.sleep(0.01)
        time.sleep(0.1)  # until all have asked
        going.set()
        assert all(one.result() == ["1.jpg"] for one in lists)
    assert len(looks) <= 2
    folder.names(anew=True)
    assert len(looks) <= 3


def test_a_fault_of_the_model_does_not_end_its_thread(page, class_folders, monkeypatch):
    photo = (class_folders / "boar/000.jpg").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(page.page.served.model, "_see", lambda _: 1 / 0)
        assert answer(page, photo, headers={"connection": "close"}).status_code == 500
    assert answer(page, photo).status_code == 200


def test_without_the_training_photos_neighbours_say_why(run, tmp_path):
    with serving(run, root=tmp_path) as page:
        page.page.served.training.wait()
        direction = base64.b64decode(answer(page, colour()).json()["direction"])
        near = page.post("/api/nearest", content=direction).json()
        assert (near["ready"], near["photos"]) == (True, [])
        assert "the training photos are not there" in near["note"]
        assert "--root FOLDER" in near["note"]


def colour():
    written = BytesIO()
    Image.new("RGB", (40, 40), (90, 60, 40)).save(written, "PNG")
    return written.getvalue()


def test_photos_are_never_written(run, tmp_path, monkeypatch):
    """Not even where a form would be kept: above a megabyte."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    written = BytesIO()
    Image.fromarray(noise).save(written, "PNG")
    assert len(written.getvalue()) > 2**21
    opened = []
    monkeypatch.setattr("tempfile.SpooledTemporaryFile", lambda *_, **__: opened.append(1))
    with serving(run) as page:
        assert answer(page, written.getvalue()).status_code == 200
        assert page.post("/api/heat", content=written.getvalue()).status_code == 200
    assert not opened
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("fscl.serve.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"FastAPI and uvicorn.*pip install 'fscl\[serve\]'"):
        require_extra()
