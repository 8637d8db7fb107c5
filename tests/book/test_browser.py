"""The built book in headless Chromium, from this machine alone: ``make browser``. Skipped where one of them is missing.

Screenshots of every page, wide and narrow, light and dark, are left in ``book/_build/screenshots`` to be looked at.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest
import yaml

pytest.importorskip("playwright.sync_api", reason="make browser installs playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="make browser installs axe")

ROOT = Path(__file__).parents[2]
HTML = ROOT / "book" / "_build" / "html"
SHOTS = ROOT / "book" / "_build" / "screenshots"
WIDTHS = (1400, 390)
PAGE_LIMIT = 5e6  # bytes
PATIENCE = 120_000  # ms, on a machine that others use
RAW = r"\|\s*:?[-–—]+:?\s*\||\$\$|\\tag\{|\\begin\{|\\mathbb|\]\(http|^:::|\{image\}|(?:^|\s)\*\*\w"
SETTLED = """async () => {
    if (window.MathJax?.startup) await MathJax.startup.promise;
    await new Promise(done => setTimeout(done, 300));
}"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HTML.is_dir(), reason="the book is not built: make browser builds it"),
]


def entries() -> list[str]:
    """Every page of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *(page["file"] for chapter in chapters for page in (chapter, *chapter.get("sections", ())))]


PAGES = entries()


def text_of(name: str) -> str:
    """The HTML of a page; empty where it is not built."""
    path = HTML / f"{name}.html"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture(scope="module")
def site(script: Callable[[str], ModuleType]) -> Iterator[str]:
    """The address of the built pages on this machine."""
    with script("make_pdf").served(HTML) as address:
        yield address


@pytest.fixture(scope="module")
def browser(script: Callable[[str], ModuleType]) -> Iterator[Any]:
    with ExitStack() as stack:
        try:
            launched = stack.enter_context(script("make_pdf").chromium())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield launched


@dataclass
class Seen:
    """What one visit of a page found."""

    errors: list[str]
    requests: list[str]
    width: tuple[int, int]
    formulas: tuple[int, int, int]
    words: str
    clipped: list[str]
    mode: str
    links: list[str]
    faults: list[str]
    still: list[str]


STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
COUNTS = """() => [".math", ".math mjx-container", "mjx-merror, .math [data-mjx-error]"]
    .map(what => document.querySelectorAll(what).length)"""
WORDS = """() => {
    const copy = document.querySelector("article").cloneNode(true);
    copy.querySelectorAll("pre, code, .sig, script, style, mjx-container").forEach(part => part.remove());
    return copy.textContent;
}"""
CLIPPED = """() => {
    const rolls = box => ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
    const reached = box => rolls(box) || (!box.matches(".bd-article") && reached(box.parentElement));
    const wide = box => box.scrollWidth > box.clientWidth + 1 && box.matches("div.math, pre");
    const parts = [...document.querySelectorAll(".bd-article :is(div.math, pre, table, img, input, button)")];
    return parts.filter(box => wide(box) || box.getBoundingClientRect().right > window.innerWidth)
        .filter(box => !reached(box)).map(box => box.outerHTML.slice(0, 100));
}"""
MIDDLE = """slider => {
    slider.value = Math.floor((Number(slider.min) + Number(slider.max)) / 2);
    for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind, {bubbles: true}));
}"""
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


def look(browser: Any, address: str, shot: str, width: int, mode: str) -> Seen:
    """Open a page, note what it asks for and complains about, measure it, use its animations, and keep a picture."""
    view = {"width": width, "height": 1000}
    context = browser.new_context(viewport=view, color_scheme=mode, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    page, errors, requests = context.new_page(), [], []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address, wait_until="load")
    page.add_style_tag(content=STILL)  # colours that are on their way to others have no contrast of their own
    page.evaluate(SETTLED)
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{shot.replace('/', '-')}-{width}-{mode}.png")
    still = [name for box in page.locator(".animation").all() for name in moved(page, box)]
    said, asked = [*errors], [*requests]  # before axe asks for the style sheets itself
    found = axe.Axe().run(page, options=RULES).response["violations"] if width == max(WIDTHS) else []
    seen = Seen(
        errors=said,
        requests=asked,
        width=tuple(page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")),
        formulas=tuple(page.evaluate(COUNTS)),
        words=page.evaluate(WORDS),
        clipped=page.evaluate(CLIPPED),
        mode=page.evaluate("document.documentElement.dataset.theme"),
        links=page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)"),
        faults=[f"{f['id']}: {f['nodes'][0]['html'][:300]}" for f in found if f["impact"] in ("serious", "critical")],
        still=still,
    )
    context.close()
    return seen


def moved(page: Any, box: Any) -> Iterator[str]:
    """Controls of an animation that do not change its picture."""
    picture = box.locator("img").first
    slider, following = box.locator("input[type=range]").first, box.locator("button[title='Next frame']").first
    for name, use in (("slider", lambda: slider.evaluate(MIDDLE)), ("next frame", following.click)):
        before = picture.get_attribute("src")
        use()
        page.wait_for_timeout(100)
        if picture.get_attribute("src") == before:
            yield name


@pytest.fixture(scope="module")
def seen(browser: Any, site: str) -> Callable[..., Seen]:
    """What was seen of a page; each is opened once for a width and a mode."""

    @functools.cache
    def visit(name: str, width: int, mode: str) -> Seen:
        return look(browser, f"{site}{name}.html", name, width, mode)

    return lambda name, width=WIDTHS[0], mode="light": visit(name, width, mode)  # one key, however it is asked


each_page = pytest.mark.parametrize("name", PAGES)
each_width = pytest.mark.parametrize("width", WIDTHS)


@each_page
@each_width
def test_a_page_opens_without_an_error_or_the_network_and_fits(seen: Any, site: str, name: str, width: int):
    found = seen(name, width)
    assert not found.errors
    assert not [url for url in found.requests if not url.startswith((site, "data:", "blob:"))]
    assert found.width[0] <= found.width[1], "the page is wider than the screen"


@each_page
def test_formulas_are_drawn_and_no_markup_is_left(seen: Any, name: str):
    written, drawn, wrong = seen(name).formulas
    assert drawn >= written
    assert wrong == 0
    assert not re.findall(RAW, seen(name).words, flags=re.MULTILINE)


@each_page
def test_what_is_wider_than_a_telephone_scrolls(seen: Any, name: str):
    assert not seen(name, min(WIDTHS)).clipped


@each_page
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_either_mode(seen: Any, name: str, mode: str):
    found = seen(name, max(WIDTHS), mode)
    assert found.mode == mode
    assert not found.faults


@pytest.mark.parametrize("name", [name for name in PAGES if 'class="animation"' in text_of(name)])
def test_animations_move_when_their_controls_are_used(seen: Any, name: str):
    assert not seen(name).still


@each_page
def test_links_inside_the_book_lead_to_a_place_that_exists(seen: Any, site: str, name: str):
    lost = []
    for link in {link for link in seen(name).links if link.startswith(site)}:
        address, place = urldefrag(link)
        target = unquote(address.removeprefix(site).split("?")[0]) or "index.html"
        anchor = re.compile(rf'\b(id|name)="{re.escape(unquote(place))}"')
        if not (HTML / target).exists() or (place and not anchor.search(text_of(target.removesuffix(".html")))):
            lost.append(link)
    assert not lost


@each_page
def test_a_page_with_all_that_it_loads_weighs_less_than_five_megabytes(seen: Any, site: str, name: str):
    asked = {url.split("?")[0] for url in seen(name).requests if url.startswith(site)}
    files = [HTML / unquote(url.removeprefix(site)) for url in asked]
    weights = {path.name: path.stat().st_size for path in files if path.is_file()}
    assert sum(weights.values()) < PAGE_LIMIT, sorted(weights.items(), key=lambda item: -item[1])[:8]


@pytest.mark.parametrize("word, page", [("Langevin", "02_likelihood_gradients"), ("langevin_slider", "api_metrics")])
def test_search_finds_the_page_of_a_term(browser: Any, site: str, word: str, page: str):
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.goto(f"{site}search.html?q={word}")
    tab.wait_for_function("document.querySelectorAll('#search-results li a').length > 0")
    targets = [link.get_attribute("href") or "" for link in tab.locator("#search-results li a").all()]
    context.close()
    assert any(target.startswith(page) for target in targets)


TOO_HIGH = """() => {
    document.querySelectorAll("section").forEach(slide => slide.style.display = "flex");
    return [...document.querySelectorAll("section")].filter(slide => slide.offsetHeight > window.innerHeight + 1)
        .map(slide => `${slide.id} ${slide.textContent.trim().slice(0, 60)} ${slide.offsetHeight}`);
}"""


def test_every_slide_fits_a_projector(browser: Any, script: Callable[[str], ModuleType], tmp_path: Path):
    made = script("make_slides")
    made.make(tmp_path)
    made.own_mathjax(SimpleNamespace(outdir=tmp_path))
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE)
    high = {}
    with script("make_pdf").served(tmp_path) as address:
        for path in sorted(tmp_path.glob("*.html")):
            page = context.new_page()
            page.goto(f"{address}{path.name}", wait_until="load")
            page.evaluate(SETTLED)
            high[path.stem] = page.evaluate(TOO_HIGH)
            page.close()
    context.close()
    assert {name: slides for name, slides in high.items() if slides} == {}
