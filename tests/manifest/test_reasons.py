import pandas as pd

from fscl.images import UnreadableError
from fscl.manifest import reasons


def test_a_missing_file_is_not_called_unreadable():
    assert reasons.of_unreadable(UnreadableError("missing file")) == "missing file"
    assert reasons.of_unreadable(UnreadableError("empty file")) == "unreadable: empty file"


def test_reasons_are_joined_once_and_counted_apart():
    rows = pd.Series(["a", None, None, "a; b"], index=[5, 6, 7, 8], dtype="str")
    more = reasons.where(pd.Series([True, True, False, True], index=rows.index), "b")
    joined = reasons.added(rows, more)
    assert joined.fillna("").to_dict() == {5: "a; b", 6: "b", 7: "", 8: "a; b"}
    assert reasons.counted(joined).value_counts().to_dict() == {"b": 3, "a": 2}
    assert reasons.counted(joined).index.tolist() == [5, 5, 6, 8, 8]
