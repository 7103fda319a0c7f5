import pytest

from fscl.errors import OutputError
from fscl.lock import held


def test_a_block_that_fails_lets_go_of_the_folder(tmp_path):
    with pytest.raises(ValueError, match="a fault") as kept, held(tmp_path, by="another run"):
        raise ValueError("a fault")
    assert kept.tb is not None  # which would keep the lock alive, too
    with held(tmp_path, by="another run"), pytest.raises(OutputError), held(tmp_path, by="another run"):
        pass
