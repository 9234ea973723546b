"""Chapter 7: it runs as promised, and each of its ideas is right."""

import math
import re
import shutil
import sys
import weakref
from types import SimpleNamespace

import pytest
import torch
import torchvision
from conftest import (
    assert_drawn,
    keep_few_images,
    layers,
    needs_cuda,
    parameters,
    save_empty_figures,
)
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

from common import data, training
from common.cli import ROOT

NAME = "07_mnist_mlp"
pytestmark = pytest.mark.usefixtures("one_thread")
FLAGS = ["--epochs", 1, "--device", "cpu"]  # a whole epoch, on all of MNIST
CPU = torch.device("cpu")
FEW = ["--epochs", 1, "--batch-size", 100, "--device", "cpu"]  # for runs with few images


@pytest.fixture(scope="module")
def sets():
    """Both datasets as the notes make them: fetched image by image, and transformed each time."""
    normalize = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalize])
    train_set, test_set = (
        torchvision.datasets.MNIST(data.mnist_root(), train=train, transform=transform)
        for train in (True, False)
    )
    return SimpleNamespace(train=train_set, test=test_set)


@pytest.fixture(scope="module")
def few(run, tmp_path_factory):
    """An epoch with a thousand images: the `folder` holds its checkpoints."""
    folder = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch:
        keep_few_images(patch)
        save_empty_figures(patch)
        done = run(NAME, *FEW, "--output-dir", folder)
    assert done.status == 0
    done.folder = folder
    return done


# The whole chapter


def test_one_epoch_reaches_88_percent(ran):
    (loss,) = ran.names.losses
    assert loss < 1.3 and ran.names.accuracy >= 0.88
    assert f"\nEpoch 1/1, Loss: {loss:.4f}\n" in ran.out
    assert ran.out.endswith(f"\nAccuracy: {ran.names.accuracy:.4f}\n")


def test_it_leaves_a_figure_and_checkpoints(ran, outputs):
    assert {path.name for path in outputs.iterdir()} >= {
        f"{NAME}.pt", "07_resume.pt", f"{NAME}.png"
    }  # fmt: skip
    assert_drawn(outputs / f"{NAME}.png")


def test_what_the_run_says_of_the_notes_numbers(ran):
    """The notes' example gives 0.9729; MNIST's mean and std are the notes' two numbers."""
    assert ran.out.count("0.9729") == 2
    assert "\ntensor(0.1307) tensor(0.3081)\n" in ran.out
    assert "torch.Size([64, 1, 28, 28]) torch.Size([64, 784]) torch.Size([64, 10])" in ran.out
    assert "\n938\n" in ran.out  # 60,000 images in batches of 64
    assert "\ntensor(7) tensor(7)\n" in ran.out
    assert "\nUsing device: " in ran.out and "is not on the expected device" in ran.out


def test_the_drawing_of_cross_entropy_is_right(chapter):
    """The sum; logits, exponentials and probabilities, one below the other; the loss."""
    drawing = (ROOT / "docs" / "drawings" / "07_cross_entropy.svg").read_text(encoding="utf-8")
    drawn = [float(number) for number in re.findall(r"[ >](-?\d+\.\d+)</text>", drawing)]
    z = torch.tensor([0.2, 0.1, -0.1])
    p = z.softmax(dim=0)
    expected = torch.cat([z.exp().sum()[None], z, z.exp(), p, -p[:1].log()])
    assert drawn == pytest.approx(expected.tolist(), abs=5e-5)


def test_the_run_leaves_the_notes_names(ran):
    names = ran.names
    assert type(names.model).__name__ == "MNISTModel"
    assert names.train_loader.dataset is names.train_set and len(names.train_set) == 60_000
    assert names.test_loader.dataset is names.test_set and len(names.test_set) == 10_000
    assert isinstance(names.train_set, torchvision.datasets.MNIST) and names.train_set.train
    assert isinstance(names.test_set, torchvision.datasets.MNIST) and not names.test_set.train


def test_resume_equals_never_having_stopped(run, few, few_images, quick_figures, tmp_path):
    """Bit for bit; the first of two epochs is the same as the only one, under the same seed."""
    whole = run(NAME, *FEW, "--epochs", 2, "--output-dir", tmp_path)
    shutil.copy(few.folder / "07_resume.pt", tmp_path)
    resumed = run(NAME, *FEW, "--resume", "--output-dir", tmp_path)
    assert torch.equal(parameters(whole.names.model), parameters(resumed.names.model))
    assert resumed.names.losses == whole.names.losses
    assert whole.names.losses[:1] == few.names.losses


def test_another_seed_gives_another_network(run, few, few_images, quick_figures, tmp_path):
    other = run(NAME, *FEW, "--seed", 4, "--output-dir", tmp_path).names
    assert not torch.equal(parameters(few.names.model), parameters(other.model))
    assert few.names.losses != other.losses


# Softmax and cross-entropy


Z = [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]  # logits of two samples and three classes


def test_softmax_by_hand(chapter):
    z = torch.tensor(Z, requires_grad=True)
    e = [math.exp(logit) for logit in Z[0]]
    p = chapter.softmax(z)
    torch.testing.assert_close(p, torch.tensor([[one / sum(e) for one in e], 3 * [1 / 3]]))
    (gradient,) = torch.autograd.grad(p[0, 0], z)
    assert gradient[0, 0].item() == pytest.approx(p[0, 0].item() * (1 - p[0, 0].item()))


def test_cross_entropy_by_hand(chapter):
    z, y = torch.tensor(Z, requires_grad=True), torch.tensor([2, 0])
    loss = chapter.cross_entropy(z, y)
    by_hand = [math.log(1 + math.exp(-1) + math.exp(-2)), math.log(3)]
    assert loss.item() == pytest.approx(sum(by_hand) / 2)
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(gradient[1], torch.tensor([-1 / 3, 1 / 6, 1 / 6]))  # (p - y) / N


def test_the_notes_example(chapter):
    z, y = torch.tensor([[0.2, 0.1, -0.1]]), torch.tensor([0])
    exponentials = [math.exp(logit) for logit in (0.2, 0.1, -0.1)]
    by_hand = -math.log(exponentials[0] / sum(exponentials))
    assert round(by_hand, 4) == 0.9729
    assert chapter.cross_entropy(z, y).item() == pytest.approx(by_hand)
    assert torch.nn.CrossEntropyLoss()(z, y).item() == pytest.approx(by_hand)


def test_softmax_and_cross_entropy_equal_torchs(chapter):
    torch.manual_seed(0)
    z, y = 5 * torch.randn(50, 10), torch.randint(10, (50,))
    torch.testing.assert_close(chapter.softmax(z), torch.softmax(z, dim=1))
    torch.testing.assert_close(chapter.cross_entropy(z, y), torch.nn.functional.cross_entropy(z, y))


def test_large_logits_do_no_harm(chapter):
    assert chapter.softmax(torch.tensor([[1000.0, 0.0]])).tolist() == [[1, 0]]
    assert chapter.cross_entropy(torch.tensor([[1000.0, 0.0]]), torch.tensor([1])).item() == 1000


# The data


def test_the_transform_is_the_notes(ran, sets):
    """On the page, kept in memory: the same bits as image by image."""
    for kept, plain in [(ran.names.train_set, sets.train), (ran.names.test_set, sets.test)]:
        for i in [*range(50), len(plain) - 1]:
            assert torch.equal(kept[i][0], plain[i][0]) and kept[i][1] == plain[i][1]
            ((inputs, labels),) = kept.__getitems__([i])
            assert torch.equal(inputs[0], plain[i][0]) and labels.tolist() == [plain[i][1]]


def test_the_batches_are_those_of_the_notes_loader(ran, sets):
    """The same images in the same order under the same seed, bit for bit."""
    torch.manual_seed(0)
    notes = zip(range(5), DataLoader(sets.train, batch_size=64, shuffle=True), strict=False)
    expected = [batch for _, batch in notes]
    torch.manual_seed(0)
    for batch, notes_batch in zip(ran.names.train_loader, expected, strict=False):
        assert type(batch) is type(notes_batch) and len(batch) == 2
        assert torch.equal(batch[0], notes_batch[0]) and torch.equal(batch[1], notes_batch[1])


# The network


def test_the_layers_are_the_notes(chapter):
    model = chapter.MNISTModel()
    sizes = [tuple(weight.shape) for weight, _ in layers(model)]
    expected = [(512, 784), (256, 512), (128, 256), (64, 128), (10, 64)]
    assert sizes == expected, f"the weights have the shapes {sizes}; expected are {expected}"


def test_forward_by_hand(chapter):
    """Each weight is 0 but for one per layer: pixel 3 is passed on, and added to logit 2."""
    model, images = chapter.MNISTModel(), torch.zeros(2, 1, 28, 28)
    images[:, 0, 0, 3] = torch.tensor([5.0, -5.0])
    with torch.no_grad():
        for weight, bias in layers(model):
            weight.zero_()
            bias.zero_()
            weight[2, 3 if weight is layers(model)[0][0] else 2] = 1
        layers(model)[-1][1][7] = -4  # a bias, so that a ReLU at the end would be seen
    expected = torch.zeros(2, 10)
    expected[0, 2], expected[:, 7] = 5, -4
    assert model(images).tolist() == expected.tolist()


def test_forward_is_linear_layers_with_relu_between(chapter):
    torch.manual_seed(0)
    model = chapter.MNISTModel()
    images = torch.randn(7, 1, 28, 28)
    x = images.reshape(7, 784)
    for i, (weight, bias) in enumerate(layers(model)):
        x = x @ weight.T + bias
        x = x.clamp(min=0) if i < 4 else x
    logits = model(images)
    torch.testing.assert_close(logits, x, atol=1e-5, rtol=1e-4)
    gradients = torch.autograd.grad(logits.sum(), list(model.parameters()))
    assert all(gradient.any() for gradient in gradients)


def test_each_image_is_predicted_by_itself(chapter):
    torch.manual_seed(0)
    model, images = chapter.MNISTModel(), torch.randn(5, 1, 28, 28)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, atol=1e-6, rtol=1e-4)


def test_loss_and_optimizer_are_the_notes(ran):
    """The optimizer's parameters are those of the trained model, also once it was moved."""
    criterion, optimizer = ran.names.criterion, ran.names.optimizer
    assert type(criterion) is torch.nn.CrossEntropyLoss and criterion.reduction == "mean"
    assert type(optimizer) is torch.optim.SGD
    (group,) = optimizer.param_groups
    own = list(ran.names.model.parameters())
    assert all(one is other for one, other in zip(group["params"], own, strict=True))
    assert (group["lr"], group["momentum"]) == (0.01, 0.5)
    assert group["weight_decay"] == group["dampening"] == 0 and not group["nesterov"]


def test_momentum_follows_the_notes_rule(ran):
    """velocity = momentum * velocity + gradient; weight = weight - lr * velocity: torch's SGD."""
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([weight], lr=0.01, momentum=0.5)
    said = re.findall(r"^velocity (\S+) weight (\S+)$", ran.out, re.MULTILINE)
    assert len(said) == 5
    for velocity, now in said:
        weight.grad = torch.ones_like(weight)
        before = weight.item()
        sgd.step()
        assert float(now) == pytest.approx(weight.item())
        assert float(velocity) == pytest.approx((before - weight.item()) / 0.01)


def test_an_untrained_network_guesses(ran):
    section = ran.out.split("7. Loss, optimizer")[1]
    assert float(re.search(r"tensor\((\S+),", section)[1]) == pytest.approx(math.log(10), abs=0.05)
    accuracy = float(re.search(r"9\. Testing.*\nAccuracy: (\S+)", ran.out)[1])
    assert 0.05 < accuracy < 0.2


# Train and test


def batches_of_two_and_one():
    """Two features, three classes, and a last batch that is smaller."""
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    labels = torch.tensor([0, 1, 2])
    return [[inputs[:2], labels[:2]], [inputs[2:], labels[2:]]]


def test_train_by_hand(chapter):
    """The first batch: p = 1/3 everywhere, so each logit's gradient is (1/3 - y) / 2."""
    model = torch.nn.Linear(2, 3, bias=False)
    torch.nn.init.zeros_(model.weight)
    model.eval()
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=6.0)
    losses = chapter.train(model, criterion, optimizer, batches_of_two_and_one(), CPU, 1)
    # Then the weights are [[2, -1], [-1, 2], [-1, -1]]: the third sample's logits 4, -2, -2.
    e = [math.exp(logit) for logit in (4, -2, -2)]
    last_loss = -math.log(e[2] / sum(e))
    assert losses == [pytest.approx((math.log(3) + last_loss) / 2)]
    p = [one / sum(e) for one in e]
    expected = [2 - 12 * p[0], -1 - 12 * p[1], -1 - 12 * (p[2] - 1)]
    torch.testing.assert_close(model.weight[:, 0], torch.tensor(expected))
    assert model.training


def small_problem(chapter, batches=6, batch_size=8):
    """A few random images with a last short batch; a fresh network, criterion and optimizer."""
    torch.manual_seed(0)
    n = batches * batch_size - 3
    dataset = TensorDataset(torch.randn(n, 1, 28, 28), torch.randint(10, (n,)))
    model = chapter.MNISTModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    return model, torch.nn.CrossEntropyLoss(), optimizer, DataLoader(dataset, batch_size)


def test_train_does_what_the_notes_loop_does(chapter):
    model, criterion, optimizer, loader = small_problem(chapter)
    losses = chapter.train(model, criterion, optimizer, loader, CPU, 3)
    trained, criterion, optimizer, loader = small_problem(chapter)
    expected = []
    for _ in range(3):
        total = 0.0
        for inputs, labels in loader:
            loss = criterion(trained(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        expected.append(total / len(loader))
    assert torch.equal(parameters(model), parameters(trained))
    assert losses == pytest.approx(expected)


@pytest.mark.page  # a reader may print what they like
def test_each_epochs_loss_is_printed(chapter, capsys):
    losses = chapter.train(*small_problem(chapter), CPU, 3)
    said = [f"Epoch {n}/3, Loss: {loss:.4f}" for n, loss in enumerate(losses, start=1)]
    assert capsys.readouterr().out.splitlines() == said


def test_no_graph_outlives_its_batch(chapter):
    """A loss summed up with its graph would hold every batch's memory until the epoch's end."""

    class Mark:
        pass

    model, criterion, optimizer, loader = small_problem(chapter)
    graphs = []

    def watched(y_pred, labels):
        loss = criterion(y_pred, labels)
        mark = Mark()
        loss.grad_fn.metadata["mark"] = mark  # lives as long as this batch's graph
        graphs.append(weakref.ref(mark))
        del mark
        alive = sum(graph() is not None for graph in graphs)
        assert alive <= 2, "the graphs of earlier batches are kept in memory: sum up loss.item()"
        return loss

    chapter.train(model, watched, optimizer, loader, CPU, epochs=1)
    assert len(graphs) == len(loader)


def test_ctrl_c_ends_the_training_and_keeps_the_epochs_so_far(chapter):
    """KeyboardInterrupt in the second epoch: the losses of the first are returned."""
    model, criterion, optimizer, loader = small_problem(chapter)

    class Interrupting:
        def __len__(self):
            return len(loader)

        def __iter__(self):
            for number, batch in enumerate(loader):
                if self.epochs == 1 and number == 3:
                    raise KeyboardInterrupt
                yield batch
            self.epochs += 1

    batches = Interrupting()
    batches.epochs = 0
    losses = chapter.train(model, criterion, optimizer, batches, CPU, 5)
    assert len(losses) == 1


@pytest.mark.page
def test_a_terminal_shows_a_bar(chapter, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model, criterion, optimizer, loader = small_problem(chapter)
    chapter.train(model, criterion, optimizer, loader, CPU, 3)
    assert f"/{3 * len(loader)} [" in capsys.readouterr().err


class Answers(torch.nn.Module):
    """Predicts what an image's first pixel says."""

    def forward(self, x):
        assert not self.training, "a model is tested in eval mode"
        assert not torch.is_grad_enabled(), "a test needs no gradients"
        return torch.nn.functional.one_hot(x[:, 0, 0, 0].long(), 10).float()


def test_test_by_hand(chapter, capsys):
    """A model that returns its inputs: the first logits point to 0 and 1, the last to 0."""
    model = torch.nn.Identity()
    accuracy = chapter.test(model, batches_of_two_and_one(), CPU)
    assert accuracy == pytest.approx(2 / 3) and not model.training
    assert capsys.readouterr().out == "Accuracy: 0.6667\n"


def test_accuracy_is_the_share_of_all_samples(chapter):
    images = torch.zeros(7, 1, 28, 28)
    images[:, 0, 0, 0] = torch.tensor([1, 2, 3, 4, 5, 6, 7])
    labels = torch.tensor([1, 2, 3, 4, 5, 0, 0])
    loader = DataLoader(TensorDataset(images, labels), 5)  # 5 of 5, then 0 of 2
    assert chapter.test(Answers(), loader, CPU) == pytest.approx(5 / 7)


def test_test_agrees_with_the_predictions(chapter, ran, sets):
    model, images = ran.names.model, torch.stack([sets.test[i][0] for i in range(1000)])
    with torch.no_grad():
        predicted = model(images).argmax(dim=1)
    right = (predicted == sets.test.targets[:1000]).double().mean().item()
    subset = torch.utils.data.Subset(sets.test, range(1000))
    assert chapter.test(model, DataLoader(subset, 300), CPU) == right


# The device


@needs_cuda
def test_on_cuda_the_network_learns(chapter, ran):
    """The model is moved in place, and the optimizer made before still updates it."""
    device = torch.device("cuda")
    torch.manual_seed(0)
    model = chapter.MNISTModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    model.to(device)
    parts = model, torch.nn.CrossEntropyLoss(), optimizer
    chapter.train(*parts, ran.names.train_loader, device, 1)
    assert chapter.test(model, ran.names.test_loader, device) >= 0.88


def test_moving_a_model_keeps_its_parameters_and_inputs_are_copied():
    """What the chapter says of to(): here to another type of numbers, which works as a move."""
    model, inputs = torch.nn.Linear(2, 2), torch.ones(1, 2)
    before = list(model.parameters())
    assert model.to(torch.float64) is model
    assert all(one is other for one, other in zip(before, model.parameters(), strict=True))
    inputs.to(torch.float64)
    assert inputs.dtype == torch.float32, "the copy was thrown away"


# Checkpoints


def test_the_loaded_network_is_the_saved_one(chapter, ran, outputs):
    loaded = chapter.load_model(outputs / f"{NAME}.pt", CPU)
    assert isinstance(loaded, chapter.MNISTModel)
    assert torch.equal(parameters(loaded), parameters(ran.names.model))
    expected = torch.softmax(ran.names.model(ran.names.inputs), dim=1)
    torch.testing.assert_close(ran.names.p, expected.detach())
    assert ran.names.p[0].argmax() == 7, "the first test image is a 7"


def test_what_torch_save_has_written_is_loaded(chapter, tmp_path):
    model = chapter.MNISTModel()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = chapter.load_model(tmp_path / "model.pt", CPU)
    assert torch.equal(parameters(loaded), parameters(model))


def test_a_checkpoint_is_loaded_without_running_its_code(chapter, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return print, ("this must not be run",)

    torch.save(Evil(), tmp_path / "evil.pt")
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        chapter.load_model(tmp_path / "evil.pt", CPU)
    assert capsys.readouterr().out == ""


# The figure


def test_the_figure(ran):
    names = ran.names
    losses, *images = names.fig.axes
    assert list(losses.lines[0].get_ydata()) == names.losses
    assert losses.get_xlabel() == "epoch" and losses.get_ylabel()
    assert len(images) == 10
    for i, axes in enumerate(images):
        assert axes.get_title() == f"{names.p[i].argmax()} ({names.p[i].max():.1%})"
        assert (axes.images[0].get_array() == names.inputs[i, 0].numpy()).all()


# Errors, and Ctrl-C


def test_ctrl_c_in_the_middle_keeps_what_was_learned(
    run, few_images, quick_figures, interrupted, tmp_path
):
    """The rest of the page goes on, and --resume continues; --lr counts, not the checkpoint's."""
    flags = [*FEW, "--epochs", 3, "--lr", 0.1, "--output-dir", tmp_path]
    done = interrupted(NAME, flags, at="Epoch 1/3")
    assert (done.status, done.err) == (0, "")
    assert "Stopped. What was learned so far is kept." in done.out
    assert len(done.names.losses) == 1 and "Epoch 2/3" not in done.out
    assert (tmp_path / f"{NAME}.png").exists()
    saved = done.names.load_model(tmp_path / f"{NAME}.pt", CPU)
    assert torch.equal(parameters(saved), parameters(done.names.model))

    resumed = run(NAME, *FEW, "--resume", "--output-dir", tmp_path).names
    assert len(resumed.losses) == 2 and resumed.losses[1] < resumed.losses[0]
    assert resumed.optimizer.param_groups[0]["lr"] == 0.01


def test_a_loss_that_becomes_nan(tmp_path, few_images, fails):
    message = fails(NAME, [*FEW, "--lr", 1000, "--output-dir", tmp_path], status=1)
    assert "diverged" in message and "--lr" in message
    assert not any(tmp_path.iterdir()), "a network that learned nothing is not kept"


@pytest.mark.parametrize("how", ["remove", "truncate", "alter"])
def test_bad_data_is_named(how, altered_data, tmp_path, fails):
    archive = altered_data.raw / "train-images-idx3-ubyte.gz"
    content = archive.read_bytes()
    if how == "remove":
        archive.unlink()
    else:
        archive.write_bytes(content[:5000] + (b"?" + content[5001:] if how == "alter" else b""))
    message = fails(NAME, ["--output-dir", tmp_path / "outputs"])
    assert str(archive) in message and "git checkout -- data" in message


def test_checkpoints_that_cannot_be_resumed(few_images, tmp_path, fails):
    resume = [*FEW, "--resume", "--output-dir", tmp_path]
    assert "Train first" in fails(NAME, resume)
    (tmp_path / "07_resume.pt").write_text("not a checkpoint")
    assert "is not a checkpoint" in fails(NAME, resume)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters())
    training.save_checkpoint(tmp_path / "07_resume.pt", [1.0], model, optimizer)
    assert "belongs to another model" in fails(NAME, resume)


def test_the_checkpoint_is_safe_before_anyone_is_asked_for_enter(
    run, few_images, quick_figures, tmp_path, monkeypatch
):
    """Ctrl-C at the prompt after the training ends the run, and loses nothing."""
    asked = []

    def enter(prompt):
        asked.append(prompt)
        if (tmp_path / f"{NAME}.pt").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", enter)
    done = run(NAME, *FEW, "--step", "--output-dir", tmp_path)
    assert done.status == 130 and "Stopped." in done.err
    assert len(asked) == 13 and "12. Load it again" in done.out
    assert "13. Results" not in done.out
