"""The built book in a real browser: wide and narrow, light and dark, offline."""

import functools
import inspect
import os
import re
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from conftest import ROOT

import madlib
from madlib import (
    generators,
    metrics,
    regimes,
    targets,
    theory,
)
from madlib.book import build, claims, explorer, figures

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pages() -> list[str]:
    """The addresses of all pages, from the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return ["index.html", *(f"{file}.html" for file in [toc["root"], *chapters])]


class Visit(NamedTuple):
    """A page in the browser and what went wrong while it loaded."""

    page: object
    troubles: list[str]
    foreign: list[str]


@pytest.fixture(scope="session")
def smoke_site(madlib) -> Path:
    """The book with the smoke preset; kept in ``_build``, where only what changed is done again."""
    output = ROOT / "_build" / "smoke"
    done = madlib("book", "--preset", "smoke", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "html"


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Headless Chromium, the machine's own."""
    found = (os.environ.get("MADLIB_CHROMIUM"), *map(shutil.which, NAMES))
    executable = next((path for path in found if path), None)
    if executable is None:
        message = (
            f"NO BROWSER: none of {', '.join(NAMES)} is on PATH and MADLIB_CHROMIUM is not set"
        )
        if os.environ.get("MADLIB_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(f"{message}; the site was NOT tested.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def address(browser: object, request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve the book: the one that ``make book`` left, if it is up to date, or a small one."""
    output = ROOT / "_build"
    if build.is_current(ROOT, output):
        site = output / "html"
    else:
        site = request.getfixturevalue("smoke_site")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


PHONE, DESK = {"width": 360, "height": 800}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def visit(browser, address: str):
    """Open a page: ``visit(page, size, theme)``; requests to anywhere else go nowhere."""
    contexts = []

    def open_page(page: str, size: dict[str, int], theme: str) -> Visit:
        for context in contexts:
            context.close()
        context = browser.new_context(viewport=size, color_scheme=theme)
        contexts[:] = [context]
        context.add_init_script(
            f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
        )
        tab = context.new_page()
        troubles: list[str] = []
        foreign: list[str] = []

        def decide(route) -> None:
            if route.request.url.startswith(address):
                route.continue_()
            else:
                foreign.append(route.request.url)
                route.abort()

        context.route("**/*", decide)
        tab.on("console", lambda said: said.type == "error" and troubles.append(said.text))
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.on(
            "response", lambda got: got.status >= 400 and troubles.append(f"{got.status} {got.url}")
        )
        tab.goto(address + page)
        tab.locator("article h1").wait_for()  # the first page leads to another one
        tab.wait_for_load_state()
        if tab.locator(".math").count():
            tab.evaluate("MathJax.startup.promise")
        return Visit(tab, troubles, foreign)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module", params=pages())
def phone(visit, request: pytest.FixtureRequest) -> Visit:
    """Each page, in the dark."""
    return visit(request.param, PHONE, "dark")


@pytest.mark.timeout(3000)  # all chapters, at their smallest
def test_smoke_preset_builds(request: pytest.FixtureRequest) -> None:
    if build.is_current(ROOT, ROOT / "_build"):
        pytest.skip("`make book` has executed every chapter of this tree.")
    smoke_site = request.getfixturevalue("smoke_site")
    for page in pages():
        assert (smoke_site / page).is_file()


@pytest.fixture(scope="module")
def resolves(address: str) -> Callable[[object, str], bool]:
    """Whether an address of the site leads anywhere, to the place on the page, too."""
    known: dict[str, set[str] | None] = {}

    def ask(tab, url: str) -> bool:
        page, _, place = url.partition("#")
        if page not in known:
            got = tab.request.get(page)
            text = got.text() if got.ok and page.endswith(".html") else ""
            known[page] = {*re.findall(r'\bid="([^"]+)"', text)} if got.ok else None
        places = known[page]
        return places is not None and (not place or urllib.parse.unquote(place) in places)

    return ask


def test_page_is_whole_and_offline(phone: Visit, resolves) -> None:
    assert not phone.troubles
    assert not phone.foreign
    tab = phone.page
    assert tab.locator("article h1").count() == 1
    formulas, rendered = tab.locator(".math").count(), tab.locator(".math mjx-container").count()
    assert rendered >= formulas
    assert tab.locator("mjx-merror, [data-mjx-error]").count() == 0
    addresses = tab.evaluate(
        "[...document.querySelectorAll('a[href], img[src], link[href]')]"
        ".map(e => e.href?.baseVal ?? e.href ?? e.src)"
    )
    own = {url for url in addresses if url.startswith(tab.url.split("/book/")[0])}
    broken = [url for url in own if not resolves(tab, url)]
    assert not broken


def test_page_fits_in_both_themes(phone: Visit) -> None:
    tab = phone.page
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert not what_sticks_out(tab)
    assert least_contrast(tab) >= 4.5
    tab.add_style_tag(content="* { transition: none !important }")  # colors at once
    tab.evaluate("document.documentElement.dataset.theme = 'light'")
    assert least_contrast(tab) >= 4.5
    tab.set_viewport_size(DESK)
    assert not what_sticks_out(tab)
    assert not what_scrolls(tab, "mjx-container[display=true], .cell_input pre")
    assert not phone.troubles


def what_scrolls(tab, selector: str) -> list[str]:
    """The ids or first words of elements that are wider than their own box."""
    return tab.evaluate(
        """what => [...document.querySelectorAll(what)]
        .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
        .map(e => e.closest('[id]').id || e.textContent.slice(0, 40))""",
        selector,
    )


def what_sticks_out(tab) -> list[str]:
    """The elements that make the page wider than its window."""
    return tab.evaluate(
        """() => {
        const clipped = e => e.parentElement.closest('main') &&
            (getComputedStyle(e.parentElement).overflowX !== 'visible' || clipped(e.parentElement));
        return document.scrollingElement.scrollWidth <= innerWidth ? [] :
            [...document.querySelectorAll('main *')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !clipped(e))
            .map(e => `${e.tagName}.${e.className}`).concat('page');
        }"""
    )


def least_contrast(tab) -> float:
    """Of text against what is behind it, as the accessibility guidelines count it."""
    contrasts = tab.evaluate(
        """() => {
        const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const parse = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) =>
            0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
        const behind = e => {
            for (; e; e = e.parentElement) {
                const color = parse(getComputedStyle(e).backgroundColor);
                if (color.length < 4 || color[3] > 0) return color;
            }
            return [255, 255, 255];
        };
        const words = 'main :is(p, dt, summary, figcaption, svg[role=img], .madlib-verdict, ' +
            '.madlib-files a, .madlib-show-code)';
        return [...document.querySelectorAll(words)]
            .map(e => [light(parse(getComputedStyle(e).color)), light(behind(e))])
            .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
        }"""
    )
    return min(contrasts)


def test_explorer_says_what_the_planner_does(visit) -> None:
    """At 200 settings of the page, to the step of its table."""
    tab = visit("book/index.html", DESK, "light").page
    rng = np.random.default_rng(0)
    for _ in range(200):
        axes = {"lam": explorer.LAM, "dim": explorer.DIM, "n_r": explorer.N_R, "n_s": explorer.N_S}
        setting = {name: axis[rng.integers(len(axis))] for name, axis in axes.items()}
        regime, more = [*explorer.REGIMES.items()][rng.integers(len(explorer.REGIMES))]
        query = urllib.parse.urlencode(setting | {"regime": regime})
        said = tab.evaluate(
            """query => {
                const form = document.getElementById("explorer");
                form.restore(query);
                const rows = form.show(), n_s = Number(new URLSearchParams(query).get("n_s"));
                return rows.find(row => row.n_s === n_s).ratios;
            }""",
            query,
        )
        plan = madlib.plan(regime=regime, **setting, **more)
        expected = [*(one.n_e_over_n_r for one in plan.rounds[:2]), plan.n_e_over_n_r]
        np.testing.assert_allclose(said, expected, rtol=3e-4, atol=1e-9, err_msg=query)
    command = tab.locator(".madlib-explorer-command").text_content()
    assert command == "madlib plan " + " ".join(
        f"--{name.replace('_', '-')} {setting[name]:g}"
        if name == "lam"
        else f"--{name.replace('_', '-')} {setting[name]}"
        for name in ("n_r", "n_s", "lam", "dim")
    ) + f" --regime {regime}" + "".join(f" --{name} {value}" for name, value in more.items())


def test_explorer_answers_in_words_and_keeps_its_state(visit) -> None:
    tab = visit("book/index.html", DESK, "light").page
    answer = tab.locator(".madlib-explorer-answer")
    assert "200,000 synthetic items harm after one round" in answer.text_content()
    tab.locator("input[name=lam]").fill("1")
    tab.locator("input[name=lam]").blur()
    assert "help after one round" in answer.text_content()
    assert "no number of them harms" in answer.text_content()
    tab.locator("[data-of=n_s]").press("ArrowRight")
    assert "500,000 synthetic items" in answer.text_content()
    assert tab.locator("[data-of=n_s]").get_attribute("aria-valuetext") == "500,000"
    tab.locator("#explorer input[value=fully_synthetic]").check()
    assert "harm after one round" in answer.text_content()
    tab.locator("#explorer button[data-do=link]").click()
    address, said = tab.url, answer.text_content()
    assert "regime=fully_synthetic" in address
    tab.goto("about:blank")
    tab.goto(address)
    assert answer.text_content() == said
    with tab.expect_download() as download:
        tab.locator("#explorer button[data-do=csv]").click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert rows[0] == "n_s,after 1 round,after 5 rounds,limit"
    assert len(rows) == 1 + len(explorer.N_S)
    with tab.expect_download() as download:
        tab.locator("#explorer button[data-do=png]").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_explorer_takes_a_guidance(visit) -> None:
    tab = visit("book/index.html", DESK, "light").page
    field, lam = (tab.locator(f"#explorer input[name={name}]") for name in ("guidance", "lam"))
    for w in (0.111, 0, 0.25):
        field.fill(f"{w}")
        field.blur()
        plan = madlib.plan(n_r=50_000, n_s=200_000, dim=100, guidance=w)
        assert float(lam.input_value()) == pytest.approx(plan.lam, rel=1e-12)
        assert float(field.input_value()) == pytest.approx(w, rel=1e-5)
        command = tab.locator(".madlib-explorer-command").text_content()
        assert f"--lam {lam.input_value()} " in command
    rows = tab.evaluate("document.getElementById('explorer').show()")  # lam = .8 is in the table
    (found,) = (row["ratios"] for row in rows if row["n_s"] == 200_000)
    expected = [*(one.n_e_over_n_r for one in plan.rounds[:2]), plan.n_e_over_n_r]
    assert found == pytest.approx(expected, rel=2.5e-4)


def test_explorer_keeps_a_number_that_is_not_in_its_table(visit) -> None:
    tab = visit("book/index.html", DESK, "light").page
    for name, typed in [("n_r", "30000"), ("lam", "0.77")]:
        tab.locator(f"#explorer input[name={name}]").fill(typed)
        tab.locator(f"#explorer input[name={name}]").blur()
    answer = tab.locator(".madlib-explorer-answer").text_content()
    assert "nearest numbers in the table are 0.8 (temperature), 20,000 (real items)" in answer
    assert "Of each training set 90.9 % is synthetic" in answer
    command = tab.locator(".madlib-explorer-command").text_content()
    assert "--n-r 30000 --n-s 200000 --lam 0.77 --dim 100" in command
    tab.locator("#explorer [data-of=n_r]").press("ArrowRight")
    assert "--n-r 50000" in tab.locator(".madlib-explorer-command").text_content()


def test_explorer_shows_measured_models_beside_fresh_data(visit) -> None:
    tab = visit("book/index.html", DESK, "light").page
    dots, switch = tab.locator("#explorer circle"), tab.locator("#explorer input[name=measured]")
    assert dots.count() == 0 and not switch.is_visible()
    tab.locator("#explorer input[name=lam]").fill("1")
    tab.locator("#explorer input[name=lam]").blur()
    switch.check()
    assert dots.count() > 4
    assert "Dots were measured with" in tab.locator(".madlib-explorer-answer").text_content()
    tab.locator("#explorer button[data-do=link]").click()
    assert "measured=1" in tab.url
    tab.locator("#explorer input[value=long_memory]").check()
    assert dots.count() == 0 and not switch.is_visible()


def test_one_button_shows_all_code_and_each_fold_opens_by_itself(visit) -> None:
    """With the keyboard alone; what teaches is open from the start."""
    tab = visit("book/01_the_loop.html", DESK, "light").page
    button, folds = tab.locator(".madlib-show-code"), tab.locator("details.hide")
    code = tab.locator("details.hide .cell_input")
    assert button.count() == 1 and folds.count() >= 1
    assert not any(code.nth(i).is_visible() for i in range(folds.count()))
    assert tab.locator("div.cell.tag_parameters .cell_input").first.is_visible()
    button.focus()
    for pressed in ("true", "false", "true"):
        tab.keyboard.press("Enter")
        tab.wait_for_function(f"document.activeElement.ariaPressed === '{pressed}'")
        assert all(code.nth(i).is_visible() == (pressed == "true") for i in range(folds.count()))
    folds.first.locator("summary").focus()
    tab.keyboard.press("Enter")
    tab.locator(".madlib-show-code[aria-pressed=false]").wait_for()
    assert not code.first.is_visible()
    assert visit("book/cite.html", DESK, "light").page.locator(".madlib-show-code").count() == 0


def test_old_addresses_lead_to_renamed_chapters(visit, address: str) -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    assert config["madlib_redirects"]
    for old, new in config["madlib_redirects"].items():
        tab = visit(f"book/{old}.html#x", DESK, "light").page
        tab.wait_for_url(f"{address}book/{new}.html#x")
        said = tab.request.get(f"{address}book/{old}.html").text()
        assert f'<link rel="canonical" href="{new}.html">' in said
        assert f"url={new}.html" in said, "without scripts, too"


def test_the_api_page_has_every_public_name(visit) -> None:
    tab = visit("book/api.html", DESK, "light").page
    names = {name for name in madlib.__all__ if not inspect.ismodule(getattr(madlib, name))}
    for module in (generators, metrics, regimes, targets, theory, claims, figures):
        public = (getattr(module, name) for name in module.__all__)
        names |= {it.__name__ for it in public if inspect.isclass(it) or inspect.isfunction(it)}
    headings = tab.locator("dt.sig > .sig-name").all_text_contents()
    assert names <= {name.strip() for name in headings}, names - set(headings)
    prose = tab.evaluate(
        """() => {
        const page = document.querySelector('article').cloneNode(true);
        page.querySelectorAll('code, pre, .math').forEach(e => e.remove());
        return page.textContent;
        }"""
    )
    assert not set("$`\\") & set(prose), "what is not set as mathematics or code"


def test_every_figure_has_its_files(visit, address: str) -> None:
    tab = visit("book/figures.html", DESK, "light").page
    rows = tab.locator(".madlib-card .madlib-files")
    assert rows.count() == tab.locator(".madlib-card").count() > 0
    for i in range(rows.count()):
        urls = rows.nth(i).locator("a").evaluate_all("links => links.map(link => link.href)")
        assert {url.rsplit(".", 1)[1] for url in urls} == {
            "pdf",
            "svg",
            "png",
            "csv",
            "json",
            "bib",
        }
        for url in urls:
            got = tab.request.get(url)
            assert got.ok and got.body(), url
            assert url.startswith(f"{address}figures/fig-")
