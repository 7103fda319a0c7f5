import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from fscl.scoring.bias import PULL, choose_bias


def drawn(seed, classes=2, counts=(400, 12), shift=3.0):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), counts)
    logits = random.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += 2
    logits[:, 0] += shift  # the common class is favoured
    return logits, labels


def balanced(logits, labels):
    decided = logits.argmax(axis=1)
    return np.mean([(decided[labels == label] == label).mean() for label in set(labels.tolist())])


def test_it_takes_the_favour_away():
    logits, labels = drawn(0)
    bias = choose_bias(logits, labels)
    assert bias[1] - bias[0] == pytest.approx(3.0, abs=0.7)
    assert balanced(logits, labels) < 0.8
    assert balanced(logits + bias, labels) > balanced(logits, labels) + 0.1


def test_it_is_the_least_of_the_equation_written_out():
    logits, labels = drawn(1, classes=3, counts=(60, 20, 5))
    level = np.abs(logits - logits.mean(axis=1, keepdims=True)).mean()

    def loss(parameters):
        total = PULL * (parameters @ parameters)
        for label in range(3):
            f = np.exp(parameters[0]) * logits[labels == label] / level + parameters[1:]
            total += np.mean([np.log(np.exp(one - one[label]).sum()) for one in f]) / 3
        return total

    found = minimize(
        loss, np.zeros(4), method="Nelder-Mead", options={"maxiter": 8000, "xatol": 1e-7, "fatol": 1e-12}
    )
    expected = (found.x[1:] - found.x[1:].mean()) / np.exp(found.x[0]) * level
    assert choose_bias(logits, labels) == pytest.approx(expected, abs=1e-3)


@given(seed=st.integers(0, 999), scale=st.floats(1e-3, 1e3))
def test_it_goes_with_the_scale_of_the_logits(seed, scale):
    logits, labels = drawn(seed, counts=(50, 5))
    assert choose_bias(scale * logits, labels) == pytest.approx(
        scale * choose_bias(logits, labels), rel=0.02, abs=1e-4
    )


@pytest.mark.parametrize("logits", [np.zeros((4, 2)), np.array([[9.0, 0], [9, 0], [0, 9], [0, 9]])])
def test_what_says_nothing_and_what_says_all_give_no_bias(logits):
    assert choose_bias(logits, np.array([0, 0, 1, 1])) == pytest.approx([0, 0], abs=1e-3)


def test_a_class_of_one_photo_has_its_say():
    logits = np.array([[3.0, 0.0]] * 20 + [[1.0, 0.0]])
    bias = choose_bias(logits, np.array([0] * 20 + [1]))
    assert (logits + bias).argmax(axis=1).tolist() == [0] * 20 + [1]
