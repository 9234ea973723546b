"""practice/diagnosis.py: what is said of a result. tests/learners.py has whole mistakes."""

import pytest
import torch

from practice import diagnosis

A = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
P = torch.tensor([[0.2, 0.8], [0.5, 0.5]])
DROPOUT = torch.nn.Dropout()
WORDS = [  # got, expected, and what is said of them
    (A.T, A, "it is transposed: rows and columns are exchanged"),
    (A[:, :1].T, A[:, :1], "its shape is (1, 2); expected is (2, 1): it is transposed"),
    (A.flatten(), A, "its shape is (4,); expected is (2, 2): the numbers are right"),
    (A, A.mean(), "its shape is (2, 2); expected is (): the mean is missing"),
    (A, A.sum(), "its shape is (2, 2); expected is (): the sum is missing"),
    (A.sum(), A.mean(), "it is 4 times what is expected: a sum instead of a mean?"),
    (A.mean(dim=0), A.sum(dim=0), "it is 1/2 of what is expected: a mean instead of a sum?"),
    (-A, A, "the sign is wrong"),
    (1.7 * A, A, "it is 1.7 times what is expected"),
    (A + 1, A, "each number is +1 away from what is expected"),
    (A.long(), A, "its numbers are torch.int64; expected is torch.float32"),
    (2.75, A.mean(), "it is a float; expected is a Tensor"),
    (None, A, "it returns nothing: is `return` missing?"),
    (A / 0 * 0, A, "it isn't a number (nan): something was divided by 0, or infinite"),
    (P.exp(), P, "its rows add up to [3.447, 3.297]; rows of probabilities add up to 1"),
    (A.softmax(dim=-1), A, "this is the softmax of what is expected: is it applied once too often"),
    ((A - 3).relu(), A - 3, "negative numbers have become 0: is there a ReLU too many?"),
    ([1.0, 2.0, 3.0], [3.0, 1.0, 2.0], "the numbers are right, their order is not"),
    ([2.0, 4.0, 9.0], [1.0, 2.0, 4.0], "each number stands one place too early"),
    ([1.0, 2.0], [1.0, 2.0, 3.0], "its length is 2; expected is 3"),
    ({(1, 2): [1.0]}, {"w": [2.0]}, "its keys are (1, 2); expected are w"),
    ((A, [5.0]), (A, [4.0]), "what differs is value 2 of 2"),
    ("ab", "abc", None),
    (DROPOUT, torch.nn.Dropout().eval(), "it is in training mode; expected is evaluation mode"),
]


@pytest.mark.parametrize("got, expected, words", WORDS)
def test_a_difference_with_a_pattern_has_a_word(got, expected, words):
    said = diagnosis.pattern(got, expected, sizes={2, 4})
    assert (said is None) == (words is None) and (words or "") in (said or "")
    assert not diagnosis.same(got, expected)


def test_a_value_is_shown_whole_if_it_is_small():
    for value, text in [
        (A, "[[1, 2], [3, 5]]"),
        (torch.zeros(7, 5), "numbers of shape (7, 5)"),
        (torch.nn.Linear(2, 9), "Linear with weight"),
        (torch.nn.Linear(9, 9), "a Linear"),
        (torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.5), "SGD(lr=0.1, momentum=0.5)"),
        ([A, (1, 0.25)], "[[[1, 2], [3, 5]], (1, 0.25)]"),
        (4 * [[torch.zeros(64, 28), torch.zeros(64)]], "a list of 4, the first [numbers of shape"),
        (iter([]), "a list_iterator"),
    ]:
        assert diagnosis.shown(value).startswith(text)


def test_a_gradient_reaches_what_the_graph_reaches():
    layer, z = torch.nn.Linear(2, 2), A.clone().requires_grad_()
    tensors = diagnosis.tracked({"self": layer, "z": z, "n": 3, "constant": A})
    assert list(tensors) == ["weight", "bias", "z"]
    for result, names in [
        (layer(z), {"weight", "bias", "z"}),
        (layer(z.detach()), {"weight", "bias"}),
        ((layer.bias + 1, 5), {"bias"}),
        (layer(z).detach(), set()),
    ]:
        assert diagnosis.reached(result, tensors) == names
    y = z * 2  # not a leaf
    assert diagnosis.reached(y.sum(), tensors) == {"z"}
    assert diagnosis.reached(y.sum(), {"y": y, "other": z * 3}) == {"y"}
