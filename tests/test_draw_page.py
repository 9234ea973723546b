"""The page to draw on: what is written into it, and that it reads as Python does."""

import base64
import json
import re

import numpy as np
import pytest
import torch
import torchvision
from handwriting import STROKES, draw
from PIL import Image
from torch import nn

from common.chapter import load
from common.cli import ROOT, UserError
from common.data import mnist_root
from common.draw_page import write_draw_page

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def small_cnn():
    """All kinds of layers that the page knows; batch norm with statistics of its own."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.BatchNorm2d(6, affine=False),
        nn.Identity(),
        nn.ReLU(),
        nn.Conv2d(6, 5, 1),
        nn.MaxPool2d(2),
        nn.MaxPool2d(2),  # 7 -> 3: an odd side
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(5 * 3 * 3, 10),
    )
    with torch.no_grad():
        for parameter in model.parameters():  # so large that a mistake shows
            parameter.copy_(torch.randn(parameter.shape) / max(1, parameter[0].numel()) ** 0.5)
        for norm in (model[1], model[5]):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.3, 3)
        model[-1].weight.mul_(5)
    return model


@pytest.fixture(scope="module")
def models(network):
    """Chapter 7's network, and a convolutional one."""
    torch.manual_seed(0)
    return {"mlp": network, "cnn": small_cnn().eval()}


# What is written


def written(model, path):
    """The page's text, and the layers in it."""
    write_draw_page(model, path)
    page = path.read_text(encoding="utf-8")
    network = re.search(r'<script type="application/json" id="network">(.*?)</script>', page)
    return page, json.loads(network[1])


def decoded(layer):
    """Weights (rows, columns), the scales of the rows, the biases."""
    kinds = {"weight": "<i2", "scale": "<f4", "bias": "<f4"}
    raw = {name: np.frombuffer(base64.b64decode(layer[name]), kinds[name]) for name in kinds}
    return raw["weight"].reshape(layer["shape"][0], -1), raw["scale"][:, None], raw["bias"]


def test_the_page_asks_for_nothing(tmp_path):
    page, _ = written(small_cnn(), tmp_path / "page.html")
    assert "NETWORK" not in page
    assert "://" not in page and "@import" not in page and "url(" not in page
    assert re.findall(r'\b(?:src|href)="([^"]*)"', page) == ["data:,"]
    assert "default-src 'none'" in page  # a browser would refuse
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_the_weights_are_in_it(tmp_path):
    model = load(ROOT / "07_mnist_mlp.py").MNISTModel()
    with torch.no_grad():
        model.linear2.weight[3] = 0  # a neuron that has died
        model.linear3.weight[5] *= 1000
    _, layers = written(model, tmp_path / "page.html")
    kinds = [layer["kind"] for layer in layers if layer["kind"] != "Flatten"]
    assert kinds == ["Linear", "ReLU"] * 4 + ["Linear"]
    linear = [layer for layer in layers if layer["kind"] == "Linear"]
    for layer, module in zip(linear, list(model.children())[::2], strict=True):
        weight, scale, bias = decoded(layer)
        error = np.abs(weight * scale.astype(float) - module.weight.detach().numpy())
        assert (error <= 0.505 * scale).all()  # half a step, but for the rounding of float32
        assert abs(weight.astype(int)).max() == 2**15 - 1  # no bit is wasted
        assert (bias == module.bias.detach().numpy()).all()
        assert layer["shape"] == list(module.weight.shape)


def test_batch_norm_is_part_of_the_convolution(tmp_path):
    model = small_cnn().eval()
    _, layers = written(model, tmp_path / "page.html")
    assert [layer["kind"] for layer in layers] == [
        *["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "Conv2d", "MaxPool2d", "MaxPool2d"],
        *["Flatten", "Linear"],
    ]
    weight, scale, bias = decoded(layers[0])
    images = torch.randn(3, 1, 28, 28)
    weight = torch.tensor(weight * scale).view(layers[0]["shape"])
    folded = nn.functional.conv2d(images, weight, torch.tensor(bias), padding=2)
    assert torch.allclose(folded, model[:2](images), atol=1e-3)


def test_the_model_stays_as_it_was(tmp_path):
    model = small_cnn().train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    write_draw_page(model, tmp_path / "page.html")
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


class Functional(nn.Module):
    """A model with `between` between its two layers."""

    def __init__(self, between):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(784, 20), nn.Linear(20, 10)
        self.between = between

    def forward(self, x):
        return self.linear2(self.between(self.linear1(x.flatten(1))))


FLAT = (nn.Flatten(), nn.Linear(784, 10))


@pytest.mark.parametrize(
    "model, said",
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Sigmoid()), "Sigmoid"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Flatten()), "stride"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(676, 10)), "Conv2d"),
        (nn.Sequential(nn.Conv2d(1, 1, (3, 1), padding="same"), *FLAT), "Conv2d"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), *FLAT), "circular"),
        (nn.Sequential(nn.BatchNorm2d(1), *FLAT), "BatchNorm2d"),
        (nn.Sequential(nn.MaxPool2d(3), nn.Flatten(), nn.Linear(81, 10)), "MaxPool2d"),
        (nn.Sequential(nn.MaxPool2d(2, stride=1), nn.Flatten(), nn.Linear(729, 10)), "MaxPool2d"),
        (Functional(torch.relu), "Functional computes more"),
        (Functional(torch.tanh), "Functional computes more"),
        (Functional(lambda x: x.flip(1)), "Functional computes more"),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 9)), "ten logits"),
    ],
)
def test_what_the_page_cannot_compute(model, said, tmp_path):
    with pytest.raises(UserError, match=said) as error:
        write_draw_page(model, tmp_path / "page.html")
    assert len(str(error.value).splitlines()) == 1 and str(error.value).endswith(".")
    assert not any(tmp_path.iterdir())


def test_a_function_that_changes_nothing_is_no_matter(tmp_path):
    write_draw_page(Functional(lambda x: nn.functional.dropout(x, training=False)), tmp_path / "p")


# In a browser


@pytest.fixture(scope="module")
def files(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, model in models.items():
        write_draw_page(model, folder / f"{name}.html")
    return folder


@pytest.fixture
def open_page(browser, files):
    """open_page("mlp", **context) -> a page that has seen nothing wrong when the test is over."""
    wrong, contexts = [], []

    def open_one(name="mlp", **how):
        contexts.append(browser.new_context(**{"viewport": DESKTOP, "locale": "en-US"} | how))
        page = contexts[-1].new_page()
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url))
        page.goto((files / f"{name}.html").as_uri())
        assert wrong.pop(0) == page.url  # the file itself
        settle(page)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not wrong


def settle(page):
    """Wait until what has been drawn is shown."""
    for _ in range(3):  # a touch may reach the page in a later frame
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def shown(page):
    """Digit, percentages and the widths of the bars, and the 28 × 28 image in bytes."""
    settle(page)
    return page.evaluate("""() => {
        const rows = [...document.querySelectorAll("#bars li")], seen = $("seen")
        return {
            digit: $("digit").textContent,
            percents: rows.map(row => row.querySelector("span").textContent),
            winners: rows.map(row => row.classList.contains("winner")),
            widths: rows.map(row => row.querySelector("i").getBoundingClientRect().width),
            image: [...seen.getContext("2d").getImageData(0, 0, 28, 28).data].filter(
                (_, i) => i % 4 === 0),
        }
    }""")


def points(page, digit, size=0.62):
    """The digit's strokes in the middle of the field, in the page's coordinates."""
    box = page.locator("#field").bounding_box()
    place = lambda value, start, side: start + side * (0.5 + size * (value - 0.5))  # noqa: E731
    return [
        [(place(x, box["x"], box["width"]), place(y, box["y"], box["height"])) for x, y in stroke]
        for stroke in STROKES[digit]
    ]


def draw_with_mouse(page, digit):
    for stroke in points(page, digit):
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def is_empty(page):
    now = shown(page)
    return not now["digit"] and not any(now["image"]) and not any(now["percents"])


def pictures():
    """200 pictures of 280 × 280 pixels: MNIST's digits on all sorts of paper, and strokes."""
    rng = np.random.default_rng(0)
    images = torchvision.datasets.MNIST(root=mnist_root(), train=False).data
    for n in range(100):
        side = int(rng.integers(90, 250))
        digit = Image.fromarray(images[n].numpy()).resize((side, side), Image.Resampling.BICUBIC)
        ink = np.zeros((280, 280, 1))
        y, x = rng.integers(0, 281 - side, size=2)
        ink[y : y + side, x : x + side, 0] = np.asarray(digit) / 255
        dark, light = rng.uniform(0, 0.35, size=3), rng.uniform(0.65, 1, size=3)
        pixels = light + (dark - light) * ink if n % 3 else dark + (light - dark) * ink
        if n % 2:  # uneven light
            pixels *= (
                1
                - rng.uniform(0.1, 0.35)
                * np.linspace(0, 1, 280)[:: rng.choice([1, -1])][:, None, None]
            )
        if n % 4 == 0:  # a frame: the table beside the sheet
            width = int(rng.integers(3, 25))
            pixels[:width] = pixels[:, -width:] = rng.uniform(0, 1, size=3)
        if n % 5 == 0:
            pixels = pixels + rng.normal(0, 0.02, size=pixels.shape)
        yield (255 * pixels.clip(0, 1)).round().astype(np.uint8)
    for n in range(100):
        at = rng.uniform(-0.1, 1.1, size=2)  # some are cut off
        yield np.asarray(draw(n % 10, 140, pen=rng.uniform(0.04, 0.25), at=at))


@pytest.fixture(scope="module")
def readings():
    """The pictures, and what chapter 8 makes of them: (picture, field (28, 28))."""
    to_mnist = load(ROOT / "08_own_digits.py").to_mnist
    return [(picture, to_mnist(Image.fromarray(picture))) for picture in pictures()]


READ = """([picture, side]) => {
    const rgba = Uint8Array.from(atob(picture), letter => letter.charCodeAt(0))
    const field = reader.toMnist(rgba, side, side)
    const z = field && reader.logits(field)
    return [field && [...field], z && [...z]]
}"""


def read(page, picture):
    """Field (28, 28) and logits, from JavaScript; None, None where it sees no digit."""
    rgba = np.dstack([picture, np.full(picture.shape[:2], 255, dtype=np.uint8)])
    field, z = page.evaluate(READ, [base64.b64encode(rgba).decode(), len(picture)])
    return field and np.array(field).reshape(28, 28), z and np.array(z)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_javascript_reads_as_python_does(name, models, readings, open_page):
    """The same images for both networks: for the second, a few of them will do."""
    page, differences = open_page(name), []
    for picture, expected in readings if name == "mlp" else readings[::5]:
        field, z = read(page, picture)
        assert field is not None, "it sees no digit"
        assert np.abs(field - expected).max() < 1e-6
        with torch.no_grad():
            logits = models[name]((torch.tensor(expected).view(1, 1, 28, 28) - 0.1307) / 0.3081)[0]
        differences.append(np.abs(z - logits.numpy()).max())
    assert len(readings) == 200 and max(differences) < 1e-3
    assert np.ptp(logits.numpy()) > 3  # or the last line would prove little


@pytest.mark.slow
def test_where_python_sees_no_digit_neither_does_javascript(open_page):
    to_mnist, page = load(ROOT / "08_own_digits.py").to_mnist, open_page()
    rng = np.random.default_rng(0)
    blank = np.full((280, 280, 3), 240, dtype=np.uint8)
    noise = rng.integers(90, 166, size=(280, 280, 1)).astype(np.uint8).repeat(3, axis=2)
    slope = np.broadcast_to(np.linspace(100, 180, 280)[:, None, None], (280, 280, 3))
    for picture in [blank, noise, slope.astype(np.uint8)]:
        with pytest.raises(ValueError):
            to_mnist(Image.fromarray(picture))
        assert read(page, picture)[0] is None


@pytest.mark.slow
def test_it_reads_what_is_drawn(models, open_page):
    page, right = open_page(), 0
    assert is_empty(page)
    for digit in range(10):
        draw_with_mouse(page, digit)
        now = shown(page)
        right += now["digit"] == str(digit)
        image = torch.tensor(now["image"]).view(1, 1, 28, 28) / 255
        assert 0.02 < image.mean() < 0.4
        p = models["mlp"]((image - 0.1307) / 0.3081).softmax(dim=1)[0]
        said = [float(percent.rstrip("%")) / 100 for percent in now["percents"]]
        assert np.abs(p.detach().numpy() - said).max() < 0.01  # the image is in bytes
        assert now["winners"].index(True) == int(now["digit"]) == p.argmax()
        assert now["winners"].count(True) == 1
        widest = max(now["widths"])
        assert np.allclose(np.array(now["widths"]) / widest, np.array(said) / max(said), atol=0.01)
        page.get_by_role("button", name="Clear").click()
        assert is_empty(page)
    print(right, "of ten are right")
    assert right >= 9


@pytest.mark.slow
def test_the_answer_follows_while_one_draws(open_page):
    page = open_page()
    (stroke,) = points(page, 3)
    page.mouse.move(*stroke[0])
    page.mouse.down()
    seen = set()
    for point in stroke[1:]:
        page.mouse.move(*point)
        seen.add(tuple(shown(page)["image"]))
    assert len(seen) > 20
    assert page.locator("#said").text_content() == ""  # it is told when drawing pauses
    page.mouse.up()
    page.wait_for_timeout(1000)
    assert re.fullmatch(r"3, \d+\.\d%", page.locator("#said").text_content())


@pytest.mark.slow
def test_a_stroke_goes_on_outside_the_field(open_page):
    page = open_page()
    box = page.locator("#field").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] + 30)
    page.mouse.move(x + 60, box["y"] + box["height"] + 30, steps=5)
    page.mouse.move(x + 60, y, steps=5)
    page.mouse.up()
    page.mouse.move(x - 100, y)  # nothing more
    ink = lambda dx, dy: page.evaluate(  # noqa: E731
        "([x, y]) => paper.getImageData(x, y, 1, 1).data[0] < 128",
        [round(140 + dx * 280 / box["width"]), round(140 + dy * 280 / box["height"])],
    )
    assert ink(0, 0) and ink(0, 100) and ink(60, 50) and ink(60, 5)
    assert not ink(-100, 0) and not ink(30, 0)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["Escape", "Delete"])
def test_a_key_clears(key, open_page):
    page = open_page()
    draw_with_mouse(page, 4)
    assert shown(page)["digit"]
    page.keyboard.press(key)
    assert is_empty(page)
    assert page.locator("#said").text_content() == "Cleared"


@pytest.mark.slow
def test_it_can_be_drawn_on_with_the_keyboard(open_page):
    page = open_page()
    cursor, outline = page.locator("#cursor"), "getComputedStyle($('sheet')).outlineStyle"
    assert cursor.is_hidden() and page.evaluate(outline) == "none"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "field"
    assert page.locator("#field").get_attribute("aria-label") == "Drawing field"
    assert cursor.is_visible() and page.evaluate(outline) == "solid"
    start = cursor.bounding_box()
    for key in ["ArrowUp"] * 11 + ["ArrowLeft"] * 3:
        page.keyboard.press(key)
    assert cursor.bounding_box()["y"] < start["y"] and is_empty(page)  # the pen is up
    for key in ["Space"] + ["ArrowRight"] * 10 + ["ArrowDown"] * 22 + ["Space"]:
        page.keyboard.press(key)
    assert page.locator("#said").text_content() == "Pen up"
    before = shown(page)
    assert before["digit"] == "7"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert shown(page) == before
    page.keyboard.down("ArrowUp")
    page.keyboard.down("ArrowLeft")  # aslant
    corner = cursor.bounding_box()
    page.keyboard.down("ArrowLeft")
    moved = cursor.bounding_box()
    assert moved["x"] < corner["x"] and moved["y"] < corner["y"]
    page.keyboard.up("ArrowUp")
    page.keyboard.up("ArrowLeft")
    page.keyboard.press("Escape")
    assert is_empty(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "clear" and cursor.is_hidden()


@pytest.mark.slow
def test_it_can_be_drawn_on_with_a_finger(open_page):
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    client = page.context.new_cdp_session(page)
    for stroke in points(page, 2):
        for kind, point in [("Start", stroke[0]), *[("Move", one) for one in stroke[1:]]]:
            where = [{"x": point[0], "y": point[1]}]
            client.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": where})
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert shown(page)["digit"] == "2"
    assert page.evaluate("scrollY") == 0
    page.get_by_role("button", name="Clear").tap()
    assert is_empty(page)


@pytest.mark.slow
@pytest.mark.parametrize("viewport", [PHONE, {"width": 320, "height": 568}])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_phone_shows_its_whole_width_and_the_field_first(viewport, locale, open_page):
    page = open_page(viewport=viewport, locale=locale, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    draw_with_mouse(page, 8)
    assert shown(page)["digit"] == "8"
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    field, results = (page.locator(one).bounding_box() for one in ("#field", "#results"))
    assert results["y"] > field["y"] + field["height"]
    assert field["width"] > 0.85 * viewport["width"]
    clipped = "row => row.scrollWidth > row.clientWidth"
    assert not page.evaluate(f"[...document.querySelectorAll('li, li span')].some({clipped})")


@pytest.mark.slow
def test_a_desktop_shows_the_field_on_the_left(open_page):
    page = open_page()
    field, results = (page.locator(one).bounding_box() for one in ("#field", "#results"))
    assert results["x"] > field["x"] + field["width"]
    assert abs(field["width"] - field["height"]) < 1
    assert page.evaluate("document.documentElement.scrollHeight") <= DESKTOP["height"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "locale, language, title, button",
    [
        ("zh-CN", "zh-CN", "写一个 0–9 的数字", "清空"),
        ("zh-TW", "zh-CN", "写一个 0–9 的数字", "清空"),
        ("en-GB", "en", "Write a digit from 0 to 9", "Clear"),
        ("fr-FR", "en", "Write a digit from 0 to 9", "Clear"),
    ],
)
def test_it_speaks_chinese_or_english(locale, language, title, button, open_page):
    page = open_page(locale=locale)
    assert page.evaluate("document.documentElement.lang") == language
    assert page.title() == title == page.locator("h1").inner_text()
    assert page.get_by_role("button").all_inner_texts() == [button]
    text = page.locator("body").inner_text() + page.locator("#field").get_attribute("aria-label")
    assert bool(re.search("[一-鿿]", text)) == (language == "zh-CN")
    assert "undefined" not in text
    assert page.evaluate("Object.keys(TEXTS.en).join() === Object.keys(TEXTS['zh-CN']).join()")


def contrast(page, selector, against="body"):
    """Of a text's colour and the background, as WCAG defines it."""
    luminances = []
    for one, kind in [(selector, "color"), (against, "backgroundColor")]:
        color = page.locator(one).first.evaluate(f"node => getComputedStyle(node).{kind}")
        channels = np.array([int(n) for n in re.findall(r"\d+", color)[:3]]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        luminances.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


@pytest.mark.slow
def test_light_and_dark(open_page):
    backgrounds = []
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        draw_with_mouse(page, 5)
        assert shown(page)["digit"] == "5"
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for text in ("h1", "h2", "figcaption", "#hint", "button", "#digit", "li", "li span"):
            assert contrast(page, text) >= 4.5, (scheme, text)
    light, dark = [[int(n) for n in re.findall(r"\d+", color)] for color in backgrounds]
    assert min(light) > 230 and max(dark) < 50
