# %% [markdown]
"""# Own digits · 多分类问题 (beyond the notes)

What is a trained network good for? Chapter 7's predicts digits that nobody has labelled: yours.
Write one on paper and take a photo, or draw it in a paint program. You will bring such an image
into the form of MNIST's, and measure how far the network's probabilities can be trusted.

    python own_digits.py                  measure the network that chapter 7 has trained
    python own_digits.py a.png b.jpg      only answer which digits these images show

The last lines of a run:

    Figure:     outputs/own_digits.png
    Accuracy: 0.97…
"""

# %%
from pathlib import Path

from common import chapter, cli, plotting

parser = cli.parser(__doc__, device="auto")
what = "only answer which digit each of these images shows"
parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help=what)
args = chapter.begin(parser)
if args.images:  # with the functions that are defined below
    chapter.load(cli.ROOT / "own_digits.py").predict_files(args)
    raise SystemExit(0)

import warnings

import numpy as np
import torch
import torchvision
from PIL import Image, ImageDraw, ImageFilter, ImageOps, UnidentifiedImageError
from torch.utils.data import DataLoader
from torchvision import transforms

from common import training
from common.data import keep_in_memory, mnist_root

MLP = chapter.load(cli.ROOT / "07_mnist_mlp.py")  # MLP.softmax, …

# %% [markdown]
# ## From a picture to MNIST's form
#
# A network predicts well only for inputs like those that it was trained on. So a photo or a drawing
# first has to take the form of MNIST's images; such a step is called **preprocessing**. MNIST's
# digits are light on black. Each was scaled to fit a box of 20 × 20 pixels. It stands in a field of
# 28 × 28, with its **centre of mass**, the mean position of its ink, in the middle. The next
# sections do the same to a seven, drawn in blue on a yellow sheet.

# %%
BOX = 20  # http://yann.lecun.com/exdb/mnist
SIDE = 28

sheet = Image.new("RGB", (300, 200), "lightyellow")  # width, height
corners = [(112, 58), (186, 50), (148, 150)]
ImageDraw.Draw(sheet).line(corners, fill="navy", width=12, joint="curve")
print(np.asarray(sheet).shape)  # rows, columns, and red, green, blue
print("paper", sheet.getpixel((0, 0)), "ink", sheet.getpixel((186, 50)))

# %% [markdown]
# ## Find the ink
#
# Ink is what differs from the paper. `color_distance` says by how much: 0 for equal colours, 1 for
# black and white. But a photo's paper is lighter on one side than on the other. So `find_ink` fits
# a plane to the colours along the border, by least squares (chapter 3), and takes the distance from
# that. The paper itself differs from the plane a little, too: that is **noise**, and becomes 0. The
# strongest ink becomes 1.

# %%
FAINTEST = 0.02  # of the way from black to white: anything nearer to the background belongs to it
FLAT = 0.1  # an image without any greater contrast shows nothing


def color_distance(colors, other):
    """How far colours (…, 3) are from others, 0 to 1: black and white are 1 apart."""
    return np.linalg.norm(colors - other, axis=-1) / np.sqrt(3)


def find_ink(pixels):
    """Colours (H, W, 3) in 0…1 -> how far each differs from the background (H, W), 0…1."""
    height, width, _ = pixels.shape
    y, x = np.mgrid[0:height, 0:width]
    plane = np.stack([np.ones_like(x), x / width, y / height], axis=-1)  # (H, W, 3)
    margin = max(1, min(height, width) // 28)
    border = np.ones((height, width), dtype=bool)
    border[margin:-margin, margin:-margin] = False

    # Ink that touches the border must not bend the plane: fit it to the usual colours only.
    distance = color_distance(pixels, np.median(pixels[border], axis=0))
    paper = border & (distance <= max(FLAT, 2 * np.median(distance[border])))
    coefficients, *_ = np.linalg.lstsq(plane[paper], pixels[paper], rcond=None)

    distance = color_distance(pixels, plane @ coefficients)
    noise = np.quantile(distance[paper], 0.98)
    strongest = np.quantile(distance[distance >= distance.max() / 2], 0.9)
    if strongest < max(FLAT, 3 * noise):
        raise ValueError(
            "it shows no digit. Expected one, on a plain background and nothing around it."
        )
    threshold = max(FAINTEST, min(3 * noise, strongest / 2))
    return np.where(distance > threshold, np.minimum(distance / strongest, 1), 0)


ink = find_ink(np.asarray(sheet) / 255)
print(ink.shape, ink.min(), ink.max())

# %% [markdown]
# ## Frames, tables, transparency
#
# Images show more than ink and paper. A scan has a frame, and a photo the table beside the sheet.
# `cut_edge` removes such an edge at the top. A paint program may leave the paper **transparent**: a
# fourth channel, **alpha**, says how opaque each pixel is. `make_opaque` puts a sheet behind it, a
# dark one behind light ink. Below, the drawing gets a frame of 20 pixels, and its top is cut off.


# %%
def cut_edge(pixels):
    """Colours (H, W, 3) without what runs along the top, if something does.

    It shows as a sudden change of the rows' usual colour near the top to one that lasts.
    """
    rows = np.median(pixels, axis=1)  # (H, 3); a digit covers less than half of most rows
    near = max(1, len(rows) // 50)
    changes = np.flatnonzero(color_distance(rows[near:], rows[:-near]) > FLAT)
    changes = changes[changes < len(rows) // 4]
    if len(changes) and color_distance(rows[0], np.median(rows, axis=0)) > FLAT:
        return pixels[changes[-1] + 2 * near :]
    return pixels


def make_opaque(image):
    """RGB; behind transparent parts the paper's colour, or what contrasts with ink alone."""
    if image.mode.startswith(("I", "F")):  # 16 bits or more: stretched to the 8 of the others
        values = np.asarray(image, dtype=np.float64)
        values = (values - values.min()) / max(np.ptp(values), 1e-9)
        image = Image.fromarray((255 * values).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    pixels = np.asarray(image)  # (H, W, 4)
    opaque = pixels[pixels[..., 3] > 127, :3]  # (N, 3)
    behind = (255, 255, 255)
    if len(opaque):
        usual = np.median(opaque, axis=0)
        contrast = np.quantile(color_distance(opaque / 255, usual / 255), 0.99)
        if contrast > FLAT:  # paper and ink, cut out
            behind = tuple(int(channel) for channel in usual)
        elif usual.mean() > 127:  # light ink
            behind = (0, 0, 0)
    background = Image.new("RGBA", image.size, behind)
    return Image.alpha_composite(background, image).convert("RGB")


framed = np.asarray(ImageOps.expand(sheet, 20, "black")) / 255
print(framed.shape, cut_edge(framed).shape)

# %% [markdown]
# ## Scale and centre
#
# `to_mnist` does all steps in a row. It shrinks a large image, and blurs the camera's noise away.
# It finds the ink, and cuts out the rectangle around it. It scales the longer side to 20 pixels,
# and places the digit by its centre of mass. `read` does that to a file. A phone stores beside the
# pixels how it was held (in the **EXIF** data), and `exif_transpose` turns the photo upright.

# %%
WORKING_SIDE = 280  # larger images are shrunk to this: ten pixels for one of MNIST's


def centre_of_mass(profile):
    """The mean position of the ink, from how much of it is at each position: (L,) -> a number."""
    return np.average(np.arange(len(profile)), weights=profile)


def to_mnist(image):
    """One digit on a plain background -> (28, 28) 8-bit grey, light on black, as in MNIST.

    Any size and colours, also transparent or unevenly lit. Raises ValueError if it shows nothing.
    """
    image = make_opaque(image)
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(max(image.size) / WORKING_SIDE))
    pixels = np.asarray(image, dtype=np.float64) / 255  # (H, W, 3)
    for _ in range(4):  # each side in turn
        pixels = np.rot90(cut_edge(pixels))
    ink = find_ink(pixels)

    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    digit = Image.fromarray((255 * ink).round().astype(np.uint8))
    scale = BOX / max(digit.size)
    width, height = (max(1, round(scale * side)) for side in digit.size)
    digit = np.asarray(digit.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)
    digit *= 255 / digit.max()

    y, x = centre_of_mass(digit.sum(axis=1)), centre_of_mass(digit.sum(axis=0))
    top = min(max(round(SIDE / 2 - y), 0), SIDE - height)
    left = min(max(round(SIDE / 2 - x), 0), SIDE - width)
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    field[top : top + height, left : left + width] = digit.round()
    return Image.fromarray(field)


def read(path):
    """The digit in an image file, in MNIST's form.

    Raises UserError for a file that can't be read as an image, or that shows nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is no harm
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, UnidentifiedImageError):
            reason = "expected PNG, JPEG or the like; export a HEIC photo as JPEG first"
        raise cli.UserError(f"cannot read {path} as an image: {reason}.") from None
    try:
        return to_mnist(upright)
    except ValueError as error:
        raise cli.UserError(f"{path}: {error}") from None


field = to_mnist(sheet)
ink = np.asarray(field)
print(ink.shape, ink.min(), ink.max())
print("centre of mass", centre_of_mass(ink.sum(axis=1)), centre_of_mass(ink.sum(axis=0)))

# %% [markdown]
# ## The probability of each digit
#
# `read_network` loads chapter 7's network from its checkpoint. `TRANSFORM` is chapter 7's, too, for
# an input must be standardized as the training images were. Softmax then turns the ten logits into
# probabilities. `predict_files` prints the most probable digit of each image that the command line
# names, and the next one.

# %%
TRANSFORM = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])


def read_network(path, device):
    """Chapter 7's network from its checkpoint. Raises UserError for a file that holds no such."""
    if not path.exists():
        missing = f"there is no checkpoint {cli.display_path(path)}"
        raise cli.UserError(f"{missing}. Train first: python 07_mnist_mlp.py")
    training.read_checkpoint(path)
    try:
        model = MLP.load_model(path, "cpu")
    except (RuntimeError, AttributeError):  # other names or shapes; no names at all
        other = f"{path} belongs to another model than chapter 7's"
        raise cli.UserError(f"{other}. Train again: python 07_mnist_mlp.py") from None
    return model.to(device)


def predict(model, images):
    """The probability of each digit: transformed images (N, 1, 28, 28) -> (N, 10)."""
    model.eval()
    with torch.no_grad():
        return MLP.softmax(model(images))


def predict_files(args):
    """Print which digit each of the images shows; returns the probabilities (N, 10)."""
    checkpoint = args.output_dir / "07_mnist_mlp.pt"
    model = read_network(checkpoint, args.device)
    print(f"Checkpoint: {cli.display_path(checkpoint)}")
    paths = cli.expand(args.images)
    images = torch.stack([TRANSFORM(read(path)) for path in paths])  # (N, 1, 28, 28)
    probabilities = predict(model, images.to(args.device)).cpu()
    for path, p in zip(paths, probabilities, strict=True):
        first, second = p.argsort(descending=True)[:2].tolist()
        print(f"{path}: {first} ({p[first]:.1%}; next {second}, {p[second]:.1%})")
    return probabilities


model = read_network(args.output_dir / "07_mnist_mlp.pt", args.device)
image = TRANSFORM(field)  # (1, 28, 28)
p = predict(model, image.unsqueeze(0).to(args.device)).cpu()  # (1, 10)
print(p.argmax(), p.max())

# %% [markdown]
# ## Confidence and calibration
#
# The probability of the predicted digit is the network's **confidence**, and no guarantee. A model
# is **calibrated** if, of the images to which it gives 95 %, it classifies 95 % correctly. Its
# mistakes then number about $\sum_i (1 - p_i)$, with $p_i$ the confidence for image $i$. Training
# doesn't ensure that. This network makes more mistakes: it is **overconfident**, and becomes more
# so as training goes on.

# %%
root = mnist_root()
test_set = torchvision.datasets.MNIST(root=root, train=False, download=True, transform=TRANSFORM)
keep_in_memory(test_set)
test_loader = DataLoader(test_set, batch_size=1000)
accuracy = training.test(model, test_loader, args.device)

batches = [predict(model, inputs.to(args.device)).cpu() for inputs, _ in test_loader]
probabilities = torch.cat(batches)  # (10000, 10)
confidence, predicted = probabilities.max(dim=1)  # (10000,), (10000,)
labels = test_set.targets
wrong = predicted != labels
print(f"mistakes to be expected: {(1 - confidence).sum():.0f}")
print(f"mistakes made: {wrong.sum()}")

group = (confidence > 0.9) & (confidence < 0.99)
print(f"images with a confidence from 90 % to 99 %: {group.sum()}")
print(f"their mean confidence: {confidence[group].mean():.4f}")
print(f"the share that is right: {1 - wrong[group].double().mean():.4f}")

# %% [markdown]
# ## Results
#
# At the top, the drawn seven, and what the network gets to see of it. Beside it the **confusion
# matrix**: how often each true digit (row) was predicted as each digit (column), with the mistakes
# coloured. Below, the first ten test images, and the ten mistakes with the highest confidence. Some
# of those would puzzle a person, too.


# %% tags=["hide-input"]
def image_row(fig, images, captions, colors, title):
    """Up to ten grey-scale images (N, H, W) in a row, each under its own caption."""
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    for place, (image, caption, color) in enumerate(zip(images, captions, colors, strict=False)):
        axes = fig.add_axes((0.01 + 0.099 * place, 0.02, 0.09, 0.62))  # evenly, whatever is beside
        axes.set_axis_off()
        axes.imshow(image, cmap="gray_r")
        axes.set_title(caption, fontsize=9, color=color, loc="center")


counts = torch.bincount(10 * labels + predicted, minlength=100).view(10, 10)
mistakes = counts * (1 - torch.eye(10))
worst = wrong.nonzero().flatten()
worst = worst[confidence[worst].argsort(descending=True)][:10]

fig = plotting.figure(10, 8, args.show)
top, *rows = fig.subfigures(3, 1, height_ratios=[4.6, 1.7, 1.7])
left, right = top.subfigures(1, 2, width_ratios=[2, 3])
drawing, given = left.subplots(2, 1)
drawing.imshow(sheet)
drawing.set_title("A drawing, 300 × 200 pixels", loc="center")
drawing.set_axis_off()
given.imshow(field, cmap="gray")
given.set_title(f"In MNIST's form, 28 × 28: {p.argmax()} ({p.max():.1%})", loc="center")
given.set_axis_off()

matrix = right.subplots()
matrix.imshow(mistakes.numpy(), cmap="Oranges", vmax=max(1, 1.3 * mistakes.max()))
for true, other in counts.nonzero().tolist():
    color = plotting.GREY if true == other else "black"
    matrix.text(other, true, counts[true, other].item(), color=color, ha="center", va="center")
matrix.set(xticks=range(10), yticks=range(10), xlabel="predicted digit", ylabel="true digit")
matrix.set_title(f"{wrong.sum()} of {len(wrong):,} test images are misclassified")
matrix.grid(False)
matrix.spines[:].set_visible(False)
matrix.tick_params(length=0)

for row, which, title in [
    (rows[0], torch.arange(10), "The first ten test images: true → predicted"),
    (rows[1], worst, "The mistakes with the highest confidence: true → predicted"),
]:
    captions = [f"{labels[i]} → {predicted[i]}\n{confidence[i]:.1%}" for i in which]
    colors = [plotting.RED if wrong[i] else "black" for i in which]
    image_row(row, test_set.data[which].numpy(), captions, colors, title)
plotting.finish(fig, args.output_dir / "own_digits.png", args.show)

# %%
print(f"Accuracy: {accuracy:.4f}")
