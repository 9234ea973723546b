# %% [markdown]
# ## Exercises
#
# **1.** Ten samples and four processes: ten can't be divided by four. Which samples does each rank
# get, and how many together? Why is `test_loader` without a `DistributedSampler`?
#
# <details><summary>Answer</summary>

# %%
print(list(DistributedSampler(range(10), num_replicas=4, rank=0, shuffle=False)))
print(list(DistributedSampler(range(10), num_replicas=4, rank=1, shuffle=False)))
print(list(DistributedSampler(range(10), num_replicas=4, rank=2, shuffle=False)))
print(list(DistributedSampler(range(10), num_replicas=4, rank=3, shuffle=False)))

# %% [markdown]
# Three each, twelve together: samples 0 and 1 come twice, so that all processes have the same
# number of batches. Otherwise the last all-reduce would wait for a process that has no batch left.
# For training that hardly matters. An accuracy would be wrong, for two images would be counted
# twice.
#
# </details>
#
# **2.** One GPU, and a batch that doesn't fit its memory: how does a single process get the
# gradient of the whole batch from two halves? `backward` adds to `.grad` (chapter 3), and the loss
# is a mean. And what if the parts have three samples and one?
#
# <details><summary>Answer</summary>

# %%
line.zero_grad()
for part in [x[0::2], x[1::2]]:
    (mse(line(part), 2 * part) / 2).backward()
print("halves:      ", line.weight.grad, line.bias.grad)

line.zero_grad()
for part in [x[:3], x[3:]]:
    (mse(line(part), 2 * part) / 2).backward()
print("three and one:", line.weight.grad, line.bias.grad)

line.zero_grad()
for part in [x[:3], x[3:]]:
    (mse(line(part), 2 * part) * len(part) / len(x)).backward()
print("weighted:    ", line.weight.grad, line.bias.grad)

# %% [markdown]
# Both halves' gradients are added up, each divided by 2: that is the mean, $-30$ and $2$ as on the
# page. It is called **gradient accumulation**. What two processes do at the same time, one does in
# turn. With unequal parts the plain mean weighs the single sample three times as much as each of
# the others; with weights it is right again. DDP knows only the plain mean, so all processes need
# parts of the same size.
#
# </details>
#
# **3.** Two CPU cores: is it better to have one process that calculates with two threads, or two
# processes with one thread each? Estimate it in one process: how many images per second does it
# train with two threads and 128 images per batch, and with one thread and 64? Then run the chapter
# both ways and compare.
#
# <details><summary>Answer</summary>


# %%
def images_per_second(model, criterion, images, labels, threads):
    """Forward and backward pass, with `threads` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    gradient(model, criterion, images, labels)  # the first one takes longer
    start = time.perf_counter()
    for _ in range(20):
        gradient(model, criterion, images, labels)
    seconds = time.perf_counter() - start
    torch.set_num_threads(before)
    return 20 * len(images) / seconds


model.train()
batch, its_labels = next(iter(DataLoader(train_set, batch_size=128)))
batch, its_labels = batch.to(device), its_labels.to(device)
two_threads = images_per_second(model, criterion, batch, its_labels, threads=2)
one_thread = images_per_second(model, criterion, batch[:64], its_labels[:64], threads=1)
print(f"1 process, 2 threads: {two_threads:,.0f} images/s")
print(f"2 processes, 1 thread: up to {2 * one_thread:,.0f} images/s")

# %% [markdown]
# Where the book was written, three pairs of runs of the whole chapter gave 5,066 and 5,641, 5,429
# and 5,988, 5,476 and 5,890 images per second: two processes are about a tenth faster. When other
# programs used the two cores as well, it was 1.4 to 2.1 times (with `OMP_WAIT_POLICY=PASSIVE`: a
# waiting thread leaves its core to others). Threads share each step of the calculation, wait for
# one another at its end, and some steps aren't shared at all. Two processes wait once per batch,
# for the gradient. torchrun gives each of several processes one thread, unless `OMP_NUM_THREADS`
# says otherwise.
#
# </details>
#
# **Write it yourself:** `python -m practice start 13` gives you this chapter without the code that
# one types, and `python -m practice check 13` tells you within seconds what is right and what is
# wrong.
