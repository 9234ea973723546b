# %% [markdown]
"""# Chapter 10 · A convolutional network on MNIST · 卷积神经网络 (beyond the notes)

You will compute a convolution by hand, follow the shapes through channels, padding, stride and
pooling, and see what batch normalization does. Of these you will build a convolutional neural
network (CNN), which looks at small patches of an image, everywhere with the same weights. It has a
thirteenth of chapter 7's parameters and makes a quarter of its mistakes or fewer.

    python 10_mnist_cnn.py                  train for 4 epochs
    python 10_mnist_cnn.py --epochs 1       only one: 99 %
    python 08_own_digits.py --checkpoint outputs/10_mnist_cnn.pt    then: use it as in chapter 8

The last lines of a run:

    Figure:     outputs/10_mnist_cnn.png
    Accuracy: 0.99…
"""

# %%
from common import chapter, plotting

args = chapter.begin(__doc__, epochs=4, lr=0.2, batch_size=128, device="auto")

import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision import transforms
from tqdm import tqdm

from common import training
from common.data import keep_in_memory, mnist_root

# %% [markdown]
# ## Neighbours
#
# To a linear layer an image is a row of 784 numbers, in any order: chapter 7's network would learn
# shuffled pixels just as well (its exercise 3). It doesn't know that pixel 30 lies beside pixel 31
# and below pixel 2, so it must learn each stroke anew at each place where it can occur. A
# **convolutional** layer looks for a small pattern, and for the same one everywhere. So it needs
# few weights: below, chapter 7's first layer has 784 · 512, and this chapter's 24 · 5 · 5.

# %%
print(torch.nn.Linear(784, 512).weight.numel())
print(torch.nn.Conv2d(1, 24, kernel_size=5).weight.numel())

# %% [markdown]
# ## A convolution by hand
#
# The pattern is the **kernel**, or filter, a small matrix of weights. It slides over the image. At
# each place the pixels under it are multiplied by its weights and added up (mathematicians call
# that a cross-correlation). A large sum says "here it is". This kernel responds to edges with the
# light on their right.
#
# ![A convolution](docs/drawings/10_convolution.svg)


# %%
def convolve(image, kernel):
    """The sum of products at each place of the kernel: (H, W), (K, K) -> (H - K + 1, W - K + 1)."""
    size = len(kernel)
    height, width = image.shape[0] - size + 1, image.shape[1] - size + 1
    output = torch.zeros(height, width)
    for y in range(height):
        for x in range(width):
            output[y, x] = (image[y : y + size, x : x + size] * kernel).sum()
    return output


image = torch.tensor([
    [0.0, 0.0, 1.0, 1.0, 1.0],
    [0.0, 0.0, 1.0, 1.0, 1.0],
    [0.0, 0.0, 1.0, 1.0, 1.0],
    [0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0],
])
kernel = torch.tensor([
    [-1.0, 0.0, 1.0],
    [-1.0, 0.0, 1.0],
    [-1.0, 0.0, 1.0],
])
print(convolve(image, kernel))

# %% [markdown]
# ## nn.Conv2d
#
# `Conv2d` does the same, much faster, and learns its kernel. Its input has the shape (batch,
# channels, height, width). **Channels** are images of the same size, stacked like sheets of paper:
# a grey image has one, a colour photo three, and a layer gives one for each of its kernels, called
# a **feature map**. A kernel spans all input channels and adds up over them, so `weight` has the
# shape (out, in, K, K); and each kernel has a bias.
#
# ![Channels](docs/drawings/10_channels.svg)

# %%
conv = torch.nn.Conv2d(1, 1, kernel_size=3, bias=False)
conv.weight.data = kernel.view(1, 1, 3, 3)
print(conv(image.view(1, 1, 5, 5)))  # as by hand

conv = torch.nn.Conv2d(3, 8, kernel_size=3)
print(conv.weight.shape, conv.bias.shape)  # 8 · (3 · 3 · 3 + 1) = 224 parameters

# %% [markdown]
# ## Padding, stride, pooling
#
# A kernel of size $K$ fits into $n$ pixels at $n - K + 1$ places. **Padding** adds $p$ zeros on
# each side; with an odd $K$ and $p = (K - 1) / 2$ the size stays the same. With a **stride** $s$
# the kernel moves by $s$ pixels, and $\lfloor (n + 2p - K) / s \rfloor + 1$ places are left.
#
# **Max pooling** keeps the largest of each 2 × 2 pixels: where exactly a stroke was found matters
# less than that it was found. Half the size also means that the next kernel sees twice as far.
#
# ![Max pooling](docs/drawings/10_pooling.svg)

# %%
x = torch.zeros(64, 1, 28, 28)  # a batch of images
print(torch.nn.Conv2d(1, 24, kernel_size=5)(x).shape)  # 28 - 5 + 1 = 24
print(torch.nn.Conv2d(1, 24, kernel_size=5, padding=2)(x).shape)
print(torch.nn.Conv2d(1, 24, kernel_size=5, padding=2, stride=2)(x).shape)
print(torch.nn.MaxPool2d(2)(x).shape)

x = torch.tensor([[[[1.0, 2.0, 0.0, 0.0], [3.0, 4.0, 0.0, 5.0]]]])  # (1, 1, 2, 4)
print(torch.nn.MaxPool2d(2)(x))

# %% [markdown]
# ## Batch normalization
#
# While a layer learns, the scale of its outputs changes, and the next layer has to follow. **Batch
# normalization** standardizes each channel (chapter 5), with the mean $\mu$ and the variance
# $\sigma^2$ of all its pixels in the batch. Then it applies a weight $\gamma$ and a bias $\beta$,
# which are learned: $y = \gamma (x - \mu) / \sigma + \beta$. With such inputs, higher learning
# rates work. In eval mode the prediction for an image must not depend on the others in its batch:
# there it uses **running averages** of $\mu$ and $\sigma^2$, which begin at 0 and 1, and which
# each batch moves a tenth of the way. Source: Ioffe and Szegedy, https://arxiv.org/abs/1502.03167

# %%
norm = torch.nn.BatchNorm2d(1)
x = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(4, 1, 1, 1)  # four images of one pixel
print((x - x.mean()).view(4) / x.var(correction=0).sqrt())  # divided by n, not by n - 1
print(norm(x).view(4))
print(norm.running_mean, norm.running_var)  # a tenth of the way: 0 to 3, and 1 to x.var() = 4.67
norm.eval()
print(norm(x).view(4))  # other numbers: by the running averages

# %% [markdown]
# ## The network
#
# Three times convolution, batch normalization, ReLU, pooling: the image gets smaller, the channels
# more. The first layer finds edges, the next ones what edges form. Finally a linear layer weighs
# the 64 · 3 · 3 numbers that are left. `Sequential` runs its layers one after the other, and
# `block` saves us from writing four lines three times.
#
# ![The shapes in the network](docs/drawings/10_network.svg)


# %%
def block(inputs, outputs, kernel_size):
    """Convolution, batch norm, ReLU, pooling: (N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2),
        torch.nn.BatchNorm2d(outputs),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
    )


class CNN(torch.nn.Module):
    """Three blocks and a linear layer: images (N, 1, 28, 28) -> logits (N, 10)."""

    def __init__(self):
        super().__init__()
        self.block1 = block(1, 24, kernel_size=5)
        self.block2 = block(24, 48, kernel_size=3)
        self.block3 = block(48, 64, kernel_size=3)
        self.flatten = torch.nn.Flatten()
        self.linear = torch.nn.Linear(64 * 3 * 3, 10)

    def forward(self, x):
        x = self.block1(x)  # (N, 24, 14, 14)
        x = self.block2(x)  # (N, 48, 7, 7)
        x = self.block3(x)  # (N, 64, 3, 3): 7 is odd; the last row and column drop out
        x = self.flatten(x)  # (N, 576)
        x = self.linear(x)
        return x


model = CNN()
model.eval()  # these zeros should not enter the running averages
x = torch.zeros(64, 1, 28, 28)
print(model.block1(x).shape)
print(model.block2(model.block1(x)).shape)
print(model.block3(model.block2(model.block1(x))).shape)
print(model(x).shape)
print(sum(parameter.numel() for parameter in model.parameters()), "parameters")  # MLP: 575,050

# %% [markdown]
# ## Images, loss, optimizer, schedule
#
# Images and loaders are chapter 7's; the loss and the one-cycle schedule are chapter 9's: with
# label smoothing the loss can't fall below 0.50. New in SGD are two settings. **Nesterov** momentum
# computes the gradient where the next step along the velocity would end. **Weight decay** adds
# `weight_decay * weight` to each gradient: every step pulls the weights a little towards 0, and
# none gets large without need. And `channels_last` stores the channels of a pixel side by side. The
# numbers and shapes stay the same, but on a CPU convolutions take about two thirds of the time.

# %%
transform = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])
root = mnist_root()
train_set = torchvision.datasets.MNIST(root=root, train=True, download=True, transform=transform)
test_set = torchvision.datasets.MNIST(root=root, train=False, download=True, transform=transform)
keep_in_memory(train_set)
keep_in_memory(test_set)
train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
test_loader = DataLoader(test_set, batch_size=1000)

device = args.device
model.to(device)
if device.type == "cpu":
    model.to(memory_format=torch.channels_last)
criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(
    model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4
)
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=args.lr, total_steps=args.epochs * len(train_loader), cycle_momentum=False
)

# %% [markdown]
# ## Data augmentation
#
# A digit stays the same if it is turned, scaled or moved a little. **Data augmentation** shows the
# network each image in another form in every epoch. `affine_grid` computes for each pixel of the
# new image where it comes from in the old one, from a 2 × 3 matrix: rotation and scale, and in the
# last column the shift (the image reaches from -1 to 1, so a pixel is 1/14). `grid_sample` fetches
# it from there. With three seeds the mean accuracy rose from 0.9945 to 0.9952, which may be chance.


# %%
def augment(images):
    """Each image turned by up to 10 degrees, scaled by up to 10 %, moved by up to a pixel."""
    n = len(images)
    angle, scale, x, y = 2 * torch.rand(4, n) - 1  # (n,) each, from -1 to 1
    angle, scale = angle * torch.pi / 18, 1 + 0.1 * scale  # 10 degrees in radians
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([cos, -sin, x / 14, sin, cos, y / 14], dim=1).view(n, 2, 3)
    grid = torch.nn.functional.affine_grid(matrix, images.shape, align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


print(augment(train_set[0][0].unsqueeze(0)).shape)

# %% [markdown]
# ## Training and testing · 训练过程
#
# Chapter 7's loop, with augmented inputs, and after each update a step of the schedule. It prints
# the loss of the last batch, which goes up and down. `test` switches to eval mode, so each epoch
# begins with `model.train()`. We only watch the test accuracy, and choose nothing by it.

# %%
try:
    for epoch in range(args.epochs):
        model.train()
        for i, data in enumerate(tqdm(train_loader, leave=False, disable=None)):
            inputs, labels = data
            inputs, labels = augment(inputs).to(device), labels.to(device)
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        print(f"Epoch {epoch + 1}/{args.epochs}, Loss: {loss.item():.4f}")
        training.test(model, test_loader, device)
except KeyboardInterrupt:
    print("Stopped. What was learned so far is kept.")
training.check_finite(model)
torch.save(model.state_dict(), args.output_dir / "10_mnist_cnn.pt")

# %% [markdown]
# ## Load it again
#
# As in chapters 7 and 8. The file also holds the running averages: they belong to the state dict,
# though they are no parameters, and in eval mode the network needs them.


# %%
def load_model(path, device):
    """The network with the parameters that torch.save has written to a file."""
    model = CNN().to(device)
    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    return model


loaded = load_model(args.output_dir / "10_mnist_cnn.pt", device)
accuracy = training.test(loaded, test_loader, device)
print(loaded.state_dict()["block1.1.running_mean"][:4])

# %% [markdown]
# ## Results
#
# What has the first layer learned? On the left its 24 kernels, positive weights in red, negative
# ones in blue. On the right their feature maps of a digit, after batch normalization and ReLU.

# %% tags=["hide-input"]
digit, label = test_set[0]
with torch.no_grad():
    maps = loaded.block1[:3](digit.unsqueeze(0).to(device))[0].cpu()  # (24, 28, 28)
kernels = loaded.block1[0].weight.detach().cpu()[:, 0]  # (24, 5, 5)

fig = plotting.figure(10, 2.9, args.show)
left, middle, right = fig.subfigures(1, 3, width_ratios=[4, 3, 4])
left.suptitle("24 kernels of 5 × 5 weights", fontsize=11)
middle.suptitle(f"A digit, {label}", fontsize=11)
right.suptitle("Its 24 feature maps", fontsize=11)
middle.subplots().imshow(digit[0], cmap="gray")
limit = kernels.abs().max()
for weights, features, axes, beside in zip(
    kernels, maps, left.subplots(4, 6).flat, right.subplots(4, 6).flat, strict=True
):
    axes.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
    beside.imshow(features, cmap="gray")
for axes in fig.axes:
    axes.set_axis_off()
plotting.finish(fig, args.output_dir / "10_mnist_cnn.png", args.show)

# %%
print(f"Accuracy: {accuracy:.4f}")
