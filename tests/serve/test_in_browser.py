"""The page in a real browser: photos are dropped, answered, explained, labelled; the table is trained from."""

import csv
import shutil
from pathlib import Path

import pytest

from tests.serve.conftest import serving

TOLD = "status of (409|422|503)"  # of which a browser tells, and so does the page
HOSTILE = "<img src=x onerror=alert(1)> & “고라니”.jpg"


@pytest.fixture
def opened(open_page):
    """Return a function that opens the page of a server."""

    def open_served(asking, **options):
        address = asking.page.address
        return open_page(address, **{"own": (address, "data:", "blob:"), "expected": TOLD, **options})

    return open_served


@pytest.fixture(scope="module")
def taken(tmp_path_factory, class_folders):
    """Return a folder of twelve photos of each class, one with a hostile name, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("taken") / "photos"
    for name in ("boar", "deer", "hare"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            shutil.copy(class_folders / f"{name}/{number:03}.jpg", folder / f"{name}/{number}.jpg")
    shutil.move(folder / "hare/11.jpg", folder / f"hare/{HOSTILE}")
    (folder / "notes.jpg").write_text("no photo")
    return folder


def card(page, name):
    return page.locator(".photo").filter(has=page.locator(".file").get_by_text(name, exact=True))


def said(page, text):
    page.locator("#progress").get_by_text(text).wait_for()


def shows(page, selector, count):
    drawn = "where => [...document.querySelectorAll(where)].filter((image) => image.naturalWidth).length"
    for _ in range(100):
        if page.evaluate(drawn, selector) >= count:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"fewer than {count} pictures at {selector}")


def choose(page, folder):
    page.set_input_files("#tree", folder)
    said(page, "36 of 37 answered, no answer for 1")


def test_photos_are_answered_explained_labelled_and_the_table_is_trained_from(opened, run, taken, fscl):
    with serving(run) as asking:
        asking.page.served.training.wait()
        page = opened(asking)
        choose(page, taken)
        boar = card(page, "photos/boar/0.jpg")
        assert boar.locator(".species").inner_text() in ("boar", "deer", "hare")
        assert boar.locator(".likeliest li").count() == 3
        boar.scroll_into_view_if_needed()
        boar.locator(".nearest li").nth(4).wait_for()
        boar.get_by_role("button", name="heat map").click()
        assert boar.locator("img").first.get_attribute("src").startswith("data:image/jpeg")
        assert card(page, "photos/notes.jpg").locator(".reason").inner_text() == "not an image"
        assert card(page, f"photos/hare/{HOSTILE}").count() == 1
        boar.focus()
        for key, label in (("2", "deer"), ("0", ""), ("1", "boar")):
            page.keyboard.press(key)
            assert boar.locator("select").input_value() == (f"={label}" if label else "")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.card.photo.name") == "photos/boar/1.jpg"
        deer = card(page, "photos/deer/3.jpg")
        deer.locator("select").select_option("?")
        deer.locator(".other input").fill(" =cmd()")
        deer.locator(".other input").press("Enter")
        assert "Excel would run" in deer.locator(".reason").inner_text()
        assert deer.locator(".badge.good").count() == 0
        deer.locator("select").select_option("?")
        deer.locator(".other input").fill(" red   fox ")
        deer.locator(".other input").press("Enter")
        assert deer.locator(".badge.good").inner_text() == "label: red fox"
        assert deer.locator(".reason:visible").count() == 0
        hare = card(page, "photos/hare/2.jpg")
        hare.focus()
        page.keyboard.press("s")
        assert page.locator(".photo .file").first.inner_text() == "photos/hare/2.jpg"
        assert hare.locator(".badge.good").inner_text() == "similarity 1.00"
        deer.get_by_role("button", name="most similar first").click()
        assert page.locator(".photo .file").first.inner_text() == "photos/deer/3.jpg"
        page.locator("#filter").select_option("labelled")
        assert page.locator(".photo:visible").count() == 2
        page.set_input_files("#files", [{"name": "=1.jpg", "mimeType": "image/jpeg", "buffer": b"photo"}])
        assert "Left out: =1.jpg" in page.locator("#message").inner_text()
        with page.expect_download() as download:
            page.get_by_role("button", name="download corrected.csv").click()
        download.value.save_as(taken.parent / "corrected.csv")
        page.context.close()
    with (taken.parent / "corrected.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["filepath"]: row for row in csv.DictReader(file)}
    assert len(rows) == 36
    assert [name for name, row in rows.items() if row["checked"]] == ["photos/boar/0.jpg", "photos/deer/3.jpg"]
    assert (rows["photos/boar/0.jpg"]["label"], rows["photos/deer/3.jpg"]["label"]) == ("boar", "red fox")
    assert all(row["label"] in ("", row["prediction"]) for row in rows.values() if not row["checked"])
    assert rows[f"photos/hare/{HOSTILE}"]["prediction"] in ("boar", "deer", "hare")
    code, _, err = fscl("scan", taken.parent / "corrected.csv")
    assert code == 0, err
    quick = ["--classes", "boar", "deer", "hare", "--workers", "0", "--image-size", "32"]
    code, _, err = fscl("train", taken.parent / "corrected.csv", "--from", run, "--out", "next", *quick)
    assert code == 0, err
    assert Path("next/bundle.json").is_file()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_and_keeps_labels_in_the_table(opened, run, taken, tmp_path, scheme):
    file = tmp_path / "labels.csv"
    with serving(run, folder=taken, corrections=file) as asking:
        page = opened(asking, viewport={"width": 390, "height": 800}, color_scheme=scheme)
        said(page, "36 of 37 answered")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        card(page, "deer/0.jpg").focus()
        with page.expect_response("**/api/corrections"):
            page.keyboard.press("3")
        asking.post("/api/corrections", json={"photo": "deer/1.jpg", "where": "folder", "label": "boar", "was": None})
        card(page, "deer/1.jpg").focus()
        page.keyboard.press("3")
        card(page, "deer/1.jpg").locator(".reason:visible").wait_for()
        assert "somebody has labelled this photo as boar" in card(page, "deer/1.jpg").locator(".reason").inner_text()
        page.reload()
        said(page, "2 labelled by you")
        assert card(page, "deer/0.jpg").locator("select").input_value() == "=hare"
        assert asking.get("/api/corrections").json()["folder"] == {"deer/0.jpg": "hare", "deer/1.jpg": "boar"}
        page.context.close()


def test_a_busy_server_is_asked_again(opened, run, taken):
    with serving(run, folder=taken / "boar") as asking:
        asking.page.served.training.wait()

        def busy_at_first(turns):
            return lambda route: (
                route.fulfill(status=503, headers={"retry-after": "0.01"}, body="{}")
                if next(turns, None)
                else route.continue_()
            )

        busy = ["answer*", "picture*", "training/*", "photos*"]
        routes = [(f"**/api/{path}", busy_at_first(iter([503] * 20))) for path in busy]
        page = opened(asking, routes=routes)
        said(page, "12 of 12 answered")
        shows(page, ".picture img", 12)
        shows(page, ".nearest img", 5)
        page.context.close()


def test_a_server_that_is_gone_and_comes_again_is_asked_again(opened, run, draw, tmp_path):
    draw("photos/1.png", "photos/2.png")
    gone = ["**/api/answer*", "**/api/picture*", "**/api/training/*"]
    with serving(run, folder=tmp_path / "photos") as asking:
        asking.page.served.training.wait()
        refused = [(pattern, lambda route: route.abort()) for pattern in gone]
        page = opened(asking, routes=refused, expected="net::ERR_FAILED")
        said(page, "0 of 2 answered, no answer for 2")
        assert "is fscl serve still at work?" in card(page, "1.png").locator(".reason").inner_text()
        for pattern in gone[:2]:
            page.unroute(pattern)
        page.get_by_role("button", name="ask again for 2 photos").click()
        said(page, "2 of 2 answered; 0 labelled by you")
        shows(page, ".picture img", 2)
        assert page.locator("#again:visible, .reason:visible").count() == 0
        page.locator(".nearest li").nth(9).wait_for()
        sides = page.locator(".nearest img").first.bounding_box()
        assert sides["height"] == pytest.approx(sides["width"], abs=1)  # also without its picture
        page.context.close()


def test_keys_reach_everything_and_what_they_do_is_said(opened, run, draw, tmp_path):
    draw("photos/1.png", "photos/2.png")
    with serving(run, folder=tmp_path / "photos", root=tmp_path, corrections=tmp_path / "labels.csv") as asking:
        page = opened(asking)
        said(page, "2 of 2 answered")
        page.locator("#training").get_by_text("the training photos are not there").wait_for()
        assert page.locator(".near:visible").count() == 0  # it is said once, not on each card
        reached = []
        for _ in range(8):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("(document.activeElement.id || document.activeElement.className)"))
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        assert reached == ["files", "tree", "sort", "filter", "heats", "skip", "", "photo"]
        status = page.get_by_role("status")
        page.keyboard.press("1")
        assert status.inner_text() == "1.png: label boar"
        asking.post("/api/corrections", json={"photo": "2.png", "where": "folder", "label": "hare", "was": None})
        page.keyboard.press("ArrowRight")
        page.keyboard.press("2")
        status.get_by_text("2.png: your label was not kept: somebody has labelled this photo as hare").wait_for()
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "download"
        page.context.close()


def test_labels_that_are_set_fast_do_not_overtake_each_other(opened, run, taken, tmp_path):
    held = []
    with serving(run, folder=taken / "boar", corrections=tmp_path / "labels.csv") as asking:
        page = opened(asking)
        said(page, "12 of 12 answered")
        page.route("**/api/corrections", lambda route: held.append(route))
        card(page, "0.jpg").focus()
        for key in "123":
            page.keyboard.press(key)
        for _ in range(2):  # what is set while one label is on its way is sent once that is kept
            page.wait_for_timeout(300)
            assert len(held) == 1
            held.pop().continue_()
        page.wait_for_timeout(300)
        assert held == []
        assert card(page, "0.jpg").locator(".reason:visible").count() == 0
        assert asking.get("/api/corrections").json()["folder"] == {"0.jpg": "hare"}
        page.context.close()


def test_a_label_is_found_again_however_the_table_writes_the_name(opened, run, draw, tmp_path):
    draw("photos/e\u0301.png")
    (tmp_path / "labels.csv").write_text("filepath,label\n./a/../photos/\u00e9.png,hare\n", encoding="utf-8")
    with serving(run, folder=tmp_path / "photos", corrections=tmp_path / "labels.csv") as asking:
        page = opened(asking)
        said(page, "1 labelled by you")
        page.context.close()
