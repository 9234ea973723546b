"""Chapter 10: convolution, pooling and batch norm by hand, the network, its training."""

import pytest
import torch
from conftest import assert_drawn, keep_few_images, parameters

from common.cli import UserError
from common.draw_page import write_draw_page
from common.training import check_finite

NAME = "10_mnist_cnn"
FLAGS = ["--epochs", 2, "--batch-size", 25, "--lr", 0.05, "--device", "cpu"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ran(run, outputs):
    """With a thousand images."""
    with pytest.MonkeyPatch.context() as patch:
        keep_few_images(patch)
        done = run(NAME, *FLAGS, "--output-dir", outputs)
    assert (done.status, done.err, done.warned) == (0, "", [])
    return done


# The whole chapter


def test_a_thousand_images_teach_it_a_lot(ran):
    """Chapter 7's network reaches less than 0.9 with them."""
    assert ran.names.accuracy > 0.9
    assert ran.names.scheduler.last_epoch == 2 * 40, "one step for each batch"
    assert f"\nEpoch 2/2, Loss: {ran.names.loss.item():.4f}\n" in ran.out
    assert ran.out.endswith(f"\nAccuracy: {ran.names.accuracy:.4f}\n")


def test_ctrl_c_keeps_what_was_learned(interrupted, few_images, tmp_path):
    done = interrupted(NAME, [*FLAGS, "--output-dir", tmp_path], "Epoch 1/2")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("Stopped. What was learned so far is kept.\n") == 1
    assert done.names.scheduler.last_epoch == 40
    state = torch.load(tmp_path / f"{NAME}.pt", weights_only=True)
    assert torch.equal(state["linear.bias"], done.names.model.linear.bias)


@pytest.mark.usefixtures("one_thread_here")
def test_the_same_seed_gives_the_same_network(run, few_images, quick_figures, tmp_path):
    flags = ["--epochs", 1, "--batch-size", 200, "--device", "cpu", "--output-dir", tmp_path]
    one, two, other = (run(NAME, *flags, "--seed", seed).names for seed in (1, 1, 2))
    assert torch.equal(parameters(one.model), parameters(two.model))
    assert not torch.equal(parameters(one.model), parameters(other.model))


def test_a_training_that_diverges_is_told_and_nothing_is_saved(fails, few_images, tmp_path):
    message = fails(NAME, [*FLAGS, "--lr", 1e30, "--output-dir", tmp_path], status=1)
    assert "diverged" in message and "lower --lr" in message
    assert not (tmp_path / f"{NAME}.pt").exists()


def test_parameters_that_are_not_finite():
    model = torch.nn.Linear(2, 1)
    check_finite(model)
    model.weight.data[0, 1] = float("nan")
    with pytest.raises(UserError, match="diverged"):
        check_finite(model)


# Convolution


def test_convolve_by_hand(chapter):
    image = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    kernel = torch.tensor([[1.0, 0.0], [0.0, 10.0]])
    assert chapter.convolve(image, kernel).tolist() == [[51, 62]]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolve_is_torchs_conv2d(size, chapter):
    torch.manual_seed(size)
    image, kernel = torch.randn(7, 6), torch.randn(size, size)
    expected = torch.nn.functional.conv2d(image[None, None], kernel[None, None])[0, 0]
    torch.testing.assert_close(chapter.convolve(image, kernel), expected)


def test_both_ways_give_what_the_page_shows(ran):
    shown = torch.tensor([[3.0, 3.0, 0.0], [2.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
    assert f"\n{shown}\n" in ran.out
    assert f"\n{shown[None, None]!r}"[:-1] in ran.out, "by torch's Conv2d"
    assert ran.names.convolve(ran.names.image, ran.names.kernel).tolist() == shown.tolist()


def test_the_shapes_and_numbers_in_the_prose(ran):
    assert "\n1. Neighbours\n401408\n600\n" in ran.out
    assert torch.nn.Conv2d(3, 8, 3).weight.numel() + 8 == 224
    for n, k, p, s, expected in [(28, 5, 0, 1, 24), (28, 5, 2, 1, 28), (28, 5, 2, 2, 14)]:
        assert (n + 2 * p - k) // s + 1 == expected
        assert f"torch.Size([64, 24, {expected}, {expected}])\n" in ran.out
    assert "torch.Size([64, 1, 14, 14])\n" in ran.out and "tensor([[[[4., 5.]]]])" in ran.out
    for shape in [(64, 24, 14, 14), (64, 48, 7, 7), (64, 64, 3, 3), (64, 10)]:
        assert f"\ntorch.Size({list(shape)})\n" in ran.out
    assert "\n44794 parameters\n" in ran.out
    assert round(575_050 / 44_794) == 13, "a thirteenth of chapter 7's parameters"


# Batch normalization


def test_batch_normalization_by_hand(ran):
    """Mean 3, variance 3.5; the running one takes a tenth of the estimate, 14 / 3."""
    x = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert f"\n{(x - 3) / 3.5**0.5}\n" in ran.out
    norm = ran.names.norm
    assert norm.running_mean.item() == pytest.approx(0.1 * 3)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 14 / 3)
    assert "tensor([0.3000]) tensor([1.3667])\n" in ran.out
    in_use = (x - 0.3) / (0.9 + 0.1 * 14 / 3 + 1e-5) ** 0.5
    assert str(in_use).removesuffix(")") in ran.out


# The network


def test_block_halves_the_image(chapter):
    block = chapter.block(3, 7, kernel_size=5)
    assert block(torch.randn(2, 3, 8, 8)).shape == (2, 7, 4, 4)
    kinds = [type(layer).__name__ for layer in block]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert block[0].weight.shape == (7, 3, 5, 5)


def test_block_is_its_four_steps(chapter):
    torch.manual_seed(0)
    block = chapter.block(2, 3, kernel_size=3)
    x = torch.randn(4, 2, 6, 6)
    z = torch.nn.functional.conv2d(x, block[0].weight, block[0].bias, padding=1)
    mean, variance = z.mean(dim=(0, 2, 3)), z.var(dim=(0, 2, 3), correction=0)
    z = (z - mean.view(1, 3, 1, 1)) / (variance.view(1, 3, 1, 1) + 1e-5).sqrt()
    expected = z.clamp(min=0).unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    torch.testing.assert_close(block(x), expected)


def test_the_network_has_the_shapes_of_its_comments(chapter):
    model = chapter.CNN()
    shapes = []
    for layer in (model.block1, model.block2, model.block3, model.linear):
        layer.register_forward_hook(lambda layer, x, y: shapes.append(tuple(y.shape)))
    model(torch.randn(2, 1, 28, 28))
    assert shapes == [(2, 24, 14, 14), (2, 48, 7, 7), (2, 64, 3, 3), (2, 10)]
    assert sum(parameter.numel() for parameter in model.parameters()) == 44_794


def test_the_logits_are_those_of_the_layers_in_a_row(chapter):
    torch.manual_seed(0)
    model = chapter.CNN().eval()
    x = torch.randn(2, 1, 28, 28)
    expected = model.block3(model.block2(model.block1(x))).reshape(2, 576) @ model.linear.weight.T
    torch.testing.assert_close(model(x), expected + model.linear.bias)


def test_gradients_reach_all_of_the_network(chapter):
    torch.manual_seed(0)
    model = chapter.CNN()
    model(torch.randn(8, 1, 28, 28)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_load_model_gives_back_the_network(chapter, tmp_path):
    trained = chapter.CNN()
    trained(torch.randn(8, 1, 28, 28))  # the running averages move
    torch.save(trained.state_dict(), tmp_path / "cnn.pt")
    model = chapter.load_model(tmp_path / "cnn.pt", CPU)
    for one, other in zip(model.state_dict().values(), trained.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_page_loads_what_it_has_trained(ran):
    loaded, model = ran.names.loaded.state_dict(), ran.names.model.state_dict()
    assert all(torch.equal(loaded[name], model[name]) for name in model)
    assert str(loaded["block1.1.running_mean"][:4]) in ran.out


def test_the_page_to_draw_on_takes_this_network(ran, tmp_path):
    """It would refuse one whose outputs it can't reproduce; test_draw_page.py reads it."""
    write_draw_page(ran.names.loaded, tmp_path / "draw.html")
    assert '"Conv2d"' in (tmp_path / "draw.html").read_text(encoding="utf-8")


# Training


def test_augment_leaves_an_image_alone_where_nothing_is_drawn(chapter, monkeypatch):
    """Numbers of 1/2 are turns by 0 degrees, scales of 1, shifts of 0."""
    monkeypatch.setattr(torch, "rand", lambda *size: torch.full(size, 0.5))
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(chapter.augment(images), images, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "drawn, expected",
    [
        ([0.5, 0.5, 1.0, 0.5], lambda x, y: (x + 1, y)),  # it comes from the right
        ([0.5, 0.5, 0.5, 1.0], lambda x, y: (x, y + 1)),
        ([0.5, 1.0, 0.5, 0.5], lambda x, y: (1.1 * x, 1.1 * y)),
        ([1.0, 0.5, 0.5, 0.5], lambda x, y: (0.98481 * x - 0.17365 * y, 0.17365 * x + 0.98481 * y)),
    ],
    ids=["moved across", "moved down", "scaled", "turned by 10 degrees"],
)
def test_augment_by_hand(drawn, expected, chapter, monkeypatch):
    """Images that hold their own coordinates: each pixel says where it comes from."""
    monkeypatch.setattr(torch, "rand", lambda *size: torch.tensor(drawn)[:, None].expand(*size))
    y, x = torch.meshgrid(torch.arange(28) - 13.5, torch.arange(28) - 13.5, indexing="ij")
    inside = (slice(4, 24), slice(4, 24))  # what doesn't come from beyond the border
    for image, wanted in zip((x, y), expected(x, y), strict=True):
        found = chapter.augment(image[None, None])[0, 0]
        torch.testing.assert_close(found[inside], wanted[inside], atol=1e-3, rtol=1e-3)


def test_augment_draws_anew_for_each_image(chapter):
    torch.manual_seed(0)
    image = torch.randn(1, 1, 28, 28)
    images = chapter.augment(image.expand(5, 1, 28, 28))
    assert images.shape == (5, 1, 28, 28)
    assert len({one.sum().item() for one in images}) == 5


def test_the_recipe(ran):
    """Label smoothing mixes 0.1 of a uniform guess into the target: that has an entropy of 0.50."""
    names = ran.names
    target = torch.full((10,), 0.01)
    target[3] = 0.91
    assert round(-(target * target.log()).sum().item(), 2) == 0.50
    assert names.criterion.label_smoothing == 0.1
    (group,) = names.optimizer.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 5e-4)
    assert group["lr"] < 0.001 and names.scheduler.total_steps == names.scheduler.last_epoch


def test_batch_norm_has_learned_from_training_mode_only(ran):
    """As many batches as updates: neither testing nor loading counts."""
    assert ran.names.model.block1[1].num_batches_tracked == 2 * 40
    assert not ran.names.loaded.training


# The figure


def test_the_figure(ran, outputs):
    names = ran.names
    axes = names.fig.axes
    digit, panels = axes[0], axes[1:]
    assert (digit.images[0].get_array() == names.test_set[0][0][0].numpy()).all()
    kernels, answers = panels[:24], panels[24:]
    weight = names.loaded.block1[0].weight.detach()[:, 0]
    x = names.test_set[0][0].unsqueeze(0)
    with torch.no_grad():
        expected = names.loaded.block1[2](names.loaded.block1[1](names.loaded.block1[0](x)))[0]
    for panel, kernel in zip(kernels, weight, strict=True):
        assert (panel.images[0].get_array() == kernel.numpy()).all()
    for panel, answer in zip(answers, expected, strict=True):
        torch.testing.assert_close(torch.tensor(panel.images[0].get_array()), answer)
    assert_drawn(outputs / f"{NAME}.png")
