"""The page of a run without a browser: its words, what it leaves out, and that it stays small and whole."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fscl.errors import OutputError
from fscl.records import Difference, Failed, read_evaluation, write_record
from fscl.report import write_report
from fscl.report.run.headline import headline, next_steps
from fscl.report.run.result import read_run
from fscl.report.run.species import accepted, species_of
from tests.report.run.conftest import STARTED

CURVES = [
    *({"kind": "step", "step": step, "loss": 1 / step, "terms": {}} for step in range(1, 9)),
    *(
        {
            **{"kind": "epoch", "epoch": epoch, "step": 4 * (epoch + 1), "photos_per_second": 9.0},
            "validation": {
                **dict.fromkeys(("minority_recall", "majority_recall", "balanced_accuracy"), 0.5 + epoch / 10),
                **{"balanced_log_loss": 1.0, "recall_by_class": {"boar": 1.0, "deer": 1.0, "고라니": 0.5}},
            },
        }
        for epoch in range(2)
    ),
]


@pytest.fixture
def run(write_run):
    return write_run(beside=[STARTED], failed=[Failed("a/b.jpg", "truncated file")], metrics=CURVES)


def html(run):
    return write_report(run).read_text(encoding="utf-8")


def test_the_first_lines_say_how_good_it_is_and_what_is_weak(run):
    result = read_run(run)
    said = " ".join(headline(result))
    right = sum(row[place] for place, row in enumerate(result.evaluation.confusion))
    assert f"named {right} of 72 test photos rightly" in said
    by_name = {one.name: one for one in species_of(result.evaluation)}
    weak = [one for one in by_name.values() if one.found / one.tested < 0.8]
    assert weak
    for one in weak:
        assert f"{one.name} ({one.found} of {one.tested} found, most often taken for {one.taken_for})" in said
    assert "Too few test photos to say much: 고라니 (8)." in said
    assert "Training helped: 40 % before, 70 % now, against its start (weights of a package)" in said
    assert "p = 0.001" in said
    page = html(run)
    assert [text for text in headline(result) if text not in page] == []


def test_what_to_do_next_follows_from_the_figures(run, write_run):
    texts = [step.text for step in next_steps(read_run(run))]
    assert any(text.startswith("Label more training photos of 고라니 (7 now)") for text in texts)
    assert any("taken for" in text for text in texts)
    assert "Mend 1 photo that cannot be read." in texts
    assert next_steps(read_run(run))[-1].command == f"fscl predict {run} PHOTOS --out predictions.json"
    assert f"fscl explain {run} --labels" in [step.command for step in next_steps(read_run(run))]
    perfect = read_run(write_run(skill=60.0, counts=(20, 20, 20)))
    assert "No species is weak" in " ".join(headline(perfect))
    assert not any("taken for" in step.text for step in next_steps(perfect))
    assert "No photo was taken for another species." in html(perfect.run)


@pytest.mark.parametrize(("method", "advised"), [("fscl_plus", False), ("baseline", True)])
def test_the_default_is_advised_to_those_who_have_not_taken_it(write_run, method, advised):
    run = write_run(beside=[replace(STARTED, difference=Difference(-0.01, 2, 0.5))])
    bundle = json.loads((run / "bundle.json").read_text())
    bundle["config"]["method"]["name"] = method
    (run / "bundle.json").write_text(json.dumps(bundle))
    steps = [step.text for step in next_steps(read_run(run))]
    assert any("Train without --method" in text for text in steps) == advised


def test_the_page_shows_curves_failed_photos_and_where_it_is_from(run):
    text = html(run)
    for shown in (">Training loss<", ">Validation<", "a/b.jpg", "truncated file", "fscl train PHOTOS --config"):
        assert shown in text, shown
    markdown = (run / "report.md").read_text(encoding="utf-8")
    for shown in ("## How each species does", "truncated file", "figures/loss.svg", "figures/reliability.svg"):
        assert shown in markdown, shown
    for name in ("loss", "validation", "recall", "reliability"):
        assert (run / "figures" / f"{name}.svg").is_file()


def test_the_same_files_give_the_same_bytes(run):
    assert html(run) == html(run)


def test_accepting_answers_counts_those_that_are_named_so(run):
    answers = read_run(run).answers
    for place in range(3):
        for score in (0.0, 0.5, 0.9):
            at = accepted(answers, place, score)
            named = (answers.named == place) & (answers.probability >= score)
            right = int((named & (answers.labels == place)).sum())
            assert (at.accepted, at.wrong) == (named.sum(), named.sum() - right)
            assert at.missed == (answers.labels == place).sum() - right


def test_a_page_of_five_thousand_photos_is_below_ten_megabytes_and_says_what_it_leaves_out(write_run):
    picture = b"\xff\xd8\xff" + np.random.default_rng(0).bytes(4000)
    run = write_run(
        classes=[f"species {n}" for n in range(10)],
        counts=[500] * 10,
        trained=range(10, 1010, 100),
        skill=0.5,
        picture=picture,
    )
    page = write_report(run)
    assert 7_500_000 < page.stat().st_size < 10_000_000
    text = page.read_text(encoding="utf-8")
    shown = len(json.loads(text.partition('id="data">')[2].partition("</script>")[0])["photos"])
    errors = 5000 - sum(row[n] for n, row in enumerate(read_run(run).evaluation.confusion))
    assert shown == 6_000_000 // 4003 < errors
    assert f"the surest {shown:,} of {errors:,} wrong answers" in text
    assert f"Not shown: {5000 - shown:,} photos." in text


def test_many_species_have_a_table_in_place_of_a_matrix(write_run):
    count = 45
    run = write_run(classes=[f"s{n:02}" for n in range(count)], counts=[4] * count, trained=range(5, 5 + count))
    text = html(run)
    assert 'class="matrix"' not in text
    assert "data-true=" in text


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("thumbnails.parquet", None, "is missing, as in evaluations of earlier releases: no photos are shown"),
        ("thumbnails.parquet", b"PAR1 no", "is damaged"),
        ("predictions.csv", None, "the scores are not shown"),
        ("predictions.csv", b"\xff\x00", "the scores are not shown"),
        ("predictions.csv", b"filepath,region\na,b\n", "the scores are not shown"),
    ],
)
def test_what_is_missing_or_damaged_is_left_out_and_said(run, name, content, note):
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)
    notes = read_run(run).notes
    assert note in notes[0]
    assert notes[1] == f"fscl evaluate {run} writes these files again"


@pytest.mark.parametrize("name", ["thumbnails.parquet", "predictions.csv"])
def test_a_page_without_some_of_it_is_whole(run, name):
    (run / name).unlink()
    text = html(run)
    assert all(note in text for note in read_run(run).notes)
    assert "How each species does" in text


def test_a_label_that_the_model_does_not_know_is_damage(run):
    text = (run / "predictions.csv").read_text(encoding="utf-8")
    (run / "predictions.csv").write_text(text.replace(",boar,", ",bear,", 1), encoding="utf-8")
    assert "the scores are not shown" in read_run(run).notes[0]


def test_scores_of_another_evaluation_are_not_shown(run):
    lines = (run / "predictions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (run / "predictions.csv").write_text("".join(lines[:-3]), encoding="utf-8")
    assert "the scores are not shown" in read_run(run).notes[0]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b'{"provenance": 3, "given": [], "notes": {}}'])
def test_damage_beside_the_evaluation_ends_nothing(run, content):
    for name in ("metrics.jsonl", "photos.json", "photos.parquet"):
        (run / name).write_bytes(content)
    assert "How each species does" in html(run)


def test_no_report_before_an_evaluation(run, tmp_path):
    (run / "evaluation.json").unlink()
    with pytest.raises(OutputError, match=f"is not evaluated yet.*fscl evaluate {run}"):
        write_report(run)
    with pytest.raises(OutputError, match=r"expected a run with bundle\.json, or a study"):
        write_report(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"classes": 3}', b"\xff"])
def test_a_damaged_bundle_is_an_error_that_names_the_file(run, content):
    (run / "bundle.json").write_bytes(content)
    with pytest.raises(OutputError, match=r"bundle\.json"):
        write_report(run)


def test_an_evaluation_of_another_model_is_not_shown(run):
    record = read_evaluation(run / "evaluation.json")
    names = ["boar", "deer", "hare"]
    write_record(run / "evaluation.json", replace(record, classes=names, counts=dict.fromkeys(names, 1)))
    with pytest.raises(OutputError, match="is of a model of other classes"):
        write_report(run)


def test_an_evaluation_on_other_photos_has_its_own_page(run):
    other = run / "evaluations" / "north"
    other.mkdir(parents=True)
    for name in ("evaluation.json", "predictions.csv", "thumbnails.parquet"):
        (run / name).rename(other / name)
    assert write_report(other) == other / "report.html"
    assert "north: Frozen" in (other / "report.html").read_text(encoding="utf-8")


def test_a_class_may_be_called_as_what_pandas_takes_for_nothing(write_run):
    run = write_run(classes=("NA", "None", "label"))
    assert read_run(run).notes == ()
    assert "None" in html(run)


def test_a_run_is_trained_evaluated_and_reported(fscl, class_folders, tmp_path):
    small = ["--backbone", "test_resnet", "--image-size", "32", "--steps", "2", "--batch-size", "16"]
    fscl("train", class_folders, "--method", "baseline", "--out", "run", *small, "--workers", "0")
    code, out, _ = fscl("evaluate", "run")
    assert code == 0
    assert "next: fscl report run" in out
    code, out, err = fscl("report", "run")
    assert (code, err) == (0, "")
    assert "report: run/report.html" in out
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in text
    assert "trained on</dt>" in text
    assert fscl("train", class_folders, "--method", "baseline", "--out", "run", *small, "--overwrite")[0] == 0
    assert not (tmp_path / "run" / "report.html").exists(), "a page of the run that was dropped"
