# %% [markdown]
"""# Chapter 13 · Several GPUs, several machines (beyond the notes)

You will train one network with several processes, each on a GPU or a CPU core of its own, with a
part of every batch. You will see what they tell one another, and that their gradient is the one of
a single process. Then you will share a dataset among them, stop them together, and train chapter
10's network.

    python 13_several_gpus.py                              one process
    torchrun --nproc-per-node 2 13_several_gpus.py         two: the same batches, shared
    python 13_several_gpus.py --resume                     train for one more epoch

The last lines of a run:

    Figure:     outputs/13_several_gpus.png
    Accuracy: 0.99…
"""

# %%
from common import chapter, cli, plotting

args = chapter.begin(__doc__, epochs=1, lr=0.2, batch_size=128, device="auto", resume=False)

import os
import signal
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler
from torchvision import datasets, transforms

from common import training
from common.data import keep_in_memory, mnist_root

CNN = chapter.load(cli.ROOT / "10_mnist_cnn.py").CNN  # chapter 10's network

# %% [markdown]
# ## One script, several processes
#
# `torchrun` comes with PyTorch. It starts a script several times, each time as a **process** with a
# memory of its own. By environment variables it tells each process how many there are, the **world
# size**, and its own number, the **rank**, from 0 on. (On a cluster they may be set without it, and
# don't count.) Each process runs the whole page: with two of them, everything up to the line below
# appears twice. From here on only rank 0 prints.

# %%
rank, local_rank, world_size = 0, 0, 1
if dist.is_torchelastic_launched():  # by torchrun
    rank = int(os.environ["RANK"])
    local_rank = int(os.environ["LOCAL_RANK"])  # the number among those of its machine
    world_size = int(os.environ["WORLD_SIZE"])
print("rank", rank, "of", world_size)

# %% [markdown]
# ## The process group
#
# `init_process_group` waits until all processes are there, and connects them by a **backend**: gloo
# for CPUs, nccl for NVIDIA's GPUs under Linux. Each process takes a GPU of its own; without CUDA
# all share the CPU. An **all-reduce** adds up a tensor over the processes and gives all of them the
# sum. Every process must call it: one that calls it alone waits for the others.


# %%
def own_device(device, local_rank):
    """A GPU for each process of this machine, from the given one on; or the CPU for all."""
    if device.type != "cuda":
        return torch.device("cpu")
    number = (device.index or 0) + local_rank
    if number >= torch.cuda.device_count():
        raise cli.UserError(
            "there is no GPU {number}. Start fewer processes or use --device cpu.", number=number
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


device = own_device(args.device, local_rank)
backend = "nccl" if device.type == "cuda" and dist.is_nccl_available() else "gloo"
if world_size > 1:
    dist.init_process_group(backend)  # torchrun has set where they meet
else:
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # meets nobody

number = torch.tensor(rank + 1.0, device=device)
dist.all_reduce(number)
if rank == 0:
    print(number)  # with one process 1, with two 1 + 2 = 3

# %% [markdown]
# ## The gradient of a half
#
# The loss of a batch is a mean over its samples, and so is its gradient. Cut a batch into two
# halves of the same size: the mean of their gradients is the gradient of the whole. So several
# processes can share a batch: **data parallelism**. Below, the line $y = 0$ meets four points with
# $y = 2x$, and each gradient has two numbers, for its weight and its bias.
#
# ![Two processes average their gradients](docs/drawings/13_averaging.svg)


# %%
def gradient(model, criterion, x, y):
    """The gradient of the loss with respect to all parameters, in one row: (P,)."""
    model.zero_grad()
    criterion(model(x), y).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


line = torch.nn.Linear(1, 1)
torch.nn.init.zeros_(line.weight)
torch.nn.init.zeros_(line.bias)
x = torch.tensor([[1.0], [-2.0], [3.0], [-4.0]])
mse = torch.nn.MSELoss()
first = gradient(line, mse, x[0::2], 2 * x[0::2])
second = gradient(line, mse, x[1::2], 2 * x[1::2])
if rank == 0:
    print(first, second)
    print((first + second) / 2)
    print(gradient(line, mse, x, 2 * x))

# %% [markdown]
# ## Sharing the images
#
# A **sampler** gives a loader the indices of its samples. `DistributedSampler` shuffles them by a
# seed, the same in every process, and rank $r$ of $n$ gets every $n$-th one, from the $r$-th on.
# Below, two processes share eight samples. In the second epoch the order is the same: only
# `set_epoch` changes it. The images are chapter 7's, and the loader's `batch_size` is the part of
# this process: an update uses the same images however many processes there are.

# %%
one = DistributedSampler(range(8), num_replicas=2, rank=0)
other = DistributedSampler(range(8), num_replicas=2, rank=1)
if rank == 0:
    print(list(one), list(other))
    print(list(one))  # the next epoch
    one.set_epoch(1)
    print(list(one))

if args.batch_size % world_size != 0:
    raise cli.UserError(
        "{processes} processes can't share a batch of {images} evenly. "
        "Choose another --batch-size.",
        processes=world_size,
        images=args.batch_size,
    )
transform = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])
root = mnist_root()
train_set = datasets.MNIST(root=root, train=True, download=True, transform=transform)
test_set = datasets.MNIST(root=root, train=False, download=True, transform=transform)
keep_in_memory(train_set)
keep_in_memory(test_set)
sampler = DistributedSampler(train_set, seed=args.seed)  # it asks the process group for the rest
train_loader = DataLoader(train_set, batch_size=args.batch_size // world_size, sampler=sampler)
test_loader = DataLoader(test_set, batch_size=1000)

# %% [markdown]
# ## What DistributedDataParallel adds to backward
#
# `DistributedDataParallel` (**DDP**) wraps a network. First it gives all processes rank 0's
# parameters, so that they start equal. Then `backward` does one thing more: all-reduces average the
# gradients, while earlier layers still compute theirs. So all make the same update, and stay equal.
# Below, a linear layer and 120 images: how far is a process's gradient from that of the whole
# batch, without DDP and with it? Source: https://docs.pytorch.org/docs/stable/notes/ddp.html

# %%
images, labels = next(iter(DataLoader(train_set, batch_size=120)))  # for 2 to 6 processes, or 8
images, labels = images.to(device), labels.to(device)
mine = images[rank::world_size], labels[rank::world_size]
criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).to(device)
whole = gradient(linear, criterion, images, labels)
alone = gradient(linear, criterion, *mine)
averaged = gradient(DistributedDataParallel(linear), criterion, *mine)
if rank == 0:
    print((alone - whole).abs().max())  # with one process 0, with two 0.2
    print((averaged - whole).abs().max())  # rounding errors

# %% [markdown]
# ## Batch normalization
#
# Chapter 10's network normalizes by the mean of its batch, and half a batch has another mean. So
# the mean of the halves' gradients isn't that of the whole (in eval mode it would be). The network
# learns as well with the means of 64 images as with those of 128. Where a process has only a few,
# `torch.nn.SyncBatchNorm` takes the means over all processes, on GPUs only.

# %%
model = CNN().to(device)
half = gradient(model, criterion, images[0::2], labels[0::2])
other_half = gradient(model, criterion, images[1::2], labels[1::2])
whole = gradient(model, criterion, images, labels)
if rank == 0:
    print(((half + other_half) / 2 - whole).abs().max())

# %% [markdown]
# ## Network, optimizer, resume
#
# The recipe is chapter 10's, without augmentation. With `--resume` every process reads the same
# file, by `torch.load(…, map_location="cpu")` in `load_checkpoint`, and copies the numbers to its
# own device. Without `map_location`, a tensor returns to the device that it was saved from: all
# processes would fill the first GPU. The schedule begins a new cycle.

# %%
checkpoint = args.output_dir / "13_several_gpus.pt"
model = CNN().to(device)
if device.type == "cpu":
    model.to(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(
    model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4
)
epochs_done = training.load_checkpoint(checkpoint, model, optimizer) if args.resume else 0
parallel = DistributedDataParallel(model)
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=args.lr, total_steps=args.epochs * len(train_loader), cycle_momentum=False
)

# %% [markdown]
# ## Training, and Ctrl-C for all
#
# In chapter 10's loop three lines are new: `set_epoch`, the wrapper in the network's place, and
# `any_pressed`. At Ctrl-C torchrun sends a signal to its processes, one after the other. If one
# stopped at once, the others would wait for its gradient. So the signal is only noted in a list,
# and after each batch an all-reduce counts the notes of all: they stop together. An epoch that was
# stopped doesn't count; `--resume` begins it anew, with what was learned.


# %%
def any_pressed(pressed, device):
    """Whether one of the processes has something in its list; in all of them the same answer."""
    count = torch.tensor(len(pressed), device=device)
    dist.all_reduce(count)
    return count.item() > 0


pressed = []  # signal.signal names the function that Ctrl-C is to call, and returns the usual one
usual = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
for epoch in range(epochs_done, epochs_done + args.epochs):
    sampler.set_epoch(epoch)
    parallel.train()
    start = time.perf_counter()
    for i, data in enumerate(train_loader):
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)
        y_pred = parallel(inputs)
        loss = criterion(y_pred, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if rank == 0 and (i + 1) % 100 == 0:
            print(f"Batch {i + 1}/{len(train_loader)}, Loss: {loss.item():.4f}")
        stopped = any_pressed(pressed, device)
        if stopped:
            break
    if stopped:
        break
    epochs_done = epoch + 1
    speed = len(train_set) / (time.perf_counter() - start)
    if rank == 0:
        print(f"Epoch {epochs_done}, Loss: {loss.item():.4f}, {speed:,.0f} images/s")

# %% [markdown]
# ## Who saves
#
# All processes have the same parameters, so rank 0 alone saves them: two that write one file would
# spoil it. Then the group ends, and all but rank 0 end, too. What follows uses `model`, not the
# wrapper, which begins each forward pass by sending rank 0's running averages to the others.

# %%
if rank == 0:
    training.save_checkpoint(checkpoint, epochs_done, model, optimizer)
    if stopped:
        print("Stopped. What was learned so far is kept.")
signal.signal(signal.SIGINT, usual)
dist.destroy_process_group()
if rank > 0:
    raise SystemExit

# %% [markdown]
# ## Several machines, and larger models
#
# The same command starts the script on each machine, or **node**; the processes meet at an address:
#
#     torchrun --nnodes 2 --nproc-per-node 8 --rdzv-id 13 --rdzv-backend c10d \
#         --rdzv-endpoint first-machine:29400 13_several_gpus.py
#
# The whole gradient is sent for each batch, so the connection must be fast. And each GPU holds four
# numbers of four bytes for each parameter: itself, its gradient, Adam's two means.
# `torch.distributed.fsdp.fully_shard` cuts all that into **shards**, one for each GPU. A layer's
# parameters are gathered for its forward and backward pass only. Sources:
# https://docs.pytorch.org/docs/stable/elastic/run.html and
# https://docs.pytorch.org/tutorials/intermediate/FSDP_tutorial.html

# %%
parameters = sum(parameter.numel() for parameter in model.parameters())
print(4 * parameters / 1e6, "MB for each batch")  # 1 gigabit per second is 125 MB per second
print(16 * 7, "GB for 7 billion parameters on each GPU, with DDP and Adam")
print(16 * 7 / 8, "GB on each of eight GPUs, with fully_shard")

# %% [markdown]
# ## Results
#
# On the left, the halves' gradients of the third section, as steps downhill. Together the processes
# take the mean step. On the right, how two processes share the first images of the first epoch.

# %% tags=["hide-input"]
fig = plotting.figure(9, 3.8, args.show)
left, right = fig.subfigures(1, 2)
axes = left.subplots()
axes.set(xlim=(-2, 49), ylim=(-16, 16), xlabel="step of the weight", ylabel="step of the bias")
for name, color, step in [
    ("rank 0", plotting.BLUE, -first),
    ("rank 1", plotting.ORANGE, -second),
    ("both", "black", -(first + second) / 2),
]:
    axes.annotate("", step, (0, 0), arrowprops={"color": color, "width": 2, "headwidth": 9})
    axes.annotate(name, step, (4, 4), textcoords="offset points", color=color)
fig.suptitle("Two processes share the step and the images")
order = list(DistributedSampler(train_set, num_replicas=1, rank=0, seed=args.seed))
for n, axes in enumerate(right.subplots(5, 7).flat):
    axes.imshow(train_set[order[n]][0][0], cmap=["Blues", "Oranges"][n % 2])
    axes.set_axis_off()
plotting.finish(fig, args.output_dir / "13_several_gpus.png", args.show)

# %%
accuracy = training.test(model, test_loader, device)
