"""The book as a reader opens it: from the disk, in a browser, without a network.

It is built first: python -m docs
"""

import json

import pytest

from common.cli import ROOT

playwright = pytest.importorskip("playwright.sync_api", reason="requirements-docs.txt")
pytestmark = pytest.mark.slow

BOOK = ROOT / "docs" / "_build" / "html"
EDITIONS = pytest.mark.parametrize("edition", [BOOK, BOOK / "zh_CN"], ids=["English", "Chinese"])
DRAWINGS = ROOT / "docs" / "drawings"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1300, "height": 900}


@pytest.fixture(scope="module", autouse=True)
def _book():
    if not (BOOK / "zh_CN" / "index.html").exists():
        pytest.skip("the book is not built: python -m docs")


@pytest.fixture
def page(browser):
    """A page that has seen nothing wrong when the test is over."""
    page, wrong = browser.new_page(viewport=DESKTOP), []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else wrong.append(request.url)
        ),
    )
    yield page
    page.close()
    assert not wrong


def pages(edition):
    return sorted(
        path
        for path in [*edition.glob("*.html"), *edition.glob("chapters/*.html")]
        if path.stem not in ("genindex", "search")
    )


def open_page(page, path):
    """Open it, and wait until its formulas are set."""
    page.goto(path.as_uri())
    page.evaluate("window.MathJax ? MathJax.startup.promise : null")


@EDITIONS
def test_every_page_is_whole(edition, page):
    """Formulas are set, images are there, nothing is raw, and a phone shows all of its width."""
    assert len(pages(edition)) == 13 + 9
    formulas = 0
    for path in pages(edition):
        open_page(page, path)
        found = page.evaluate("""() => {
            const article = document.querySelector("article"), prose = article.cloneNode(true)
            const math = [...article.querySelectorAll(".math")]
            prose.querySelectorAll("pre, code, .math, script").forEach(node => node.remove())
            return {
                heading: article.querySelector("h1").innerText,
                other: document.querySelector("a.language").href,
                language: document.documentElement.lang,
                formulas: math.length,
                set: math.filter(node => node.querySelector("mjx-container")).length,
                wrong: article.querySelectorAll("mjx-merror").length,
                images: [...document.images].filter(image => !image.naturalWidth).length,
                cut: [...article.querySelectorAll(".cell_input pre, .highlight-none pre")]
                    .filter(pre => pre.scrollWidth > pre.clientWidth + 1).map(pre => pre.innerText),
                raw: prose.textContent.match(/.{0,20}(\\*\\*|\\$|`|\\]\\().{0,20}/g),
            }
        }""")
        assert found["heading"] and found["language"][:2] == ("en" if edition == BOOK else "zh")
        other = BOOK if edition != BOOK else BOOK / "zh_CN"
        assert found["other"] == (other / path.relative_to(edition)).as_uri()
        assert found["set"] == found["formulas"] and not found["wrong"], path
        assert not found["images"], f"{path}: an image is missing"
        assert not found["cut"], f"{path}: a line of code is wider than its column"
        assert not found["raw"], f"{path}: {found['raw']}"
        formulas += found["formulas"]
        page.set_viewport_size(PHONE)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"{path} scrolls sideways"
        page.set_viewport_size(DESKTOP)
    assert formulas > 100


@EDITIONS
def test_every_chapter_has_its_figure_drawings_outputs_and_notebook(edition, page):
    for path in (edition / "chapters").glob("*.html"):
        open_page(page, path)
        figure = page.locator("article img").first.bounding_box()
        assert figure["y"] < 400, "the first screen doesn't show it"
        drawings = page.locator("article svg.drawing")
        assert drawings.count() == len([*DRAWINGS.glob(f"{path.name[:2]}_*.zh_CN.svg")])
        for n in range(drawings.count()):
            assert 300 < drawings.nth(n).bounding_box()["width"] <= 480
        assert page.locator("article .cell_output img").count() == 1
        assert page.locator("article .cell_output pre").count() >= 6
        assert page.locator("article details:not([class])").count() in (3, 4)
        download = page.locator(f"a[href$='{path.stem}.ipynb']").first.get_attribute("href")
        notebook = (path.parent / download).read_text(encoding="utf-8")
        assert '"output_type"' in notebook
        assert notebook.count("](docs/drawings/") == drawings.count()
        introduction = json.loads(notebook)["cells"][0]["source"][2]
        assert (introduction >= "一") == (edition != BOOK)


def test_the_language_switch_leads_to_the_same_page_and_back(page):
    for path in [BOOK / "index.html", BOOK / "chapters" / "07_mnist_mlp.html"]:
        open_page(page, path)
        for language in ("zh", "en"):
            page.locator("a.language").click()
            page.wait_for_load_state()
            assert page.evaluate("document.documentElement.lang").startswith(language)
            assert page.url.endswith(path.relative_to(BOOK).as_posix())
        assert page.url == path.as_uri()


@pytest.mark.parametrize(
    "edition, word, chapter",
    [
        (BOOK, "momentum", "07_mnist_mlp"),
        (BOOK / "zh_CN", "梯度", "02_autograd_linear"),
        (BOOK / "zh_CN", "验证集", "11_char_rnn"),
        (BOOK / "zh_CN", "softmax", "07_mnist_mlp"),
    ],
)
def test_the_search_finds_a_word(edition, word, chapter, page):
    page.goto((edition / "search.html").as_uri() + f"?q={word}")
    found = page.locator(f"#search-results a[href*='{chapter}']")
    found.first.wait_for(timeout=10_000)
    assert found.first.is_visible()


@EDITIONS
def test_chapter_8_shows_its_page_to_draw_on(edition, page):
    """With the network that the chapter's run has read."""
    open_page(page, edition / "chapters" / "08_own_digits.html")
    page.locator("article iframe").scroll_into_view_if_needed()
    drawing = page.frame_locator("article iframe")
    box = drawing.locator("#field").bounding_box()
    for step, (x, y) in enumerate([(0.3, 0.2), (0.7, 0.2), (0.45, 0.8)]):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=9)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    playwright.expect(drawing.locator("#digit")).to_have_text("7")
    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        page.locator("article iframe").scroll_into_view_if_needed()
        inside = drawing.locator("html").evaluate("e => [e.scrollHeight, e.clientHeight]")
        assert inside[0] <= inside[1], "the page would have to be scrolled inside the page"


def test_an_answer_is_folded_until_it_is_asked_for(page):
    open_page(page, BOOK / "chapters" / "01_linear_grid.html")
    fold = page.locator("article details:not([class])").first
    assert not fold.locator("pre").first.is_visible()
    fold.locator("summary").first.click()
    assert fold.locator("pre").first.is_visible() and fold.locator("p").last.is_visible()


def test_the_button_copies_the_code(page):
    open_page(page, BOOK / "chapters" / "01_linear_grid.html")
    cell = page.locator(".cell_input", has_text="x_data = np.array").first
    cell.hover()
    cell.locator("button.copybtn").click()
    page.evaluate("document.body.append(document.createElement('textarea'))")
    page.locator("textarea").last.focus()
    page.keyboard.press("ControlOrMeta+V")
    pasted = page.locator("textarea").last.input_value()
    assert pasted.strip() == cell.locator("pre").inner_text().strip()
