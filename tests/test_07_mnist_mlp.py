"""Chapter 7: it runs as promised, and each of its ideas is right."""

import math
import re
import shutil
import signal
import weakref
from argparse import Namespace
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import torchvision
from conftest import needs_cuda, parameters
from handwriting import draw
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from common import data, training
from common.cli import ROOT, UserError

NAME = "07_mnist_mlp"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sets(chapter):
    """Both datasets: as torchvision gives them, and transformed."""
    train_set, test_set = chapter.load_mnist(data.mnist_root())
    once = [chapter.transform_once(dataset) for dataset in (train_set, test_set)]
    return SimpleNamespace(train=train_set, test=test_set, train_once=once[0], test_once=once[1])


@pytest.fixture(scope="module")
def default_run(run_chapter, tmp_path_factory):
    """The chapter as a newcomer runs it, all ten epochs, from another working directory."""
    folder = tmp_path_factory.mktemp("somewhere else")
    done = run_chapter(NAME, "--output-dir", "outputs", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return SimpleNamespace(text=done.stdout, folder=folder / "outputs")


@pytest.fixture(scope="module")
def trained(chapter, default_run):
    model = chapter.MNISTModel()
    history = training.load_checkpoint(default_run.folder / f"{NAME}.pt", model)
    return SimpleNamespace(model=model, history=history)


FAST = ["--epochs", 1, "--batch-size", 1000, "--device", "cpu"]


@pytest.fixture(scope="module")
def quick(run, tmp_path_factory):
    """The chapter with an epoch of 60 batches, run in this process; its `folder` is with it."""
    folder = tmp_path_factory.mktemp("quick")
    done = run(NAME, *FAST, "--output-dir", folder)
    assert done.status == 0
    done.folder = folder
    return done


# The whole chapter


def test_ten_epochs_reach_97_percent_and_the_first_88(trained):
    assert trained.history["epoch"] == list(range(1, 11))
    assert trained.history["accuracy"][0] >= 0.88
    assert trained.history["accuracy"][-1] >= 0.97
    assert trained.history["loss"] == sorted(trained.history["loss"], reverse=True)


def test_the_run_ends_as_its_docstring_says(chapter, default_run, last_lines):
    last_lines(chapter, default_run.text)


def test_the_readme_shows_this_run(default_run):
    """Word for word, but for the figures that another processor rounds differently."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    transcript = readme.split("$ python 07_mnist_mlp.py\n")[1].split("```")[0]

    def story(text):
        return re.sub(r"(loss|accuracy|Accuracy:|Device:) .*", r"\1", text.replace("\\", "/"))

    assert story(transcript).split() == story(default_run.text).split()
    for name, tolerance in [("loss", 0.1), ("accuracy", 0.02), ("Accuracy:", 0.01)]:
        numbers = [
            [float(number) for number in re.findall(rf"{name} +(0\.\d+|1\.\d+)", text)]
            for text in (transcript, default_run.text)
        ]
        assert len(numbers[0]) > 0
        assert numbers[0] == pytest.approx(numbers[1], abs=tolerance)


def test_it_leaves_a_figure_and_a_checkpoint_and_nothing_else(default_run):
    assert {path.name for path in default_run.folder.iterdir()} == {f"{NAME}.png", f"{NAME}.pt"}
    with Image.open(default_run.folder / f"{NAME}.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"


def test_what_the_run_says_of_the_notes_numbers(default_run):
    """The notes' example gives 0.9729; MNIST's mean and std are the notes' two numbers."""
    assert default_run.text.count("0.9729") == 2
    assert "mean 0.1307, std 0.3081" in default_run.text
    assert "(64, 1, 28, 28).view(-1, 28 * 28): (64, 784)" in default_run.text
    assert "equal inputs: True, equal labels: True" in default_run.text


def test_the_run_leaves_the_notes_names(quick):
    names = quick.names
    assert type(names.model).__name__ == "MNISTModel"
    assert names.history["epoch"] == [1]
    assert names.train_loader.dataset is names.train_set and len(names.train_set) == 60_000
    assert names.test_loader.dataset is names.test_set and len(names.test_set) == 10_000


def test_resume_equals_never_having_stopped(run, quick, tmp_path):
    """Bit for bit; the first of two epochs is the same as the only one, under the same seed."""
    whole = run(NAME, *FAST, "--epochs", 2, "--output-dir", tmp_path)
    shutil.copy(quick.folder / f"{NAME}.pt", tmp_path)
    resumed = run(NAME, *FAST, "--resume", "--output-dir", tmp_path)
    assert torch.equal(parameters(whole.names.model), parameters(resumed.names.model))
    assert resumed.names.history == whole.names.history
    assert whole.names.history["loss"][:1] == quick.names.history["loss"]
    assert "epochs trained so far: 1\n" in resumed.out


def test_another_seed_gives_another_network(run, quick, tmp_path):
    """Also --lr counts from the first epoch on."""
    other = run(NAME, *FAST, "--seed", 4, "--output-dir", tmp_path).names
    assert not torch.equal(parameters(quick.names.model), parameters(other.model))
    assert quick.names.history != other.history


# Softmax and cross-entropy


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


# Transforms


def test_the_transform_is_the_notes(chapter, sets):
    image, label = sets.train[0]
    pixels = sets.train.data[0]
    assert image.shape == (1, 28, 28) and label == 5
    torch.testing.assert_close(image[0], (pixels / 255 - 0.1307) / 0.3081)


def test_transforming_once_gives_the_same_bits(sets):
    for plain, once in [(sets.train, sets.train_once), (sets.test, sets.test_once)]:
        assert len(once) == len(plain)
        assert torch.equal(once.tensors[1], plain.targets)
        for i in [*range(500), len(plain) - 1]:
            image, label = plain[i]
            assert torch.equal(once[i][0], image) and once[i][1] == label
    assert sets.train.data.max() == 255, "the original pixels have been changed"


def test_the_batches_are_those_of_the_notes_loader(sets):
    """On all 60,000: the same images in the same order under the same seed, bit for bit."""
    torch.manual_seed(0)
    notes = zip(range(30), DataLoader(sets.train, batch_size=64, shuffle=True), strict=False)
    expected = [batch for _, batch in notes]
    torch.manual_seed(0)
    bulk = data.bulk_loader(sets.train_once, 64, shuffle=True)
    for (inputs, labels), (notes_inputs, notes_labels) in zip(bulk, expected, strict=False):
        assert torch.equal(inputs, notes_inputs) and torch.equal(labels, notes_labels)
    assert len(bulk) == 938


def test_a_transform_that_is_not_applied_once_is_refused(chapter, sets, monkeypatch):
    small = torch.utils.data.Subset(sets.test, [0])
    small.data, small.targets = sets.test.data[:1], sets.test.targets[:1]
    assert len(chapter.transform_once(small)) == 1
    flip = torchvision.transforms.RandomHorizontalFlip(p=1)
    flipped = torchvision.transforms.Compose([flip, chapter.transform])
    monkeypatch.setattr(sets.test, "transform", flipped)
    with pytest.raises(UserError, match="transform_once"):
        chapter.transform_once(small)


# The network


def test_the_layers_are_the_notes(chapter):
    model = chapter.MNISTModel()
    sizes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert sizes == [(512, 784), (256, 512), (128, 256), (64, 128), (10, 64)]
    assert [f"linear{i}.weight" in dict(model.named_parameters()) for i in range(1, 6)]
    assert sum(isinstance(module, torch.nn.ReLU) for module in model.modules()) == 4


def test_forward_is_linear_layers_with_relu_between(chapter):
    torch.manual_seed(0)
    model = chapter.MNISTModel()
    images = torch.randn(7, 1, 28, 28)
    x = images.reshape(7, 784)
    for i in range(1, 6):
        x = x @ getattr(model, f"linear{i}").weight.T + getattr(model, f"linear{i}").bias
        x = x.clamp(min=0) if i < 5 else x
    torch.testing.assert_close(model(images), x, atol=1e-5, rtol=1e-4)


def test_each_image_is_predicted_by_itself(chapter):
    torch.manual_seed(0)
    model, images = chapter.MNISTModel(), torch.randn(5, 1, 28, 28)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, atol=1e-6, rtol=1e-4)


def test_loss_and_optimizer_are_the_notes(quick):
    criterion, optimizer = quick.names.criterion, quick.names.optimizer
    assert type(criterion) is torch.nn.CrossEntropyLoss and criterion.reduction == "mean"
    assert type(optimizer) is torch.optim.SGD
    (group,) = optimizer.param_groups
    assert group["params"] == list(quick.names.model.parameters())
    assert (group["lr"], group["momentum"]) == (0.01, 0.5)
    assert group["weight_decay"] == group["dampening"] == 0 and not group["nesterov"]


def test_momentum_follows_the_notes_rule(quick):
    """velocity = momentum * velocity + gradient; weight = weight - lr * velocity."""
    velocity, expected = 0.0, []
    for _ in range(5):
        velocity = 0.5 * velocity + 1
        expected.append(velocity)
    assert f"steps for the gradient 1, five times: {expected}\n" in quick.out


def test_an_untrained_network_guesses_and_can_overfit_one_batch(default_run):
    loss = float(re.search(r"untrained network on a batch: (\S+)", default_run.text)[1])
    assert loss == pytest.approx(math.log(10), abs=0.05)
    assert float(re.search(r"epoch 60/60  loss (\S+)", default_run.text)[1]) < 0.05


# Train and test


def small_problem(chapter, batches=6, batch_size=8):
    """A few random images with a last short batch; a fresh network, criterion and optimizer."""
    torch.manual_seed(0)
    n = batches * batch_size - 3
    dataset = TensorDataset(torch.randn(n, 1, 28, 28), torch.randint(10, (n,)))
    model = chapter.MNISTModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    return model, torch.nn.CrossEntropyLoss(), optimizer, data.bulk_loader(dataset, batch_size)


def test_train_does_what_the_notes_loop_does(chapter):
    model, criterion, optimizer, loader = small_problem(chapter)

    def measure():
        return {"accuracy": chapter.test(model, loader, CPU)}

    history = chapter.train(model, criterion, optimizer, loader, CPU, 3, measure)
    trained, criterion, optimizer, loader = small_problem(chapter)
    losses = []
    for _ in range(3):
        total = 0.0
        for inputs, labels in loader:
            loss = criterion(trained(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        losses.append(total / len(loader.dataset))
    assert torch.equal(parameters(model), parameters(trained))
    assert history["loss"] == pytest.approx(losses)
    assert history["epoch"] == [1, 2, 3]
    assert history["accuracy"][-1] == chapter.test(trained, loader, CPU)


def test_train_trains_in_training_mode(chapter):
    model, *rest, loader = small_problem(chapter)
    modes = []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))

    def measure():
        return {"accuracy": chapter.test(model, loader, CPU)}

    chapter.train(model, *rest, loader, CPU, 2, measure)
    n = len(loader)
    assert modes == 2 * (n * [True] + n * [False])


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
        assert sum(graph() is not None for graph in graphs) <= 2
        return loss

    chapter.train(model, watched, optimizer, loader, CPU, epochs=1)
    assert len(graphs) == len(loader)


class Answers(torch.nn.Module):
    """Predicts what an image's first pixel says."""

    def forward(self, x):
        assert not self.training, "a model is tested in eval mode"
        assert not torch.is_grad_enabled(), "a test needs no gradients"
        return torch.nn.functional.one_hot(x[:, 0, 0, 0].long(), 10).float()


def test_accuracy_is_the_share_of_all_samples(chapter):
    images = torch.zeros(7, 1, 28, 28)
    images[:, 0, 0, 0] = torch.tensor([1, 2, 3, 4, 5, 6, 7])
    labels = torch.tensor([1, 2, 3, 4, 5, 0, 0])
    loader = data.bulk_loader(TensorDataset(images, labels), 5)  # 5 of 5, then 0 of 2
    assert chapter.test(Answers(), loader, CPU) == pytest.approx(5 / 7)


def test_test_agrees_with_the_predictions(chapter, trained, sets):
    accuracy = chapter.test(trained.model, data.bulk_loader(sets.test_once, 300), CPU)
    predicted = chapter.predict(trained.model, sets.test_once.tensors[0]).argmax(dim=1)
    assert accuracy == (predicted == sets.test.targets).double().mean().item()
    assert accuracy == pytest.approx(trained.history["accuracy"][-1], abs=0.001)  # maybe a GPU's


# The device


class CopyCounter(TorchDispatchMode):
    """Counts operations that make the CPU wait for a device, or copy between the two."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "_to_copy", "copy_", "nonzero", "equal"):
            self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **kwargs or {})


def test_nothing_in_the_loop_waits_or_copies(chapter):
    """However many batches there are, an epoch reads as many numbers from the device."""
    counts = []
    for batches in (3, 30):
        *parts, loader = small_problem(chapter, batches)
        with CopyCounter() as counter:
            chapter.train(*parts, loader, CPU, epochs=1)
        counts.append(counter.counts)
    assert counts[0] == counts[1]
    assert 1 <= counts[0]["_local_scalar_dense"] <= 2  # the loss, and the loader's seed


@needs_cuda
def test_on_cuda_nothing_waits_and_the_network_learns(chapter, sets):
    device = torch.device("cuda")
    torch.manual_seed(0)
    model = chapter.MNISTModel().to(device)
    train_set = chapter.to_device(sets.train_once, device)
    loader = data.bulk_loader(train_set, 64, shuffle=True)
    test_loader = data.bulk_loader(chapter.to_device(sets.test_once, device), 1000)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    parts = model, torch.nn.CrossEntropyLoss(), optimizer
    batches = iter(loader)
    next(batches)  # the order is now on the device
    chapter.train(*parts, [next(batches)], device, 1)  # loads the kernels

    def synchronised(loader):
        for inputs, labels in loader:
            torch.cuda.set_sync_debug_mode("error")
            yield inputs, labels
            torch.cuda.set_sync_debug_mode("default")

    class Watched:
        def __len__(self):
            return len(loader)

        def __iter__(self):
            return synchronised(loader)

    chapter.train(*parts, Watched(), device, 1)
    assert chapter.test(model, test_loader, device) >= 0.88


def test_to_device_moves_every_tensor(chapter):
    dataset = TensorDataset(torch.ones(3, 2), torch.ones(3))
    moved = chapter.to_device(dataset, torch.device("meta"))
    assert [(t.device.type, t.shape) for t in moved.tensors] == [("meta", (3, 2)), ("meta", (3,))]
    assert dataset.tensors[0].device == CPU


# Predictions


def test_predict_gives_probabilities(chapter):
    torch.manual_seed(0)
    model, images = chapter.MNISTModel(), torch.randn(4, 1, 28, 28)
    p = chapter.predict(model, images)
    torch.testing.assert_close(p, torch.softmax(model(images), dim=1))
    assert not p.requires_grad
    assert not model.training


def test_digits_drawn_by_hand_are_predicted(run, default_run, tmp_path):
    """Each line names the file, the digit, and the next one, with their probabilities."""
    paths, expected = [], []
    for height in (14, 60, 300):
        for ink, paper in [("black", "white"), ("white", "black")]:
            for digit in range(10):
                path = tmp_path / f"{digit} {height} {ink}.png"
                draw(digit, height, ink, paper).save(path)
                paths.append(path)
                expected.append(digit)
    done = run(NAME, "--predict", *paths, "--output-dir", default_run.folder)
    assert (done.status, done.err) == (0, "")
    network, *lines = done.out.splitlines()
    assert re.search(r"07_mnist_mlp\.pt: epochs 10, test accuracy 0\.97\d\d$", network)
    correct = 0
    for path, digit, line in zip(paths, expected, lines, strict=True):
        pattern = rf"{re.escape(str(path))}: (\d) \(([\d.]+)%; next (\d), ([\d.]+)%\)"
        first, p, second, q = re.fullmatch(pattern, line).groups()
        assert first != second and float(p) >= float(q) and float(p) + float(q) <= 100.1
        correct += int(first) == digit
    assert correct >= 57  # of 60: a network of 97 % may misclassify one here and there


def test_mnists_own_digits_are_predicted_as_from_the_dataset(
    chapter, default_run, trained, sets, tmp_path
):
    paths = []
    for i in range(100):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(sets.test.data[i].numpy()).save(paths[-1])
    args = Namespace(device=CPU, output_dir=default_run.folder, predict=paths)
    p = chapter.predict_files(args)
    expected = chapter.predict(trained.model, sets.test_once.tensors[0][:100])
    assert p.shape == (100, 10)
    assert (p.argmax(dim=1) == expected.argmax(dim=1)).sum() >= 98
    assert ((p - expected).abs().max(dim=1).values < 0.02).sum() >= 95


def test_the_run_compares_confidence_with_mistakes(quick):
    names = quick.names
    assert f"be expected from the probabilities: {(1 - names.confidence).sum():.0f}\n" in quick.out
    assert f"mistakes made:                                  {names.wrong.sum()}\n" in quick.out
    wrong = 1 - names.history["accuracy"][-1]
    assert names.wrong.double().mean().item() == pytest.approx(wrong, abs=1e-6)


def test_the_run_shows_training_accuracy_beside_test_accuracy(quick, chapter):
    names = quick.names
    for name, dataset in [("training", names.train_set), ("test", names.test_set)]:
        accuracy = chapter.test(names.model, data.bulk_loader(dataset, 1000), CPU)
        assert f"{name + ' accuracy:':18} {accuracy:.4f}\n" in quick.out


# The figure


def test_the_figure(quick):
    names = quick.names
    losses, accuracies, matrix, *images = names.fig.axes
    assert list(losses.lines[0].get_ydata()) == names.history["loss"]
    assert list(accuracies.lines[0].get_ydata()) == names.history["accuracy"]
    assert accuracies.get_xlabel() == "epoch" and losses.get_ylabel()
    labels, predicted = names.labels.tolist(), names.predicted.tolist()
    counts = Counter(zip(predicted, labels, strict=True))  # x: predicted, y: true
    assert {text.get_position(): int(text.get_text()) for text in matrix.texts} == counts
    wrong = [i for i in range(10_000) if predicted[i] != labels[i]]
    assert matrix.get_title(loc="left") == f"{len(wrong)} of 10,000 test images are misclassified"
    worst = sorted(wrong, key=lambda i: -names.confidence[i])[:10]
    for i, axes in zip([*range(10), *worst], images, strict=True):
        caption = f"{labels[i]} → {predicted[i]}\n{names.confidence[i]:.1%}"
        assert axes.get_title() == caption
        pixels = names.images[i, 0].numpy()
        assert (axes.images[0].get_array() == pixels).all()


# Errors, and Ctrl-C


def interrupt_after(monkeypatch, batches):
    """Press Ctrl-C while the given batch of a shuffled loader is being worked on."""
    seen, bulk_loader = [], data.bulk_loader

    class Loader:
        def __init__(self, loader):
            self.loader = loader

        def __len__(self):
            return len(self.loader)

        def __iter__(self):
            for batch in self.loader:
                seen.append(1)
                if len(seen) == batches:
                    signal.raise_signal(signal.SIGINT)
                yield batch

    def loader(dataset, batch_size, shuffle=False):
        bulk = bulk_loader(dataset, batch_size, shuffle)
        return Loader(bulk) if shuffle else bulk

    monkeypatch.setattr(data, "bulk_loader", loader)


def test_ctrl_c_in_the_middle_of_an_epoch_keeps_what_was_learned(run, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 91)  # one batch is shown before the training
    done = run(NAME, *FAST, "--epochs", 3, "--lr", 0.1, "--output-dir", tmp_path)
    monkeypatch.undo()
    assert done.status == 130
    assert "Stopped after 1.5 of 3 epochs" in done.out
    with Image.open(tmp_path / f"{NAME}.png") as image:
        assert image.width >= 1200
    assert done.names.optimizer.param_groups[0]["lr"] == 0.1

    resumed = run(NAME, *FAST, "--resume", "--output-dir", tmp_path)
    history = resumed.names.history
    assert history["epoch"] == [1, 1.5, 2.5]
    assert history["accuracy"][2] > history["accuracy"][0]
    assert "epochs trained so far: 1.5\n" in resumed.out
    lr = resumed.names.optimizer.param_groups[0]["lr"]
    assert lr == 0.01, "the flag counts, not the checkpoint's learning rate"


def test_a_loss_that_becomes_nan(tmp_path, fails):
    message = fails(NAME, [*FAST, "--lr", 1000, "--output-dir", tmp_path], status=1)
    assert "in epoch 1" in message and "--lr" in message
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


def test_images_and_checkpoints_that_cannot_be_used(quick, tmp_path, fails):
    text = tmp_path / "digit.png"
    text.write_text("no image")
    blank = tmp_path / "blank.png"
    Image.new("L", (50, 50), 255).save(blank)
    trained = ["--output-dir", quick.folder, "--predict"]
    assert str(text) in fails(NAME, [*trained, text])
    assert "missing.png" in fails(NAME, [*trained, tmp_path / "missing.png"])
    message = fails(NAME, [*trained, blank])
    assert str(blank) in message and "shows no digit" in message

    elsewhere = ["--output-dir", tmp_path]
    assert "Train first" in fails(NAME, [*elsewhere, "--predict", blank])
    assert "Train first" in fails(NAME, [*elsewhere, "--resume"])
    (tmp_path / f"{NAME}.pt").write_text("not a checkpoint")
    assert "is not a checkpoint" in fails(NAME, [*elsewhere, "--resume"])
    model = torch.nn.Linear(1, 1)
    training.save_checkpoint(
        tmp_path / f"{NAME}.pt", model, torch.optim.SGD(model.parameters()), {"epoch": [1.0]}
    )
    assert "belongs to another model" in fails(NAME, [*elsewhere, "--resume"])
    assert "belongs to another model" in fails(NAME, [*elsewhere, "--predict", blank])


def test_the_checkpoint_is_safe_before_anyone_is_asked_for_enter(run, tmp_path, monkeypatch):
    """Ctrl-C at the prompt after the training ends the run, and loses nothing."""
    asked = []

    def enter(prompt):
        asked.append(prompt)
        if (tmp_path / f"{NAME}.pt").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", enter)
    done = run(NAME, *FAST, "--step", "--output-dir", tmp_path)
    assert done.status == 130 and "Stopped." in done.err
    assert len(asked) == 12 and "11. Overfitting" in done.out
    assert "\ntraining accuracy:" not in done.out


def test_predict_and_resume_exclude_each_other(fails):
    assert "not allowed with" in fails(NAME, ["--resume", "--predict", "a.png"])


def test_an_error_on_the_command_line(run_chapter, tmp_path):
    done = run_chapter(NAME, "--device", "abacus", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 1, "the title alone"
    assert re.fullmatch(r"error: device 'abacus' is not available here.*\n", done.stderr)


def test_the_datasets_are_torchvisions(sets):
    assert isinstance(sets.train, torchvision.datasets.MNIST) and sets.train.train
    assert isinstance(sets.test, torchvision.datasets.MNIST) and not sets.test.train
