# %% [markdown]
"""# Chapter 8 · Save, load and use a network · 多分类问题 (beyond the notes)

You will let a trained network predict digits that nobody has labelled: yours. You will load what
chapter 7 has saved, and bring a photo or a drawing into the form of MNIST's images. Then you will
measure how far the network's probabilities can be trusted.

    python 08_own_digits.py                  look at what the network does, and at its mistakes
    python 08_own_digits.py a.png photos/*   only say which digits these pictures show
    python 08_own_digits.py --checkpoint outputs/10_mnist_cnn.pt    chapter 10's network

The last lines of a run:

    Figure:     outputs/08_own_digits.png
    Accuracy: 0.97…
"""

# %%
from common import chapter, cli, plotting

parser = cli.parser(__doc__, device="auto")
parser.add_argument("pictures", nargs="*", type=cli.path, help="only say what each one shows")
parser.add_argument("--checkpoint", type=cli.path, help="network to use (default: chapter 7's)")
args = chapter.begin(parser, only={"pictures": "predict_files"})  # with pictures, only that

import numpy as np
import torch
import torchvision
from PIL import Image, ImageDraw
from torch.utils.data import DataLoader
from torchvision import transforms

from common import training
from common.data import keep_in_memory, mnist_root
from common.draw_page import write_draw_page
from common.pictures import find_ink, open_picture

MLP = chapter.load(cli.ROOT / "07_mnist_mlp.py")  # MLP.MNISTModel, MLP.softmax

# %% [markdown]
# ## The state dict
#
# What a network has learned is in its parameters; its class says what is done with them.
# `state_dict()` returns a dictionary from names to tensors. The names are those of the attributes
# in `__init__`: `self.linear1` has a `weight` and a `bias`.

# %%
model = MLP.MNISTModel()
for name, tensor in model.state_dict().items():
    print(name, tensor.shape)

# %% [markdown]
# ## Save and load
#
# `torch.save` writes the dictionary to a file, a **checkpoint**. To get the network back you need
# both halves: a new object of the class, whose parameters are random, and the file to fill it with.
# The format, **pickle**, can also name functions to be called, so a stranger's file could run any
# code. `weights_only=True` loads tensors and plain data, and refuses the rest.

# %%
path = args.output_dir / "08_copy.pt"
torch.save(model.state_dict(), path)
copy = MLP.MNISTModel()
print(torch.equal(copy.linear5.bias, model.linear5.bias))
copy.load_state_dict(torch.load(path, weights_only=True))
print(torch.equal(copy.linear5.bias, model.linear5.bias))

# %% [markdown]
# ## Another class, another device
#
# `load_state_dict` compares names and shapes. Where they differ, it raises an error: **missing**
# keys are those that the class has and the file lacks, **unexpected** ones are the opposite. The
# file also says on which device each tensor was. On a computer without that device, loading fails;
# `map_location` names another one to use instead (here "meta", as in chapter 7).

# %%
try:
    torch.nn.Linear(784, 10).load_state_dict(torch.load(path, weights_only=True))
except RuntimeError as error:
    print(error)
state = torch.load(path, map_location="meta", weights_only=True)
print(state["linear5.bias"])
path.unlink()

# %% [markdown]
# ## Ready for use: eval
#
# Some layers do one thing in training and another in prediction: **dropout** sets inputs to 0, each
# with probability $p$, and divides the others by $1 - p$, but only in training mode. A new object
# is in training mode, even after loading. So call `eval()` before you use it. `load_network` does
# all of this, with the class that fits the checkpoint, chapter 7's or chapter 10's.

# %%
dropout = torch.nn.Dropout(p=0.5)
print(dropout(torch.ones(8)))
dropout.eval()
print(dropout(torch.ones(8)))


def load_network(path, device):
    """The trained network of chapter 7 or 10. Raises UserError if the file holds neither."""
    training.read_checkpoint(path)  # a clear error if it isn't a checkpoint
    for name in ["07_mnist_mlp.py", "10_mnist_cnn.py"]:
        try:
            model = chapter.load(cli.ROOT / name).load_model(path, "cpu")
        except (RuntimeError, AttributeError):  # not this class's state dict
            continue
        return model.to(device).eval()
    raise cli.UserError(
        "{path} belongs to another model: expected 07_mnist_mlp.pt or the like.", path=path
    )


checkpoint = args.checkpoint or args.output_dir / "07_mnist_mlp.pt"
model = load_network(checkpoint, args.device)
print(f"Checkpoint: {cli.display_path(checkpoint)}")

# %% [markdown]
# ## From a picture to MNIST's form
#
# A network predicts well only for inputs like those that it was trained on. So a picture first has
# to take the form of MNIST's images: that is **preprocessing**. MNIST's digits are light on black,
# scaled to fit a box of 20 × 20 pixels, and centred in a field of 28 × 28. Below, a seven is drawn
# in blue on a yellow sheet. Ink is what differs from the paper. So take the distance of each
# pixel's colour from that of a corner, and divide by the largest: 0 is paper, 1 is ink.
#
# ![The way to MNIST's form](docs/drawings/08_to_mnist.svg)

# %%
sheet = Image.new("RGB", (300, 200), "lightyellow")  # width, height
seven = [(112, 58), (186, 50), (148, 150)]
ImageDraw.Draw(sheet).line(seven, fill="navy", width=12, joint="curve")
pixels = np.asarray(sheet) / 255  # (200, 300, 3): rows, columns, and red, green, blue
print("paper", pixels[0, 0], "ink", pixels[50, 186])  # row 50, column 186

distance = np.linalg.norm(pixels - pixels[0, 0], axis=-1)  # (200, 300)
ink = distance / distance.max()
print(ink[0, 0], ink[50, 186])

# %% [markdown]
# ## Photos
#
# On a photo the light, and so the paper's colour, changes from side to side, and there are specks
# and frames. `find_ink`, from common/pictures.py, treats the colour of most of the border as paper,
# and fits a plane to its colours (chapter 3's least squares). Here it finds the same ink.

# %%
found = find_ink(pixels)
print(((found > 0.5) == (ink > 0.5)).all())

# %% [markdown]
# ## Scale and centre
#
# `to_mnist` first makes large photos smaller and tiny pictures larger. It cuts out the rectangle
# around the ink and scales its longer side to 20 pixels. Then it places the digit with its **centre
# of mass**, the mean position of the ink, at row and column 14. (http://yann.lecun.com/exdb/mnist)


# %%
def centre_of_mass(profile):
    """The mean position of the ink, from how much of it is at each position: (L,) -> a number."""
    return np.average(np.arange(len(profile)), weights=profile)


def to_mnist(image):
    """A picture of one digit -> (28, 28) float32, light on black, 0 to 1, as in MNIST.

    Raises ValueError if the picture shows none.
    """
    longer = max(image.size)
    enlarge = min(max(longer, 140), 280) / longer
    size = [max(1, round(enlarge * side)) for side in image.size]
    how = Image.Resampling.BOX if enlarge < 1 else Image.Resampling.BILINEAR
    ink = find_ink(np.asarray(image.convert("RGB").resize(size, how)) / 255)

    y, x = np.nonzero(ink > 0.25)
    ink = ink[y.min() : y.max() + 1, x.min() : x.max() + 1]
    scale = 20 / max(ink.shape)
    height, width = [max(1, round(scale * side + 1e-6)) for side in ink.shape]  # halves go up
    digit = Image.fromarray(ink.astype(np.float32))
    digit = np.asarray(digit.resize((width, height), Image.Resampling.BILINEAR))

    y = centre_of_mass(digit.sum(axis=1))
    x = centre_of_mass(digit.sum(axis=0))
    top = min(max(round(14 - y + 1e-6), 0), 28 - height)
    left = min(max(round(14 - x + 1e-6), 0), 28 - width)
    field = np.zeros((28, 28), dtype=np.float32)
    field[top : top + height, left : left + width] = digit / digit.max()
    return field


field = to_mnist(sheet)
print(field.shape, field.min(), field.max())
print("centre of mass", centre_of_mass(field.sum(axis=1)), centre_of_mass(field.sum(axis=0)))

# %% [markdown]
# ## The probability of each digit
#
# `TRANSFORM` is chapter 7's: inputs must be standardized as the training images were. Softmax turns
# logits into probabilities. `predict_files` answers for each picture on the command line.

# %%
TRANSFORM = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])


def predict(model, images):
    """The probability of each digit: transformed images (N, 1, 28, 28) -> (N, 10)."""
    model.eval()
    with torch.no_grad():
        return MLP.softmax(model(images))


def predict_files(args):
    """Print which digit each picture shows. Raises UserError that names those without an answer."""
    checkpoint = args.checkpoint or args.output_dir / "07_mnist_mlp.pt"
    model = load_network(checkpoint, args.device)
    print(f"Checkpoint: {cli.display_path(checkpoint)}")
    problems = []
    for path in cli.expand(args.pictures):
        try:
            image = TRANSFORM(to_mnist(open_picture(path)))  # (1, 28, 28)
            p = predict(model, image.unsqueeze(0).to(args.device))[0].cpu()  # (10,)
            first, second = p.argsort(descending=True)[:2].tolist()
            print(f"{path}: {first} ({p[first]:.1%}; next {second}, {p[second]:.1%})")
        except ValueError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise cli.UserError("no answer for\n{problems}", problems="\n".join(problems))


image = TRANSFORM(field)  # (1, 28, 28)
p = predict(model, image.unsqueeze(0).to(args.device)).cpu()  # (1, 10)
print(p.argmax(), p.max())

# %% [markdown]
# ## Mistakes: the confusion matrix
#
# What does the network take for what? Row 4, column 9 of the **confusion matrix**, counted from 0,
# says how many fours were predicted as nines. On the diagonal are the right predictions.

# %%
test_set = torchvision.datasets.MNIST(mnist_root(), train=False, download=True, transform=TRANSFORM)
keep_in_memory(test_set)
test_loader = DataLoader(test_set, batch_size=1000)
accuracy = training.test(model, test_loader, args.device)

batches = [predict(model, inputs.to(args.device)).cpu() for inputs, _ in test_loader]
probabilities = torch.cat(batches)  # (10000, 10)
confidence, predicted = probabilities.max(dim=1)  # (10000,), (10000,)
labels = test_set.targets
wrong = predicted != labels
counts = torch.bincount(10 * labels + predicted, minlength=100).view(10, 10)  # 4 as 9: cell 49
print(counts)

# %% [markdown]
# ## Confidence and calibration
#
# The probability of the predicted digit is the network's **confidence**, and no guarantee. A model
# is **calibrated** if it is right as often as it says: in 95 % of the cases in which its confidence
# is 95 %, and so on. Its mistakes then number about $\sum_i (1 - p_i)$, with $p_i$ the confidence
# for image $i$. If there are more, it is **overconfident**, as networks often are.

# %%
print(f"mistakes to be expected: {(1 - confidence).sum():.0f}")
print(f"mistakes made: {wrong.sum()}")

group = (confidence > 0.9) & (confidence < 0.99)
print(f"images with a confidence from 90 % to 99 %: {group.sum()}")
print(f"their mean confidence: {confidence[group].mean():.4f}")
print(f"the share that is right: {1 - wrong[group].double().mean():.4f}")

# %% [markdown]
# ## A page to draw on
#
# A network is no more than its numbers and a few loops. So it can leave Python: `write_draw_page`
# writes a web page with the numbers inside. Open it in a browser and draw a digit.

# %%
page = args.output_dir / "08_draw.html"
write_draw_page(model, page)
print(f"Draw:       {cli.display_path(page)}")

# %% [markdown]
# ## Results
#
# How the drawn seven becomes an image like MNIST's, the confusion matrix, and the ten mistakes with
# the highest confidence. Some of those would puzzle a person, too.

# %% tags=["hide-input"]
worst = wrong.nonzero().flatten()
worst = worst[confidence[worst].argsort(descending=True)][:10]

fig = plotting.figure(10, 6.5, args.show)
top, bottom = fig.subfigures(2, 1, height_ratios=[2, 4])
box = found[np.ix_(found.any(axis=1), found.any(axis=0))]
steps = [sheet, found, box, field]
titles = ["The picture", "Its ink", "Cut out", f"28 × 28: {p.argmax()} ({p.max():.1%})"]
for step, title, axes in zip(steps, titles, top.subplots(1, 4), strict=True):
    axes.imshow(step, cmap="gray")
    axes.set_title(title, loc="center")
    axes.set_axis_off()
left, right = bottom.subfigures(1, 2)
matrix = left.subplots()
mistakes = counts * (1 - torch.eye(10))
matrix.imshow(mistakes, cmap="Oranges", vmax=max(1, 1.3 * mistakes.max()))
for true, other in counts.nonzero().tolist():
    matrix.text(other, true, counts[true, other].item(), fontsize=8, ha="center", va="center")
matrix.set(xticks=range(10), yticks=range(10), xlabel="predicted digit", ylabel="true digit")
matrix.set_title(f"{wrong.sum()} of {len(wrong):,} test images are misclassified")
matrix.grid(False)
right.suptitle("The mistakes with the highest confidence: true → predicted", fontsize=11)
for i, axes in zip(worst, right.subplots(2, 5).flat, strict=False):
    axes.imshow(test_set.data[i], cmap="gray_r")
    axes.set_title(f"{labels[i]} → {predicted[i]}\n{confidence[i]:.1%}", fontsize=9, loc="center")
    axes.set_axis_off()
plotting.finish(fig, args.output_dir / "08_own_digits.png", args.show)

# %%
print(f"Accuracy: {accuracy:.4f}")
