import pytest

from fscl.bundle import Bundle
from fscl.errors import OutputError
from fscl.run_folder import RunFolder
from fscl.training import run as run_module
from fscl.training.run import finish_run, start_run
from fscl.training.subset import subset

LEFTOVER = ".config.toml.a1b2c3d4.tmp"


@pytest.fixture
def config(quick):
    return quick()


@pytest.fixture
def own(photos, config):
    return subset(photos, config).manifest


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_leftovers_alone_is_ours(tmp_path, config, own, resume):
    for name in (LEFTOVER, "error.txt"):
        (tmp_path / name).touch()
    start_run(RunFolder(tmp_path), config, own, resume=resume, overwrite=False)
    assert names(tmp_path) == {"config.toml", "photos.parquet"}


def test_killed_between_its_two_files_it_is_resumed(tmp_path, config, own):
    def open_again():
        start_run(RunFolder(tmp_path), config, own, resume=True, overwrite=False)

    open_again()
    (tmp_path / "photos.parquet").unlink()
    open_again()
    assert names(tmp_path) == {"config.toml", "photos.parquet"}
    (tmp_path / "config.toml").unlink()
    open_again()
    assert names(tmp_path) == {"config.toml", "photos.parquet"}


def test_the_settings_come_first(tmp_path, config, own, monkeypatch):
    monkeypatch.setattr(type(own), "write", lambda self, path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        start_run(RunFolder(tmp_path), config, own, resume=False, overwrite=False)
    assert names(tmp_path) == {"config.toml"}


def test_a_table_of_photos_that_is_not_this_runs_is_left_alone(tmp_path, config, photos, own):
    photos.write(tmp_path / "photos.parquet")
    before = (tmp_path / "photos.parquet").read_bytes()
    with pytest.raises(OutputError, match="the folder is not empty"):
        start_run(RunFolder(tmp_path), config, own, resume=True, overwrite=False)
    assert (tmp_path / "photos.parquet").read_bytes() == before


def test_leftovers_are_swept_from_a_run_and_left_in_a_folder_of_others(tmp_path, config, own):
    run, other = tmp_path / "run", tmp_path / "other"
    start_run(RunFolder(run), config, own, resume=False, overwrite=False)
    for folder in (run, run / "best", other):
        folder.mkdir(exist_ok=True)
        (folder / LEFTOVER).touch()
    start_run(RunFolder(run), config, own, resume=True, overwrite=False)
    assert not (run / LEFTOVER).exists()
    assert not (run / "best" / LEFTOVER).exists()
    (other / "thesis.txt").touch()
    with pytest.raises(OutputError, match="not empty"):
        start_run(RunFolder(other), config, own, resume=True, overwrite=False)
    assert names(other) == {LEFTOVER, "thesis.txt"}


def test_a_copy_of_the_best_bundle_cut_short_leaves_no_half_file(tmp_path, trained_best, monkeypatch):
    folder, last = trained_best

    def cut_short(source, target):
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "copyfile", cut_short)
        with pytest.raises(OSError, match="No space left"):
            finish_run(folder, last, "best", lambda bundle, _: bundle)
    assert not (folder.path / "weights.safetensors").exists()
    finish_run(folder, last, "best", lambda bundle, _: bundle)
    assert Bundle.open(folder.path).step == 1
    assert Bundle.open(folder.last).step == 2


@pytest.fixture
def trained_best(tmp_path, quick, photos):
    """Return a folder that holds a best bundle of step 1, and the last one, of step 2."""
    from fscl.training.loop import fit

    earlier = Bundle.open(fit(quick(steps=1, keep="best"), photos, tmp_path / "earlier"))
    folder = RunFolder(tmp_path / "run")
    earlier.save(folder.best)
    return folder, earlier.at(0, 2)


@pytest.mark.parametrize("name", ["photos.parquet", "store", "best", "evaluation.json"])
def test_what_is_not_of_a_run_is_not_dropped(tmp_path, config, own, name):
    if "." in name:
        (tmp_path / name).write_text("mine")
    else:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").touch()
    with pytest.raises(OutputError, match=rf"holds no run, but {name}, which would be lost; choose another --out"):
        start_run(RunFolder(tmp_path), config, own, resume=False, overwrite=True)
    assert (tmp_path / name).exists()
    assert "." in name or (tmp_path / name / "mine.txt").exists()


def test_a_run_and_a_folder_of_other_files_can_be_overwritten(tmp_path, config, own):
    (tmp_path / "thesis.txt").write_text("mine")
    for _ in range(2):
        start_run(RunFolder(tmp_path), config, own, resume=False, overwrite=True)
    assert {"thesis.txt", "config.toml", "photos.parquet"} <= names(tmp_path)
