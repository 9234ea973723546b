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
from conftest import keep_few_images, layers, needs_cuda, parameters, save_empty_figures
from handwriting import draw
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from common import data, training
from common.cli import UserError

NAME = "07_mnist_mlp"
FLAGS = ["--epochs", 1, "--device", "cpu"]  # a whole epoch, on all of MNIST
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sets(chapter):
    """Both datasets as torchvision gives them, and the test set transformed."""
    train_set, test_set = chapter.load_mnist(data.mnist_root())
    once = chapter.transform_once(test_set)
    return SimpleNamespace(train=train_set, test=test_set, test_once=once)


FEW = ["--epochs", 1, "--batch-size", 100, "--device", "cpu"]  # for runs with few images


@pytest.fixture(scope="module")
def few(run, tmp_path_factory):
    """An epoch with a thousand images: the `folder` holds its checkpoint."""
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
    history = ran.names.history
    assert history["epoch"] == [1]
    assert history["accuracy"][0] >= 0.88 and history["loss"][0] < 1.3
    assert f"\nAccuracy: {history['accuracy'][0]:.4f}\n" in ran.out


def test_it_leaves_a_figure_and_a_checkpoint(ran, outputs):
    assert (outputs / f"{NAME}.pt").exists()
    with Image.open(outputs / f"{NAME}.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"


def test_what_the_run_says_of_the_notes_numbers(ran):
    """The notes' example gives 0.9729; MNIST's mean and std are the notes' two numbers."""
    assert ran.out.count("0.9729") == 2
    assert "mean 0.1307, std 0.3081" in ran.out
    assert "(64, 1, 28, 28).view(-1, 28 * 28): (64, 784)" in ran.out
    assert "equal inputs: True, equal labels: True" in ran.out


def test_the_run_leaves_the_notes_names(ran):
    names = ran.names
    assert type(names.model).__name__ == "MNISTModel"
    assert names.train_loader.dataset is names.train_set and len(names.train_set) == 60_000
    assert names.test_loader.dataset is names.test_set and len(names.test_set) == 10_000


def test_resume_equals_never_having_stopped(run, few, few_images, quick_figures, tmp_path):
    """Bit for bit; the first of two epochs is the same as the only one, under the same seed."""
    whole = run(NAME, *FEW, "--epochs", 2, "--output-dir", tmp_path)
    shutil.copy(few.folder / f"{NAME}.pt", tmp_path)
    resumed = run(NAME, *FEW, "--resume", "--output-dir", tmp_path)
    assert torch.equal(parameters(whole.names.model), parameters(resumed.names.model))
    assert resumed.names.history == whole.names.history
    assert whole.names.history["loss"][:1] == few.names.history["loss"]
    assert "epochs trained so far: 1\n" in resumed.out


def test_another_seed_gives_another_network(run, few, few_images, quick_figures, tmp_path):
    other = run(NAME, *FEW, "--seed", 4, "--output-dir", tmp_path).names
    assert not torch.equal(parameters(few.names.model), parameters(other.model))
    assert few.names.history != other.history


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


# Transforms


def test_the_transform_is_the_notes(chapter, sets):
    image, label = sets.train[0]
    pixels = sets.train.data[0]
    assert image.shape == (1, 28, 28) and label == 5
    torch.testing.assert_close(image[0], (pixels / 255 - 0.1307) / 0.3081)


def test_the_training_set_comes_first(chapter):
    sizes = [len(dataset) for dataset in chapter.load_mnist(data.mnist_root())]
    assert sizes == [60_000, 10_000], f"the sets have {sizes} images; 60,000 are for training"


def test_transforming_once_by_hand(chapter):
    """Two images whose first pixels are white; ToTensor makes 255 a 1."""
    pixels = torch.zeros(2, 28, 28, dtype=torch.uint8)
    pixels[:, 0, 0] = 255
    first = chapter.transform(Image.fromarray(pixels[0].numpy())), 3

    class Two:
        data, targets = pixels, torch.tensor([3, 8])

        def __getitem__(self, index):
            return first

    images, labels = chapter.transform_once(Two()).tensors
    assert images.shape == (2, 1, 28, 28) and labels.tolist() == [3, 8]
    white, black = (1 - 0.1307) / 0.3081, -0.1307 / 0.3081
    assert images[1, 0, 0, :2].tolist() == pytest.approx([white, black])
    assert pixels.max() == 255, "the original pixels have been changed"


def test_transforming_once_gives_the_same_bits(sets):
    assert len(sets.test_once) == len(sets.test)
    assert torch.equal(sets.test_once.tensors[1], sets.test.targets)
    for i in [*range(500), len(sets.test) - 1]:
        image, label = sets.test[i]
        assert torch.equal(sets.test_once[i][0], image) and sets.test_once[i][1] == label


def test_the_batches_are_those_of_the_notes_loader(sets):
    """The same images in the same order under the same seed, bit for bit."""
    torch.manual_seed(0)
    notes = zip(range(10), DataLoader(sets.test, batch_size=64, shuffle=True), strict=False)
    expected = [batch for _, batch in notes]
    torch.manual_seed(0)
    bulk = data.bulk_loader(sets.test_once, 64, shuffle=True)
    for (inputs, labels), (notes_inputs, notes_labels) in zip(bulk, expected, strict=False):
        assert torch.equal(inputs, notes_inputs) and torch.equal(labels, notes_labels)
    assert len(bulk) == 157


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
    criterion, optimizer = ran.names.criterion, ran.names.optimizer
    assert type(criterion) is torch.nn.CrossEntropyLoss and criterion.reduction == "mean"
    assert type(optimizer) is torch.optim.SGD
    (group,) = optimizer.param_groups
    assert group["params"] == list(ran.names.model.parameters())
    assert (group["lr"], group["momentum"]) == (0.01, 0.5)
    assert group["weight_decay"] == group["dampening"] == 0 and not group["nesterov"]


def test_momentum_follows_the_notes_rule(ran):
    """velocity = momentum * velocity + gradient; weight = weight - lr * velocity."""
    velocity, expected = 0.0, []
    for _ in range(5):
        velocity = 0.5 * velocity + 1
        expected.append(velocity)
    assert f"steps for the gradient 1, five times: {expected}\n" in ran.out


def test_an_untrained_network_guesses_and_can_overfit_one_batch(ran):
    loss = float(re.search(r"untrained network on a batch: (\S+)", ran.out)[1])
    assert loss == pytest.approx(math.log(10), abs=0.05)
    assert float(re.search(r"epoch 60/60  loss (\S+)", ran.out)[1]) < 0.05


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
    seen = []

    def measure():
        seen.append(model.weight.tolist())
        return {"accuracy": 0.5}

    batches = batches_of_two_and_one()
    history = chapter.train(model, criterion, optimizer, batches, CPU, 1, measure)
    # Then the weights are [[2, -1], [-1, 2], [-1, -1]]: the third sample's logits 4, -2, -2.
    e = [math.exp(logit) for logit in (4, -2, -2)]
    last_loss = -math.log(e[2] / sum(e))
    assert history["loss"] == [pytest.approx((2 * math.log(3) + last_loss) / 3)]
    assert history["epoch"] == [1] and history["accuracy"] == [0.5]
    p = [one / sum(e) for one in e]
    expected = [2 - 12 * p[0], -1 - 12 * p[1], -1 - 12 * (p[2] - 1)]
    torch.testing.assert_close(model.weight[:, 0], torch.tensor(expected))
    assert seen == [model.weight.tolist()] and model.training


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
        alive = sum(graph() is not None for graph in graphs)
        assert alive <= 2, "the graphs of earlier batches are kept in memory: detach the loss"
        return loss

    chapter.train(model, watched, optimizer, loader, CPU, epochs=1)
    assert len(graphs) == len(loader)


class Answers(torch.nn.Module):
    """Predicts what an image's first pixel says."""

    def forward(self, x):
        assert not self.training, "a model is tested in eval mode"
        assert not torch.is_grad_enabled(), "a test needs no gradients"
        return torch.nn.functional.one_hot(x[:, 0, 0, 0].long(), 10).float()


def test_test_by_hand(chapter):
    """A model that returns its inputs: the first logits point to 0 and 1, the last to 0."""
    batches = batches_of_two_and_one()
    model = torch.nn.Identity()
    assert chapter.test(model, batches, CPU) == pytest.approx(2 / 3)
    assert not model.training


def test_accuracy_is_the_share_of_all_samples(chapter):
    images = torch.zeros(7, 1, 28, 28)
    images[:, 0, 0, 0] = torch.tensor([1, 2, 3, 4, 5, 6, 7])
    labels = torch.tensor([1, 2, 3, 4, 5, 0, 0])
    loader = data.bulk_loader(TensorDataset(images, labels), 5)  # 5 of 5, then 0 of 2
    assert chapter.test(Answers(), loader, CPU) == pytest.approx(5 / 7)


def test_test_agrees_with_the_predictions(chapter, ran, sets):
    model = ran.names.model
    accuracy = chapter.test(model, data.bulk_loader(sets.test_once, 300), CPU)
    predicted = chapter.predict(model, sets.test_once.tensors[0]).argmax(dim=1)
    assert accuracy == (predicted == sets.test.targets).double().mean().item()
    assert accuracy == ran.names.history["accuracy"][-1]


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
    assert counts[0] == counts[1], "item() in the loop waits for the device at every batch"
    assert 1 <= counts[0]["_local_scalar_dense"] <= 2  # the loss, and the loader's seed


@needs_cuda
def test_on_cuda_nothing_waits_and_the_network_learns(chapter, sets):
    device = torch.device("cuda")
    torch.manual_seed(0)
    model = chapter.MNISTModel().to(device)
    train_set = chapter.to_device(chapter.transform_once(sets.train), device)
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


def test_predict_by_hand(chapter):
    p = chapter.predict(torch.nn.Identity(), torch.tensor(Z))
    torch.testing.assert_close(p, torch.softmax(torch.tensor(Z), dim=1))


def test_predict_gives_probabilities(chapter):
    torch.manual_seed(0)
    model, images = chapter.MNISTModel(), torch.randn(4, 1, 28, 28)
    p = chapter.predict(model, images)
    torch.testing.assert_close(p, torch.softmax(model(images), dim=1))
    assert not p.requires_grad
    assert not model.training


def test_predict_files_of_a_checkpoint(chapter, sets, tmp_path, capsys):
    """Of an untrained network, whose predictions are as definite as any."""
    torch.manual_seed(0)
    model = chapter.MNISTModel()
    optimizer = torch.optim.SGD(model.parameters())
    history = {"epoch": [1.0], "accuracy": [0.1]}
    training.save_checkpoint(tmp_path / f"{NAME}.pt", history, model, optimizer)
    paths = [tmp_path / "first.png", tmp_path / "second.png"]
    for path, pixels in zip(paths, sets.test.data, strict=False):
        Image.fromarray(pixels.numpy()).save(path)
    p = chapter.predict_files(Namespace(device=CPU, output_dir=tmp_path, predict=paths))
    images = sets.test_once.tensors[0][:2]
    torch.testing.assert_close(p, torch.softmax(model(images), dim=1), atol=0.01, rtol=0)
    network, *said = capsys.readouterr().out.splitlines()
    assert network.endswith(f"{NAME}.pt: epochs 1, test accuracy 0.1000")
    for path, line, row in zip(paths, said, p, strict=True):
        second, first = row.argsort()[-2:].tolist()
        expected = f"{path}: {first} ({row[first]:.1%}; next {second}, {row[second]:.1%})"
        assert line == expected, f"it printed   {line}\nexpected is  {expected}"


def test_mnists_own_digits_are_predicted_as_from_the_dataset(
    chapter, ran, outputs, sets, tmp_path, capsys
):
    """Each line names the file, the digit, and the next one, with their probabilities."""
    paths = []
    for i in range(100):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(sets.test.data[i].numpy()).save(paths[-1])
    args = Namespace(device=CPU, output_dir=outputs, predict=paths)
    p = chapter.predict_files(args)
    expected = chapter.predict(ran.names.model, sets.test_once.tensors[0][:100])
    assert p.shape == (100, 10)
    assert (p.argmax(dim=1) == expected.argmax(dim=1)).sum() >= 98
    assert ((p - expected).abs().max(dim=1).values < 0.02).sum() >= 90
    network, *lines = capsys.readouterr().out.splitlines()
    accuracy = ran.names.history["accuracy"][-1]
    assert network.endswith(f"07_mnist_mlp.pt: epochs 1, test accuracy {accuracy:.4f}")
    for path, line, row in zip(paths, lines, p, strict=True):
        second, first = row.argsort()[-2:].tolist()
        said = f"{path}: {first} ({row[first]:.1%}; next {second}, {row[second]:.1%})"
        assert line == said


def test_predict_runs_nothing_else(run, ran, outputs, tmp_path):
    path = tmp_path / "five.png"
    draw(5, 100).save(path)
    done = run(NAME, "--predict", path, "--output-dir", outputs)
    assert (done.status, done.err) == (0, "") and len(done.out.splitlines()) == 2


def test_the_run_compares_confidence_with_mistakes(ran):
    names = ran.names
    assert f"be expected from the probabilities: {(1 - names.confidence).sum():.0f}\n" in ran.out
    assert f"mistakes made:                                  {names.wrong.sum()}\n" in ran.out
    wrong = 1 - names.history["accuracy"][-1]
    assert names.wrong.double().mean().item() == pytest.approx(wrong, abs=1e-6)


def test_the_run_shows_training_accuracy_beside_test_accuracy(few, chapter):
    names = few.names
    for name, dataset in [("training", names.train_set), ("test", names.test_set)]:
        accuracy = chapter.test(names.model, data.bulk_loader(dataset, 1000), CPU)
        assert f"{name + ' accuracy:':18} {accuracy:.4f}\n" in few.out


# The figure


def test_the_figure(ran):
    names = ran.names
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


def test_ctrl_c_in_the_middle_of_an_epoch_keeps_what_was_learned(
    run, few_images, quick_figures, tmp_path
):
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(patch, 16)  # one batch is shown before the training
        done = run(NAME, *FEW, "--epochs", 3, "--lr", 0.1, "--output-dir", tmp_path)
    assert done.status == 130
    assert "Stopped after 1.5 of 3 epochs" in done.out
    assert (tmp_path / f"{NAME}.png").exists()
    assert done.names.optimizer.param_groups[0]["lr"] == 0.1

    resumed = run(NAME, *FEW, "--resume", "--output-dir", tmp_path)
    history = resumed.names.history
    assert history["epoch"] == [1, 1.5, 2.5]
    assert history["loss"][2] < history["loss"][0]
    assert "epochs trained so far: 1.5\n" in resumed.out
    lr = resumed.names.optimizer.param_groups[0]["lr"]
    assert lr == 0.01, "the flag counts, not the checkpoint's learning rate"


def test_a_loss_that_becomes_nan(tmp_path, few_images, fails):
    message = fails(NAME, [*FEW, "--lr", 1000, "--output-dir", tmp_path], status=1)
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


def test_images_and_checkpoints_that_cannot_be_used(few, few_images, tmp_path, fails):
    text = tmp_path / "digit.png"
    text.write_text("no image")
    blank = tmp_path / "blank.png"
    Image.new("L", (50, 50), 255).save(blank)
    trained = ["--output-dir", few.folder, "--predict"]
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
        tmp_path / f"{NAME}.pt", {"epoch": [1.0]}, model, torch.optim.SGD(model.parameters())
    )
    assert "belongs to another model" in fails(NAME, [*elsewhere, "--resume"])
    assert "belongs to another model" in fails(NAME, [*elsewhere, "--predict", blank])


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
    assert len(asked) == 12 and "11. Overfitting" in done.out
    assert "\ntraining accuracy:" not in done.out


def test_predict_and_resume_exclude_each_other(fails):
    assert "not allowed with" in fails(NAME, ["--resume", "--predict", "a.png"])


def test_the_datasets_are_torchvisions(sets):
    assert isinstance(sets.train, torchvision.datasets.MNIST) and sets.train.train
    assert isinstance(sets.test, torchvision.datasets.MNIST) and not sets.test.train
