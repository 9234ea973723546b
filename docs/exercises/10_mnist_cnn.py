# %% [markdown]
# ## Exercises
#
# **1.** A convolution is a linear layer with most of its weights equal to 0 and the others shared.
# Write the 3 × 3 kernel of the second section as a matrix that maps the 25 pixels of the image to
# the 9 numbers of the result. How many of its 225 entries are not 0?
#
# <details><summary>Answer</summary>

# %%
units = torch.eye(25).view(25, 5, 5)  # images in which one pixel is 1
matrix = torch.stack([convolve(unit, kernel).flatten() for unit in units], dim=1)
print(matrix.shape, (matrix != 0).sum())
print((matrix @ image.flatten()).view(3, 3))

# %% [markdown]
# A linear map is determined by what it does to the unit vectors: that is the columns of its matrix.
# Each of the nine rows holds the kernel's six weights that are not 0, always the same ones, at
# another place: 54 in all. So a linear layer could learn each convolution. But it would have to
# find the zeros and the equal weights in the data, and the convolution has them from the start.
#
# </details>
#
# **2.** On how many rows of the image does one place of the last block's output depend? Work it out
# from the kernels and the pooling, then check it with the gradient of the numbers there, added up,
# with respect to the image.
#
# <details><summary>Answer</summary>

# %%
loaded.eval()
pixels = torch.randn(1, 1, 28, 28, device=device, requires_grad=True)
features = loaded.block3(loaded.block2(loaded.block1(pixels)))  # (1, 64, 3, 3)
features[0, :, 1, 1].sum().backward()
rows = pixels.grad[0, 0].abs().sum(dim=1).nonzero()
print("rows", rows.min().item(), "to", rows.max().item())

# %% [markdown]
# From the end: pooling takes 2 × 2 numbers, and the kernel of 3 before it 4 × 4. Pooling doubles
# that to 8, and the next kernel makes it 10; pooling again 20, and the kernel of 5 makes it 24.
# This is the **receptive field**: 24 of 28 pixels, where a single layer with a kernel of 5 sees
# five. The network is in eval mode, for the batch's mean would depend on every pixel.
#
# </details>
#
# **3.** A **residual connection** adds a block's input to its output: $y = x + f(x)$. Write a
# module that does so with ReLU, a convolution from 64 to 64 channels and batch normalization as
# $f$, and put it behind the third block. What does the whole network compute, if the batch
# normalization's weight and bias are 0 at the start?
#
# <details><summary>Answer</summary>


# %%
class Residual(torch.nn.Module):
    """y = x + f(x): (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.norm = torch.nn.BatchNorm2d(channels)
        torch.nn.init.zeros_(self.norm.weight)

    def forward(self, x):
        return x + self.norm(self.conv(torch.relu(x)))


deeper = load_model(args.output_dir / "10_mnist_cnn.pt", device)
deeper.block3.append(Residual(64).to(device))
accuracy_deeper = training.test(deeper, test_loader, device)
print("as before:", accuracy_deeper == accuracy)

# %% [markdown]
# At the start $f(x) = 0$, so the new network computes exactly what the old one does, and training
# goes on from there. The gradient reaches the layers before it unchanged through the $x$ in the
# sum: that is why networks of a hundred layers can be trained. `zeros_` sets the weight; the bias
# of a new batch normalization is 0 anyway. (With the ReLU as the last step of $f$ nothing would be
# learned: its gradient at 0 is 0.) Source: He and others, "Deep Residual Learning for Image
# Recognition", https://arxiv.org/abs/1512.03385
#
# </details>
#
# **4.** When does data augmentation pay? Train on a hundred batches without it and with it.
#
# <details><summary>Answer</summary>

# %%
for name in ["without", "with"]:
    torch.manual_seed(args.seed)
    fresh = CNN().to(device)
    optimizer = torch.optim.SGD(fresh.parameters(), lr=0.05, momentum=0.9)
    for i, (inputs, labels) in zip(range(100), train_loader, strict=False):
        inputs = augment(inputs) if name == "with" else inputs
        loss = criterion(fresh(inputs.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(name)
    training.test(fresh, test_loader, device)

# %% [markdown]
# At the beginning there is hardly a gain, or even a loss. The network sees each image only once, so
# it can't overfit, and the changed ones are harder. Augmentation pays later, when the
# same images come again and again, and most where there are few of them.
#
# </details>
#
# **Write it yourself:** `python -m practice start 10` gives you this chapter without the code that
# one types, and `python -m practice check 10` tells you within seconds what is right and what is
# wrong.
