"""common/training.py: the loop of chapter 3, and checkpoints."""

import pytest
import torch

from common import training
from common.cli import UserError


def test_full_batch_is_chapter_3s_loop():
    torch.manual_seed(0)
    x_data, y_data = torch.randn(20, 2), torch.randn(20, 1)
    model, optimizer = model_and_optimizer()
    expected, expected_optimizer = model_and_optimizer()
    criterion = torch.nn.MSELoss(reduction="sum")
    history = training.full_batch(
        model, criterion, optimizer, x_data, y_data, 5, lambda: {"w": model.weight[0, 0].item()}
    )
    for loss, w in zip(history["loss"], history["w"], strict=True):
        expected_optimizer.zero_grad()
        expected_loss = ((expected(x_data) - y_data) ** 2).sum()
        assert loss == pytest.approx(expected_loss.item())
        expected_loss.backward()
        expected_optimizer.step()
        assert w == pytest.approx(expected.weight[0, 0].item())
    assert len(history["loss"]) == 5


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
    assert (saved["class"], saved["settings"], saved["words"]) == ("Line", {"width": 3}, "诗")
    training.load_checkpoint(path, Line())


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


@pytest.mark.parametrize("other", [Line(inputs=3), torch.nn.Linear(2, 1)])
def test_a_checkpoint_of_another_model(other, tmp_path):
    path = tmp_path / "line.pt"
    training.save_checkpoint(path, {}, *model_and_optimizer())
    name = type(other).__name__
    with pytest.raises(
        UserError, match=f"another model than this {name}: (a Line|size mis.*weight)"
    ):
        training.load_checkpoint(path, other)


@pytest.mark.parametrize("parameters", [None, [1, 2], {}, {"weight": 3}])
def test_a_checkpoint_with_something_else_for_parameters(parameters, tmp_path):
    path = tmp_path / "line.pt"
    torch.save({"class": "Line", "model": parameters}, path)
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
