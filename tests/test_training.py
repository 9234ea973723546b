"""common/training.py: the loops of chapters 3 and 7, and checkpoints."""

import ast
from pathlib import Path

import pytest
import torch

from common import training
from common.cli import ROOT, UserError


def tree(source: str, name: str) -> list[str]:
    """The statements of the function, without docstring and comments."""
    body = ast.parse(source).body
    (function,) = [node for node in body if getattr(node, "name", "") == name]
    return [ast.unparse(node) for node in function.body[1:]]


SOURCE = Path(training.__file__).read_text(encoding="utf-8")


def test_full_batch_has_the_very_lines_of_chapter_3():
    page = ast.parse((ROOT / "03_nn_linear.py").read_text(encoding="utf-8")).body
    (loop,) = [n for n, node in enumerate(page) if "optimizer.step()" in ast.unparse(node)]
    lines = [ast.unparse(node) for node in page[loop - 1 : loop + 1]]  # losses = [], and the loop
    lines = [line.replace("args.epochs", "epochs").replace("% 10", "% every") for line in lines]
    assert tree(SOURCE, "full_batch") == [*lines, "return losses"]


@pytest.mark.parametrize("name", ["train", "test"])
def test_train_and_test_have_the_very_lines_of_chapter_7(name):
    page = (ROOT / "07_mnist_mlp.py").read_text(encoding="utf-8")
    assert tree(SOURCE, name) == tree(page, name)


def test_full_batch_is_gradient_descent():
    torch.manual_seed(0)
    x_data, y_data = torch.randn(20, 2), torch.randn(20, 1)
    model, optimizer = model_and_optimizer()
    expected, expected_optimizer = model_and_optimizer()
    criterion = torch.nn.MSELoss(reduction="sum")
    losses = training.full_batch(model, criterion, optimizer, x_data, y_data, 5, every=2)
    assert len(losses) == 5
    for loss in losses:
        expected_optimizer.zero_grad()
        expected_loss = ((expected(x_data) - y_data) ** 2).sum()
        assert loss == pytest.approx(expected_loss.item())
        expected_loss.backward()
        expected_optimizer.step()
    assert torch.equal(model.weight, expected.weight)


class Line(torch.nn.Linear):
    """A model to save."""

    def __init__(self, inputs=2):
        super().__init__(inputs, 1)


def model_and_optimizer(seed=0):
    torch.manual_seed(seed)
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_a_checkpoint_brings_everything_back(tmp_path):
    path = tmp_path / "line.pt"
    model, optimizer = model_and_optimizer()
    training.save_checkpoint(path, {"epoch": [1.0], "loss": [0.5]}, model, optimizer)
    expected = torch.rand(3)

    other, other_optimizer = model_and_optimizer(seed=1)
    assert training.load_checkpoint(path, other, other_optimizer) == {"epoch": [1], "loss": [0.5]}
    assert torch.equal(torch.rand(3), expected)
    for m, o in [(model, optimizer), (other, other_optimizer)]:
        m(torch.ones(1, 2)).sum().backward()
        o.step()
    assert torch.equal(other.weight, model.weight)
    assert [file.name for file in tmp_path.iterdir()] == ["line.pt"]


def test_a_checkpoint_can_hold_more(tmp_path):
    path = tmp_path / "line.pt"
    training.save_checkpoint(path, {}, *model_and_optimizer(), settings={"width": 3}, words="诗")
    saved = training.read_checkpoint(path)
    assert (saved["settings"], saved["words"]) == ({"width": 3}, "诗")
    training.load_checkpoint(path, Line())


def test_the_learning_rate_stays_that_of_the_new_optimizer(tmp_path):
    path = tmp_path / "line.pt"
    training.save_checkpoint(path, {}, *model_and_optimizer())
    model, optimizer = model_and_optimizer(seed=1)
    optimizer.param_groups[0]["lr"] = 0.7
    training.load_checkpoint(path, model, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.7
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


def test_using_a_model_leaves_the_random_numbers_alone(tmp_path):
    path = tmp_path / "line.pt"
    model, optimizer = model_and_optimizer()
    training.save_checkpoint(path, {}, model, optimizer)
    torch.manual_seed(5)
    training.load_checkpoint(path, Line())
    drawn = torch.rand(1)
    torch.manual_seed(5)
    Line()
    assert torch.equal(drawn, torch.rand(1))


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint .*line\.pt. Train first"):
        training.load_checkpoint(tmp_path / "line.pt", Line())


class Evil:
    """Pickled, it would run code when it is loaded."""

    def __reduce__(self):
        return print, ("this must not be run",)


@pytest.mark.parametrize("content", ["empty", "text", "tensor", "half", "code", "folder"])
def test_a_file_that_is_no_checkpoint(content, tmp_path, capsys, recwarn):
    path = tmp_path / "line.pt"
    if content == "folder":
        path.mkdir()
    elif content in ("empty", "text"):
        path.write_text("" if content == "empty" else "not a checkpoint")
    elif content == "half":
        training.save_checkpoint(path, {}, *model_and_optimizer())
        path.write_bytes(path.read_bytes()[:500])
    else:
        torch.save(torch.ones(2) if content == "tensor" else Evil(), path)
    with pytest.raises(UserError, match="is not a checkpoint of this project"):
        training.load_checkpoint(path, Line())
    assert capsys.readouterr().out == ""
    assert not recwarn.list


@pytest.mark.parametrize("other", [Line(inputs=3), torch.nn.Conv2d(1, 1, 1)])
def test_a_checkpoint_of_another_model(other, tmp_path):
    path = tmp_path / "line.pt"
    training.save_checkpoint(path, {}, *model_and_optimizer())
    name = type(other).__name__
    with pytest.raises(UserError, match=f"another model than this {name}: size mis.*weight"):
        training.load_checkpoint(path, other)


@pytest.mark.parametrize("parameters", [None, [1, 2], {}, {"weight": 3}])
def test_a_checkpoint_with_something_else_for_parameters(parameters, tmp_path):
    path = tmp_path / "line.pt"
    torch.save({"model": parameters}, path)
    with pytest.raises(UserError, match="belongs to another model"):
        training.load_checkpoint(path, Line())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_ruined_model_is_not_saved(value, tmp_path):
    model, optimizer = model_and_optimizer()
    torch.nn.init.constant_(model.bias, value)
    with pytest.raises(UserError, match="diverged") as error:
        training.save_checkpoint(tmp_path / "line.pt", {}, model, optimizer)
    assert error.value.status == 1
    assert not any(tmp_path.iterdir())


def test_a_full_disk_is_said_in_words(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows has no limit to set")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*line\.pt"):
            training.save_checkpoint(tmp_path / "line.pt", {}, *model_and_optimizer())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any(tmp_path.iterdir())
