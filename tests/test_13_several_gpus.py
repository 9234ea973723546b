"""Chapter 13: shared batches and gradients, who prints and saves, Ctrl-C and resume for all."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
import torch.distributed as dist
from conftest import assert_drawn, keep_few_images, needs_cuda, parameters
from torch.utils.data import DataLoader, DistributedSampler

from common import training
from common.chapter import load
from common.cli import ROOT, UserError

NAME = "13_several_gpus"
FLAGS = ["--epochs", 2, "--batch-size", 50, "--lr", 0.05, "--device", "cpu"]
CPU = torch.device("cpu")
CNN = load(ROOT / "10_mnist_cnn.py").CNN


@pytest.fixture(autouse=True)
def _no_group_stays():
    """A page that failed in the middle leaves its process group."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture
def group():
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


@pytest.fixture(scope="module")
def ran(run, outputs):
    """One process, with a thousand images."""
    usual = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        keep_few_images(patch)
        done = run(NAME, *FLAGS, "--output-dir", outputs)
    assert (done.status, done.err, done.warned) == (0, "", [])
    assert signal.getsignal(signal.SIGINT) is usual
    assert not dist.is_initialized()
    return done


def learned_in_turn(train_set, model, optimizer, epochs, first=0, processes=1, batch_size=50):
    """What the processes learn together, calculated in one, without DistributedDataParallel.

    Each has its own half of the batch, and so its own means in batch normalization.
    """
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    samplers = [DistributedSampler(train_set, processes, rank) for rank in range(processes)]
    loaders = [
        DataLoader(train_set, batch_size // processes, sampler=sampler) for sampler in samplers
    ]
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.05, total_steps=epochs * len(loaders[0]), cycle_momentum=False
    )
    model.train()
    for epoch in range(first, first + epochs):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        for shares in zip(*loaders, strict=True):
            optimizer.zero_grad()
            for inputs, labels in shares:
                (criterion(model(inputs), labels) / processes).backward()
            optimizer.step()
            scheduler.step()
    return parameters(model)


def recipe(model):
    """Chapter 10's optimizer, with the learning rate of these tests."""
    how = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    return torch.optim.SGD(model.parameters(), lr=0.05, **how)


# The whole page, one process


def test_a_thousand_images_teach_it_a_lot(ran):
    assert ran.names.accuracy > 0.9
    assert ran.names.epochs_done == 2
    assert re.search(r"\nEpoch 2, Loss: 0\.\d{4}, [\d,]+ images/s\n", ran.out)
    assert ran.out.endswith(f"\nAccuracy: {ran.names.accuracy:.4f}\n")
    assert ran.out.startswith("Chapter 13") and "\nrank 0 of 1\n" in ran.out


def test_resume_continues_as_a_loop_without_ddp_does(ran, run, few_images, quick_figures, tmp_path):
    """The same batches in the same order, from the checkpoint's parameters and velocities on."""
    flags = [*FLAGS, "--epochs", 1, "--output-dir", tmp_path]
    one = run(NAME, *flags)
    two = run(NAME, *flags, "--resume")
    assert "\nEpoch 1, " in one.out and "\nEpoch 2, " in two.out
    assert (one.names.epochs_done, two.names.epochs_done) == (1, 2)
    assert one.names.train_loader.batch_size == 50

    model = CNN().to(memory_format=torch.channels_last)
    model.load_state_dict(one.names.model.state_dict())
    optimizer = recipe(model)
    assert training.load_checkpoint(tmp_path / f"{NAME}.pt", CNN(), recipe(CNN())) == 2
    optimizer.load_state_dict(one.names.optimizer.state_dict())
    expected = learned_in_turn(two.names.train_set, model, optimizer, epochs=1, first=1)
    torch.testing.assert_close(parameters(two.names.model), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("one_thread_here")
def test_the_same_seed_gives_the_same_network(run, few_images, quick_figures, tmp_path):
    flags = [*FLAGS, "--epochs", 1, "--output-dir", tmp_path]
    one, two, other = (run(NAME, *flags, "--seed", seed).names for seed in (1, 1, 2))
    assert torch.equal(parameters(one.model), parameters(two.model))
    assert not torch.equal(parameters(one.model), parameters(other.model))
    assert (one.sampler.seed, other.sampler.seed) == (1, 2)


def test_ctrl_c_keeps_what_was_learned(interrupted, few_images, tmp_path):
    """It stops after the batch; the next epoch, just begun, doesn't count."""
    done = interrupted(NAME, [*FLAGS, "--output-dir", tmp_path], "Epoch 1")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("Stopped. What was learned so far is kept.\n") == 1
    assert done.names.scheduler.last_epoch == 20 + 1
    model = CNN()
    assert training.load_checkpoint(tmp_path / f"{NAME}.pt", model) == 1
    assert torch.equal(parameters(model), parameters(done.names.model))


def test_a_training_that_diverges_is_told_and_nothing_is_saved(fails, few_images, tmp_path):
    message = fails(NAME, [*FLAGS, "--lr", 1e30, "--output-dir", tmp_path], status=1)
    assert "diverged" in message and "lower --lr" in message
    assert not (tmp_path / f"{NAME}.pt").exists()


def test_checkpoints_that_cannot_be_resumed(few_images, tmp_path, fails):
    resume = [*FLAGS, "--resume", "--output-dir", tmp_path]
    assert "Train first" in fails(NAME, resume)
    dist.destroy_process_group()  # in this process, the failed page has left it
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters())
    training.save_checkpoint(tmp_path / f"{NAME}.pt", 1, model, optimizer)
    assert "belongs to another model" in fails(NAME, resume)


# The page as one of several processes: its environment, but no others


@pytest.fixture
def one_of(monkeypatch):
    """one_of(rank, processes): what torchrun sets; the group that is joined is one of one."""

    def pretend(rank, processes):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
        join = dist.init_process_group
        alone = {"store": dist.HashStore(), "rank": 0, "world_size": 1}
        monkeypatch.setattr(dist, "init_process_group", lambda backend: join(backend, **alone))

    return pretend


def test_rank_1_prints_that_it_is_there_and_saves_nothing(
    run, one_of, few_images, quick_figures, tmp_path
):
    one_of(1, 2)
    done = run(NAME, *FLAGS, "--output-dir", tmp_path)
    assert done.status in (0, None)
    title, device, *rest = done.out.split("\n")
    assert title.startswith("Chapter 13") and device == "Device: cpu"
    assert rest == ["", "1. One script, several processes", "rank 1 of 2", ""]
    assert list(tmp_path.iterdir()) == []
    assert done.names.train_loader.batch_size == 25
    assert done.names.epochs_done == 2 and not dist.is_initialized()


def test_what_a_cluster_has_set_makes_no_group(
    run, monkeypatch, few_images, quick_figures, tmp_path
):
    """Without torchrun nobody else would come."""
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    done = run(NAME, *FLAGS, "--output-dir", tmp_path)
    assert done.status == 0 and "rank 0 of 1\n" in done.out


def test_a_batch_that_cannot_be_shared(fails, one_of, tmp_path):
    one_of(0, 3)
    message = fails(NAME, [*FLAGS, "--output-dir", tmp_path])
    assert "3 processes can't share a batch of 50 evenly" in message


@pytest.mark.parametrize(
    "name, local_rank, expected",
    [
        ("cpu", 0, "cpu"),
        ("cpu", 7, "cpu"),
        ("mps", 0, "cpu"),
        ("cuda", 0, "cuda:0"),
        ("cuda", 1, "cuda:1"),
        ("cuda:1", 0, "cuda:1"),
    ],
)
def test_each_process_has_a_gpu_or_all_share_the_cpu(
    name, local_rank, expected, chapter, monkeypatch
):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    device = chapter.own_device(torch.device(name), local_rank)
    assert device == torch.device(expected)
    assert [torch.device("cuda", number) for number in chosen] == [device] * ("cuda" in expected)


@pytest.mark.parametrize("name, local_rank", [("cuda", 2), ("cuda:1", 1)])
def test_more_processes_than_gpus(name, local_rank, chapter, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    with pytest.raises(UserError, match=r"no GPU 2\. Start fewer processes or use --device cpu"):
        chapter.own_device(torch.device(name), local_rank)


# Gradients


def test_gradient_by_hand(chapter):
    """The line 0 and y = 2x: the mean of 2 x (0 - 2x) and of 2 (0 - 2x)."""
    line = torch.nn.Linear(1, 1)
    line.weight.data.zero_()
    line.bias.data.zero_()
    x = torch.tensor([[1.0], [3.0]])
    found = chapter.gradient(line, torch.nn.MSELoss(), x, 2 * x)
    assert found.tolist() == [-(4 + 36) / 2, -(4 + 12) / 2]


def test_gradient_is_autograds_and_does_not_grow(chapter):
    """By backward: DistributedDataParallel doesn't notice torch.autograd.grad."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    criterion = torch.nn.CrossEntropyLoss()
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 1, 0, 1, 0])
    loss = criterion(model(x), y)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    for _ in range(2):
        torch.testing.assert_close(chapter.gradient(model, criterion, x, y), expected)
    left = [parameter.grad for parameter in model.parameters()]
    assert all(one is not None for one in left), "backward leaves the gradients in .grad"


def test_the_mean_of_the_halves_is_the_whole(chapter, ran):
    shown = ["tensor([-20.,  -8.]) tensor([-40.,  12.])", *["tensor([-30.,   2.])"] * 2]
    assert "\n".join(["", "3. The gradient of a half", *shown, ""]) in ran.out
    torch.manual_seed(0)
    model, criterion = torch.nn.Linear(5, 3), torch.nn.CrossEntropyLoss()
    x, y = torch.randn(12, 5), torch.arange(12) % 3
    whole = chapter.gradient(model, criterion, x, y)
    for n in (2, 3, 4):
        shares = [chapter.gradient(model, criterion, x[r::n], y[r::n]) for r in range(n)]
        torch.testing.assert_close(torch.stack(shares).mean(dim=0), whole)


def test_alone_ddp_changes_nothing(ran):
    heading = "5. What DistributedDataParallel adds to backward"
    assert f"\n{heading}\ntensor(0.)\ntensor(0.)\n" in ran.out


def test_batch_normalization_sees_the_half_only(chapter, ran):
    shown = float(re.search(r"\n6\. Batch normalization\ntensor\((.*)\)\n", ran.out)[1])
    assert shown > 0.01
    names = ran.names
    model = CNN().eval()
    images, labels = next(iter(DataLoader(names.train_set, batch_size=120)))
    half, other, whole = (
        chapter.gradient(model, names.criterion, images[part], labels[part])
        for part in (slice(0, None, 2), slice(1, None, 2), slice(None))
    )
    assert ((half + other) / 2 - whole).abs().max() < 1e-6 < shown, "in eval mode it would be"


def test_syncbatchnorm_needs_a_gpu(group):
    model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(torch.nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match="GPU"):
        model(torch.ones(3, 2))


# Shares of the images


def test_the_shares_that_the_page_shows(ran):
    lines = re.search(r"\n4\. Sharing the images\n(.*)\n(.*)\n(.*)\n", ran.out).groups()
    one, other = (eval(part + "]") for part in lines[0].removesuffix("]").split("] "))
    assert sorted(one + other) == list(range(8)) and len(one) == 4
    assert eval(lines[1]) == one, "without set_epoch, the same order"
    assert eval(lines[2]) != one


@pytest.mark.parametrize("processes", [2, 5])
def test_an_update_uses_the_same_images_however_many_processes(processes, ran):
    """Which loader rank gets which of them is by the turn."""
    alone = list(DistributedSampler(range(1000), 1, 0))
    shares = [list(DistributedSampler(range(1000), processes, rank)) for rank in range(processes)]
    for rank, share in enumerate(shares):
        assert share == alone[rank::processes]
    part = 50 // processes
    for i in range(20):
        batch = [index for share in shares for index in share[part * i : part * (i + 1)]]
        assert sorted(batch) == sorted(alone[50 * i : 50 * (i + 1)])
    ran.names.sampler.set_epoch(0)
    assert list(ran.names.sampler) == alone
    ran.names.sampler.set_epoch(1)


# Ctrl-C


@pytest.mark.parametrize("mine, others, expected", [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, 3, 1)])
def test_any_pressed_counts_the_notes_of_all(mine, others, expected, chapter, monkeypatch):
    """With a stand-in for the other processes, which have `others` notes together."""
    sent = []

    def all_reduce(tensor, *how):
        sent.append(tensor.item())
        tensor += others

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    answer = chapter.any_pressed([signal.SIGINT] * mine, CPU)
    assert sent == [mine], "each process must ask, whatever it has itself"
    assert answer == bool(expected)


def test_any_pressed_alone(chapter, group):
    assert not chapter.any_pressed([], CPU)
    assert chapter.any_pressed(["note"], CPU)


# Numbers of the prose, and the figure


def test_megabytes_and_gigabytes(ran):
    assert "\n0.179176 MB for each batch\n112 GB for 7 billion" in ran.out
    assert "\n14.0 GB on each of eight GPUs, with fully_shard\n" in ran.out
    assert 4 * parameters(CNN()).numel() / 1e6 == 0.179176
    assert 4 * 4 * 7e9 / 1e9 == 112 and 1e9 / 8 / 1e6 == 125
    model = torch.nn.Linear(10, 10)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 10)).sum().backward()
    optimizer.step()
    states = [tensor.numel() for tensor in optimizer.state[model.weight].values()]
    assert sorted(states)[-2:] == [100, 100], "two numbers for each parameter"
    assert hasattr(__import__("torch.distributed.fsdp").distributed.fsdp, "fully_shard")


def test_the_figure(ran, outputs):
    axes, *panels = ran.names.fig.axes
    ends = {text.get_text(): text.xy for text in axes.texts if text.get_text()}
    assert {name: tuple(map(float, end)) for name, end in ends.items()} == {
        "rank 0": (20, 8), "rank 1": (40, -12), "both": (30, -2)
    }  # fmt: skip
    order = list(DistributedSampler(range(1000), 1, 0))
    assert len(panels) == 35
    for n, panel in enumerate(panels):
        (image,) = panel.images
        assert (image.get_array() == ran.names.train_set[order[n]][0][0].numpy()).all()
        assert image.cmap.name == ("Oranges" if n % 2 else "Blues")
    assert_drawn(outputs / f"{NAME}.png")


@needs_cuda
def test_on_a_gpu(run, few_images, quick_figures, tmp_path):
    names = run(NAME, *FLAGS[:-2], "--device", "cuda", "--output-dir", tmp_path).names
    assert names.backend == ("nccl" if sys.platform == "linux" else "gloo")
    assert names.accuracy > 0.9
    assert next(names.model.parameters()).device == torch.device("cuda", 0)


# Several processes, by torchrun

FEW = """
import os, runpy, sys, torch
import torch.distributed as dist
sys.path.insert(0, sys.argv.pop(1))  # the tests' folder
import pytest
from conftest import keep_few_images

end = dist.destroy_process_group

def save_and_end():
    page = sys._getframe(1).f_globals
    content = {"model": page["model"].state_dict(), "updates": page["scheduler"].last_epoch}
    torch.save(content | {"threads": torch.get_num_threads()}, f"rank{os.environ['RANK']}.pt")
    end()

dist.destroy_process_group = save_and_end
open(f"pid{os.environ['RANK']}", "w").write(str(os.getpid()))
with pytest.MonkeyPatch.context() as patch:
    keep_few_images(patch)
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def by_torchrun(folder, *arguments):
    """What subprocess needs to start two processes in a folder by torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    env = {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    if sys.platform == "win32":
        env["USE_LIBUV"] = "0"  # pytorch#139990
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {
        "args": [*command, *map(str, arguments)],
        "cwd": folder,
        "env": inherited | env,
        "stdin": subprocess.DEVNULL,
        "encoding": "utf-8",
    }


@pytest.fixture
def few_by_torchrun(chapters_folder, tmp_path):
    """few_by_torchrun(flags): for two processes with a thousand images, see by_torchrun."""
    (tmp_path / "few.py").write_text(FEW, encoding="utf-8")
    script = chapters_folder / f"{NAME}.py"

    def how(*flags):
        output = ["--output-dir", tmp_path]
        return by_torchrun(tmp_path, "few.py", ROOT / "tests", script, *FLAGS, *output, *flags)

    return how


@pytest.mark.slow
def test_two_processes_learn_what_one_does(few_by_torchrun, ran, tmp_path):
    done = subprocess.run(**few_by_torchrun(), capture_output=True)
    assert done.returncode == 0, done.stderr
    for line in ["Chapter 13", "Device: cpu", "1. One script", "rank 0 of 2", "rank 1 of 2"]:
        assert done.stdout.count(line) == 1 + (not line.startswith("rank")), line
    for line in ["2. The process group\ntensor(3.)\n", "Figure:", "Accuracy:", "Epoch 2, "]:
        assert done.stdout.count(line) == 1, line

    shown = re.search(r"adds to backward\ntensor\((.*)\)\ntensor\((.*)\)\n", done.stdout)
    assert round(float(shown[1]), 1) == 0.2, "what the comment says"
    assert float(shown[2]) < 1e-6
    one, two = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for name, tensor in one["model"].items():
        if "running" not in name:  # DDP sends those before each batch, and not after the last one
            assert torch.equal(tensor, two["model"][name]), name
    assert (one["updates"], one["threads"]) == (two["updates"], two["threads"]) == (40, 1)

    saved = CNN()
    assert training.load_checkpoint(tmp_path / f"{NAME}.pt", saved) == 2
    assert all(torch.equal(one["model"][name], t) for name, t in saved.state_dict().items())
    accuracy = float(done.stdout.split("Accuracy: ")[1])
    assert accuracy == pytest.approx(ran.names.accuracy, abs=0.02)

    again = subprocess.run(**few_by_torchrun("--resume", "--epochs", 1), capture_output=True)
    assert again.stdout.count("\nEpoch 3, ") == 1 and "Epoch 2" not in again.stdout


@pytest.mark.slow
def test_two_processes_take_the_mean_of_their_gradients(few_by_torchrun, ran, tmp_path):
    """From the same parameters on, as a loop that calculates both halves in turn."""
    torch.manual_seed(1)
    model = CNN().to(memory_format=torch.channels_last)
    optimizer = recipe(model)
    training.save_checkpoint(tmp_path / f"{NAME}.pt", 0, model, optimizer)
    start = parameters(model)
    flags = ["--resume", "--epochs", 1, "--batch-size", 250]  # four updates: rounding errors grow
    done = subprocess.run(**few_by_torchrun(*flags), capture_output=True)
    assert done.returncode == 0, done.stderr
    found = CNN()
    found.load_state_dict(torch.load(tmp_path / "rank0.pt")["model"])
    how = {"epochs": 1, "processes": 2, "batch_size": 250}
    expected = learned_in_turn(ran.names.train_set, model, optimizer, **how)
    assert (parameters(found) - expected).norm() < 0.02 * (expected - start).norm()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("target", ["torchrun", "rank 1"])
def test_ctrl_c_saves_what_was_learned_and_ends_all(target, few_by_torchrun, tmp_path):
    """torchrun hands it to its processes one after the other; or only one of them gets it."""
    process = subprocess.Popen(
        **few_by_torchrun("--epochs", 10_000), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    said = ""
    try:
        for line in process.stdout:
            said += line
            if line.startswith("Epoch 3,"):
                pid = process.pid if target == "torchrun" else int((tmp_path / "pid1").read_text())
                os.kill(pid, signal.SIGINT)
        status = process.wait(timeout=60)
    finally:
        process.kill()
    assert said.count("Stopped. What was learned so far is kept.") == 1, said
    assert said.count("Accuracy:") == 1
    assert (status == 0) == (target == "rank 1")
    one, two = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert one["updates"] == two["updates"], "after the same batch"
    assert torch.equal(one["model"]["linear.weight"], two["model"]["linear.weight"])
    epochs = training.load_checkpoint(tmp_path / f"{NAME}.pt", CNN())
    assert 3 <= epochs < 10_000 and one["updates"] >= 20 * epochs
    for rank in (0, 1):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid{rank}").read_text()), 0)


@pytest.mark.slow
def test_a_wrong_flag_ends_all(few_by_torchrun):
    start = time.perf_counter()
    done = subprocess.run(**few_by_torchrun("--batch-size", 25), capture_output=True, timeout=60)
    assert done.returncode != 0
    assert "error: 2 processes can't share a batch of 25 evenly" in done.stderr
    assert time.perf_counter() - start < 60


@pytest.mark.slow
def test_two_processes_reach_99_percent(chapters_folder, chapter, last_lines, tmp_path):
    """As a reader runs them, on all images; the book has what one process reaches."""
    flags = ["--device", "cpu", "--output-dir", tmp_path / "outputs"]
    script = chapters_folder / f"{NAME}.py"
    done = subprocess.run(**by_torchrun(tmp_path, script, *flags), capture_output=True)
    assert done.returncode == 0, done.stderr
    last_lines(chapter, done.stdout)
    assert float(done.stdout.split("Accuracy: ")[1]) > 0.99
