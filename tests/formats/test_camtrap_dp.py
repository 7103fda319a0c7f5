import gzip
import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fscl import formats
from fscl.errors import PhotosError
from fscl.formats.reading import Reading
from fscl.manifest import Manifest
from fscl.scanning.scan import scan
from tests.formats.damage import damaged, rows_or_one_error, written

SAME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/camtrap-dp-profile.json"
DEPLOYMENTS = "deploymentID,locationID\nd1,C1\nd2,C1\nd3,\n"
MEDIA = "mediaID,deploymentID,timestamp,filePath,fileMediatype\n"
OBSERVATIONS = (
    "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,scientificName,"
    "bboxX,bboxY,bboxWidth,bboxHeight\n"
)
PHOTO = "m1,d1,2021-05-31T08:25:38+02:00,media/1.jpg,image/jpeg\n"
FOX = "o1,d1,m1,e1,,,media,animal,Vulpes vulpes,0.25,0.25,0.5,0.5\n"


def described(**changes):
    document = {
        "resources": [{"name": name, "path": f"{name}.csv"} for name in ("deployments", "media", "observations")],
        "profile": PROFILE,
    } | changes
    return {key: value for key, value in document.items() if value is not ...}


@pytest.fixture
def package(draw, tmp_path):
    """Return a function that makes a package of photos of 12 × 8 px, with tables as text or bytes."""

    def make(media=MEDIA + PHOTO, observations=OBSERVATIONS + FOX, deployments=DEPLOYMENTS, document=None, **more):
        draw("p/media/1.jpg", "p/media/2.jpg")
        written(described() if document is None else document, tmp_path / "p/datapackage.json")
        tables = {"media.csv": media, "observations.csv": observations, "deployments.csv": deployments} | more
        for name, content in tables.items():
            if content is not None:
                (tmp_path / "p" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "p"

    return make


def rows(source, **said):
    photos = formats.read(source, Reading(**said))
    return photos.rows.astype(object).where(photos.rows.notna(), None).to_dict("records")


def test_a_medium_with_its_observation(package):
    [row] = rows(package())
    assert (row["path"], row["label"], row["site"], row["sequence"]) == ("media/1.jpg", "Vulpes vulpes", "C1", "e1")
    assert (row["x"], row["y"], row["w"], row["h"], row["problem"]) == (3, 2, 6, 4, None)
    assert str(row["datetime"]) == "2021-05-31 08:25:38"
    assert (row["media_mediaID"], row["observation_observationID"]) == ("m1", "o1")


def test_a_folder_its_description_and_a_zip_of_it_are_one_package(package, pack, tmp_path):
    folder = package()
    names = ["label", "site", "sequence", "w", "problem"]
    expected = formats.read(folder).rows[names].to_dict()
    assert formats.read(folder / "datapackage.json").rows[names].to_dict() == expected
    zipped = scan(pack(folder, below="p/", keep=True))
    assert zipped.rows[names].to_dict() == expected
    assert zipped.rows["path"].tolist() == ["p/media/1.jpg"]
    zipped.write(tmp_path / "photos.parquet")
    assert Manifest.read(tmp_path / "photos.parquet").photo("p/media/1.jpg") == tmp_path / "p.zip/p/media/1.jpg"
    shutil.rmtree(folder)
    assert len(scan(tmp_path / "p.zip").usable) == 1


def test_tables_may_be_packed_and_in_several_parts(package):
    second = PHOTO.replace("m1", "m2").replace("1.jpg", "2.jpg")
    resources = [
        {"name": "deployments", "path": ["deployments.csv"]},
        {"name": "media", "path": ["a.csv.gz", "b.csv"]},
        {"name": "observations", "path": "observations.csv"},
    ]
    parts = {"a.csv.gz": gzip.compress((MEDIA + PHOTO).encode()), "b.csv": MEDIA + second}
    both = rows(package(media=None, document=described(resources=resources), **parts))
    assert [(row["path"], row["label"]) for row in both] == [("media/1.jpg", "Vulpes vulpes"), ("media/2.jpg", None)]


def test_site_is_the_location_or_the_deployment(package):
    media = MEDIA + PHOTO + PHOTO.replace("m1,d1", "m2,d2").replace("1.jpg", "2.jpg") + "m3,d3,,media/3.jpg,\n"
    assert [row["site"] for row in rows(package(media=media))] == ["C1", "C1", "d3"]


class TestVersions:
    def test_the_profile_tells_it(self, package):
        assert "Camtrap DP 1.0.2" in formats.read(package()).remarks
        told = formats.read(package(document=described(profile=PROFILE.replace("1.0.2", "0.1.6")))).remarks
        assert "Camtrap DP 0.1.6" in told
        told = formats.read(package(document=described(profile=PROFILE.replace("1.0.2", "2.0")))).remarks
        assert "Camtrap DP 2.0, which is read like 1.0" in told
        assert any(
            "does not say of which version" in line
            for line in formats.read(package(document=described(profile=...))).remarks
        )

    def test_sequences_of_0_x_carry_the_labels(self, package):
        media = (
            "mediaID,deploymentID,sequenceID,timestamp,filePath\n"
            "m1,d1,s1,2021-05-31T06:25:38Z,media/1.jpg\nm2,d1,s1,2021-05-31T06:25:39Z,media/2.jpg\n"
        )
        observations = (
            "observationID,deploymentID,sequenceID,mediaID,observationType,scientificName\no1,d1,s1,,animal,Ardea\n"
        )
        found = rows(package(media, observations, document=described(profile=PROFILE.replace("1.0.2", "0.1.6"))))
        assert [(row["label"], row["sequence"], row["note"]) for row in found] == [
            ("Ardea", "s1", "the label is that of its sequence")
        ] * 2


class TestEvents:
    EVENT = "o2,d1,,e1,2021-05-31T06:25:00Z,2021-05-31T06:26:00Z,event,animal,Ardea,,,,\n"

    def test_a_photo_falls_into_one_by_its_time_whatever_the_zones(self, package):
        [row] = rows(package(observations=OBSERVATIONS + self.EVENT))
        assert (row["label"], row["sequence"], row["note"]) == ("Ardea", "e1", "the label is that of its sequence")

    @pytest.mark.parametrize("change", [("d1,,e1", "d2,,e1"), ("06:26", "06:25"), ("2021-05-31T06:26:00Z", "soon")])
    def test_not_into_one_of_another_deployment_or_time(self, package, change):
        photos = formats.read(package(observations=OBSERVATIONS + self.EVENT.replace(*change)))
        assert photos.rows["label"].isna().all()
        assert "1 observation of events without media" in photos.remarks

    def test_observations_of_the_photo_itself_count(self, package):
        [row] = rows(package(observations=OBSERVATIONS + self.EVENT + FOX))
        assert (row["label"], row["note"]) == ("Vulpes vulpes", None)


class TestObservations:
    @pytest.mark.parametrize(
        ("kind", "label", "problem"),
        [
            ("blank,", "blank", "blank, left out (--blanks makes blank photos a class)"),
            ("human,Homo sapiens", "human", None),
            ("vehicle,", "vehicle", None),
            ("unknown,", None, "observed as unknown"),
            ("unclassified,", None, None),
            ("animal,", None, "an animal without scientificName"),
        ],
    )
    def test_of_every_type(self, package, kind, label, problem):
        [row] = rows(package(observations=f"{OBSERVATIONS}o1,d1,m1,e1,,,media,{kind},,,,\n"))
        assert (row["label"], row["problem"]) == (label, problem)

    def test_blanks_are_a_class_where_wanted(self, package):
        [row] = rows(package(observations=f"{OBSERVATIONS}o1,d1,m1,e1,,,media,blank,,,,,\n"), blanks=True)
        assert (row["label"], row["problem"]) == ("blank", None)

    @pytest.mark.parametrize(
        ("box", "problem"),
        [
            ("0.25,0.25,0.5,", "box needs four numbers: x, y, w, h"),
            ("0.25,0.25,a,0.5", "box needs four numbers: bboxX, bboxY, bboxWidth, bboxHeight"),
            ("0.25,0.25,-0.5,0.5", "box without area"),
            ("0.25,0.25,nan,0.5", "box needs four numbers: x, y, w, h"),
            ("100,50,60,40", "box in pixels, expected a fraction of the photo"),
        ],
    )
    def test_a_box_that_is_none_is_a_reason(self, package, box, problem):
        [row] = rows(package(observations=OBSERVATIONS + FOX.replace("0.25,0.25,0.5,0.5", box)))
        assert (row["label"], row["problem"]) == ("Vulpes vulpes", problem)

    def test_two_animals_are_two_rows_and_one_without_a_box_is_none(self, package):
        hare = FOX.replace("o1", "o2").replace("Vulpes vulpes", "Lepus").replace("0.5,0.5", "0.1,0.1")
        bare = "o3,d1,m1,e1,,,media,animal,Lepus,,,,\n"
        found = rows(package(observations=OBSERVATIONS + FOX + hare + bare))
        assert [(row["label"], row["problem"]) for row in found] == [
            ("Vulpes vulpes", None),
            ("Lepus", None),
            ("Lepus", "no box, beside others of its photo with one"),
        ]

    def test_of_media_that_are_not_there_are_said(self, package):
        photos = formats.read(package(observations=OBSERVATIONS + FOX + FOX.replace("m1", "m7")))
        assert "1 observation of media that are not there" in photos.remarks


@pytest.mark.parametrize(
    ("medium", "problem"),
    [
        ("m1,d1,,https://a.org/1.jpg,image/jpeg", "unreadable: a web address, not a file"),
        ("m1,d1,,../1.jpg,image/jpeg", "unreadable: its path leads out of the package"),
        ("m1,d1,,/etc/1.jpg,image/jpeg", "unreadable: its path leads out of the package"),
        ("m1,d1,,media/1.mp4,video/mp4", "missing file"),
        ("m1,d1,,,image/jpeg", "unreadable record media: no filePath"),
        (",d1,,media/2.jpg,image/jpeg", "unreadable record media: no mediaID"),
        ("m1,d1,,media/9.jpg,image/jpeg", "missing file"),
    ],
)
def test_media_that_are_no_photo_of_this_machine_are_rows_with_a_reason(package, medium, problem):
    found = scan(package(media=f"{MEDIA}{PHOTO.replace('m1', 'm2')}{medium}\n")).rows
    assert found["problem"].isna().tolist() == [True, False]
    assert found["problem"].tolist()[1] == problem


def test_a_package_of_web_addresses_alone_is_read(package):
    found = scan(package(media=MEDIA + PHOTO.replace("media/1.jpg", "https://a.org/1.jpg")))
    assert found.rows["problem"].tolist() == ["unreadable: a web address, not a file"]


def test_media_of_one_id(package):
    found = rows(package(media=MEDIA + PHOTO + PHOTO.replace("1.jpg", "2.jpg")))
    assert [row["problem"] for row in found] == ["several media have its mediaID"] * 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings_and_names(package, draw, encoding):
    draw("p/media/고라니 1.jpg")
    [row] = rows(package(media=(MEDIA + PHOTO.replace("1.jpg", "고라니 1.jpg")).replace("/", "\\").encode(encoding)))
    assert (row["path"], row["problem"]) == ("media/고라니 1.jpg", None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"media": None}, r"media.csv does not exist"),
        ({"media": "mediaID,x\nm1,2\n"}, "media: expected the column filePath, got mediaID, x"),
        ({"observations": "x\n1\n"}, "observations: expected the column observationType, got x"),
        ({"document": described(resources=3)}, r"datapackage.json: resources: expected a list, got 3"),
        ({"document": described(resources=[])}, "expected the tables deployments, media, observations, got"),
        ({"document": described(resources=[3])}, r"resources\[0\]: expected a table with a name, got 3"),
        (
            {"document": described(resources=[{"name": "media"}])},
            "media: path: expected the name of a file, got None",
        ),
        (
            {"document": described(resources=[{"name": "media", "path": "../media.csv"}])},
            r"media: path: expected a file beside datapackage.json, got ../media.csv",
        ),
        (
            {"document": described(resources=[{"name": "media", "path": "media"}])},
            "media: expected a table, got a folder",
        ),
        ({"media": MEDIA}, "expected records of photos, got none"),
    ],
)
def test_a_package_that_cannot_be_read(package, changes, message):
    with pytest.raises(PhotosError, match=message):
        formats.read(package(**changes))


def test_a_package_that_was_packed_badly(package):
    resources = [{"name": "media", "path": "media.csv.gz"}]
    whole = gzip.compress((MEDIA + PHOTO).encode())
    for content in (whole[:-9], b"no gzip", whole[:20] + b"x" + whole[21:]):
        broken = package(media=None, document=described(resources=resources), **{"media.csv.gz": content})
        with pytest.raises(PhotosError, match=r"media.csv.gz cannot be unpacked|expected"):
            formats.read(broken)


@given(document=damaged(described()))
@SAME
def test_any_value_in_the_description_gives_rows_or_one_error(package, document):
    rows_or_one_error(package(document=document), Reading(source_format="camtrap_dp"))


CELLS = st.sampled_from(
    ("", "x", "-1", "nan", "1e999", "../..", "C:\\1.jpg", "\x00", '"', "고", "9" * 400, ";", "blank")
)


@given(table=st.sampled_from(("media", "observations", "deployments")), place=st.integers(0, 40), cell=CELLS)
@SAME
def test_any_cell_gives_rows_or_one_error(package, table, place, cell):
    whole = {"media": MEDIA + PHOTO, "observations": OBSERVATIONS + FOX, "deployments": DEPLOYMENTS}[table]
    lines = [line.split(",") for line in whole.splitlines()]
    line = lines[place % len(lines)]
    line[place % len(line)] = cell
    rows_or_one_error(package(**{table: "\n".join(map(",".join, lines)) + "\n"}))


@given(content=st.binary(max_size=80), table=st.sampled_from(("media", "observations", "deployments")))
@SAME
def test_any_bytes_give_rows_or_one_error(package, content, table):
    rows_or_one_error(package(**{table: content}))


def test_real_packages(shared_data):
    folder = shared_data / "formats/camtrap-dp"
    example = scan(folder / "tdwg-example")
    assert example.usable["label"].tolist() == ["Ardea"] * 10
    assert example.usable["w"].notna().all()
    assert example.usable["sequence"].nunique() == 1
    assert example.rows["path"].nunique() == 423
    small = formats.read(folder / "zamba-small")
    assert small.rows["label"].nunique() == 5
    old = scan(folder / "inbo-camtraptor/mica")
    assert "Camtrap DP 0.1.6" in old.remarks
    assert old.rows["label"].nunique() >= 7
    assert old.usable.empty
    with pytest.raises(PhotosError, match=r"mica_zenodo_5590881/media.csv does not exist"):
        formats.read(folder / "inbo-camtraptor/mica_zenodo_5590881")


def test_another_package_of_tables_is_none(draw):
    root = draw("p/fox/1.jpg", "p/hare/1.jpg") / "p"
    (root / "datapackage.json").write_text(json.dumps({"resources": [{"name": "prices", "path": "prices.csv"}]}))
    assert formats.read(root).rows["label"].tolist() == ["fox", "hare"]
    with pytest.raises(PhotosError, match=r"datapackage.json: expected the tables deployments, media, observations"):
        formats.read(root, Reading(source_format="camtrap_dp"))
