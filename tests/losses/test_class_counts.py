import pytest

from fscl.losses.class_counts import counts, log_prior


def test_a_class_without_photos_counts_as_one_photo():
    assert counts([5, 0, 3]).tolist() == [5, 1, 3]
    assert log_prior([9, 0]).exp().tolist() == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize("class_counts", [[5], [], [5, -1], [5, float("nan")], [float("inf"), 5]])
def test_impossible_counts(class_counts):
    with pytest.raises(ValueError, match="class_counts must be >= 0 for 2 classes or more"):
        counts(class_counts)
