"""Whatever bytes a file holds and whatever a flag says, a command ends with a result or one clear error.

`python benchmarks/fuzz.py --count 20000` looks at many more.
"""

import pytest

from tests.fuzz.runner import KINDS, run
from tests.fuzz.valid import prepare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    prepare(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_input_ends_in_a_traceback_or_changes_a_file_of_the_user(kind, ground, tmp_path):
    wrong = {seed: found for seed in range(kind.in_suite) if (found := run(kind, seed, ground, tmp_path))}
    assert not wrong
