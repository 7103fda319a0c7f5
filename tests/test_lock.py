import pytest
from filelock import BaseFileLock

from fscl.errors import OutputError
from fscl.lock import held


def test_a_folder_is_free_when_the_block_ends_however_long_python_keeps_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(BaseFileLock, "__del__", lambda self: None)
    with pytest.raises(ValueError, match="a fault"), held(tmp_path, by="another run"):
        raise ValueError("a fault")
    with held(tmp_path, by="another run"), pytest.raises(OutputError), held(tmp_path, by="another run"):
        pass
