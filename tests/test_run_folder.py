"""Where the files of a run are."""

import pytest

from fscl.run_folder import RunFolder


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        (None, {"last": "."}),
        ("best", {"last": ".", "best": "best"}),
        ("last", {"best": ".", "last": "last"}),
    ],
)
def test_the_kept_bundle_comes_first_and_lies_in_the_folder_itself(tmp_path, beside, expected):
    if beside:
        (tmp_path / beside).mkdir()
    bundles = RunFolder(tmp_path).bundles()
    assert list(bundles.items()) == [(name, tmp_path / path) for name, path in expected.items()]


def test_a_run_with_a_checkpoint_is_not_finished(tmp_path):
    folder = RunFolder(tmp_path)
    assert not folder.finished
    folder.record.touch()
    assert folder.finished
    folder.checkpoint.touch()
    assert not folder.finished
