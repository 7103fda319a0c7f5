"""The examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil

import pytest
import torch

import fscl

MODULES = [name for _, name, _ in pkgutil.walk_packages(fscl.__path__, "fscl.") if name != "fscl.__main__"]


@pytest.mark.parametrize("name", ["fscl", *MODULES])
def test_examples(name):
    torch.manual_seed(0)  # layers draw their weights from the global generator
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert failed == 0
