import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bids_app.reports.pages.participant import write_participant_report
from tests.reports import dataset
from tests.reports.browser.chromium import Browser, count_pages
from tests.reports.figures.test_files import TEXT, blocks, by_resvg, distance

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PAGES = ("sub-01", "sub-02", "group")
SERIOUS = ("serious", "critical")
RUN_AXE = """
const done = arguments[arguments.length - 1];
// rows and charts are all made alike: the first of each is enough
const alike = ["tbody tr:nth-child(n+7)", ".all-charts figure:nth-child(n+3)"].map((selector) => [selector]);
axe.run({include: [["html"]], exclude: alike}, {resultTypes: ["violations"]}).then(
  (found) => done(found.violations.map((v) => [v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))])),
  (error) => done([["critical", String(error), []]]));
"""


@pytest.fixture(autouse=True)
def usual_window(chromium: Browser) -> None:
    chromium.without_scripts(False)
    chromium.appearance("light")
    chromium.width(1280)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_asks_for_nothing_but_itself_and_reports_no_error(
    chromium: Browser, derivatives: Path, name: str
) -> None:
    page = derivatives / f"{name}.html"
    chromium.open(page)
    assert chromium.requests() == [page.as_uri()]
    assert chromium.log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_no_serious_accessibility_violation(
    chromium: Browser, derivatives: Path, axe: str, name: str, scheme: str
) -> None:
    chromium.appearance(scheme)
    chromium.open(derivatives / f"{name}.html")
    chromium.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    chromium.run(axe)
    found = chromium.run_async(RUN_AXE)
    assert [violation for violation in found if violation[0] in SERIOUS] == []


@pytest.mark.parametrize("name", ["sub-01", "sub-02"])
def test_a_person_prints_on_at_most_three_pages(chromium: Browser, derivatives: Path, name: str) -> None:
    chromium.open(derivatives / f"{name}.html")
    assert 1 <= count_pages(chromium.pdf()) <= 3


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_is_never_wider_than_the_window(chromium: Browser, derivatives: Path, name: str, width: int) -> None:
    chromium.width(width)
    chromium.open(derivatives / f"{name}.html")
    assert chromium.run("return document.documentElement.scrollWidth") <= width


def test_everything_can_be_read_without_scripts(chromium: Browser, derivatives: Path) -> None:
    chromium.without_scripts(True)
    chromium.open(derivatives / "sub-01.html")
    text = chromium.run(
        "document.querySelectorAll('details').forEach((d) => { d.open = true; }); return document.body.innerText"
    )
    for words in ("regions", "smaller than expected", "Left banks of the superior temporal sulcus", "methods section"):
        assert words in text
    assert "Any other region" not in text
    assert chromium.run("return [...document.querySelectorAll('.needs-js')].every((e) => !e.offsetParent)")
    charts = chromium.run(
        "return [...document.querySelectorAll('.centile svg')]"
        ".filter((e) => e.getBoundingClientRect().width > 50).length"
    )
    assert charts > 80


def test_a_region_can_be_chosen_searched_and_sorted(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "sub-02.html")
    picked = chromium.run("""
        const select = document.querySelector("[data-picker]");
        select.value = [...select.options].find((o) => o.textContent.trim() === "left insula").value;
        select.dispatchEvent(new Event("change"));
        return document.querySelector("[data-picked] figcaption").textContent;""")
    assert picked.startswith("Left insula")
    found = chromium.run("""
        const search = document.querySelector("[data-search]");
        search.value = "thalamus left"; search.dispatchEvent(new Event("input"));
        return [...document.querySelectorAll("table.searchable tbody tr:not([hidden]) th")]
          .map((e) => e.textContent);""")
    assert found == ["Left thalamus"]
    order = chromium.run("""
        const search = document.querySelector("[data-search]");
        search.value = ""; search.dispatchEvent(new Event("input"));
        const table = document.querySelector("table.searchable");
        const heading = [...table.querySelectorAll("thead th")].find((e) => e.textContent === "z");
        heading.querySelector("button").click();
        return [heading.getAttribute("aria-sort"),
                [...table.querySelectorAll("tbody td[data-column=z]")].map((e) => e.textContent)];""")
    values = [float(text.replace("−", "-")) for text in order[1]]
    assert order[0] == "ascending"
    assert values == sorted(values)


def test_the_theme_follows_the_system_until_it_is_chosen(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "sub-02.html")
    paper = "return getComputedStyle(document.body).backgroundColor"
    chromium.run("localStorage.clear()")
    light = chromium.run(paper)
    chromium.appearance("dark")
    dark = chromium.run(paper)
    assert light != dark
    chromium.run("document.querySelector('[data-theme-toggle]').click()")
    assert chromium.run(paper) == light
    chromium.run("localStorage.clear()")


def test_the_heat_map_names_the_cell_under_the_pointer(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "group.html")
    tip = chromium.run("""
        const image = document.querySelector("[data-heat] img"), box = image.getBoundingClientRect();
        image.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 2, clientY: box.top + 2}));
        return document.querySelector("[data-heat] .tip").textContent;""")
    data = json.loads(chromium.run("return document.querySelector('[data-heat] script').textContent"))
    assert tip.startswith(f"{data['people'][0]} · {data['regions'][0]} · z ")


def test_markup_in_the_data_does_nothing(chromium: Browser, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"
    dataset.write_root(tmp_path)
    dataset.write_person(tmp_path, "01", (None,), warnings=[hostile])
    (tmp_path / "CITATION.md").write_text(f"# Methods\n\n{hostile}\n")
    page = write_participant_report(tmp_path, "01")
    chromium.open(page)
    assert chromium.run("return document.title").startswith("sub-01")
    assert chromium.requests() == [page.as_uri()]


def test_the_policy_stops_a_script_that_is_not_ours(chromium: Browser, derivatives: Path, tmp_path: Path) -> None:
    page = tmp_path / "changed.html"
    text = (derivatives / "sub-02.html").read_text()
    page.write_text(
        text.replace("</main>", "</main><script>document.title = 'hit'</script><img src='https://example.org/x.png'>")
    )
    chromium.open(page)
    assert chromium.run("return document.title") != "hit"
    assert chromium.requests() == [page.as_uri()]


def test_a_figure_file_looks_the_same_in_the_browser(chromium: Browser, derivatives: Path) -> None:
    for path in (*derivatives.glob("figures/*.svg"), *derivatives.glob("sub-01/figures/*_morph.svg")):
        words = TEXT.sub("", path.read_text())
        drawn = derivatives.parent / "wordless.svg"
        drawn.write_text(words)
        chromium.open(drawn)
        size = [round(float(ElementTree.fromstring(words).get(name))) for name in ("width", "height")]
        chromium.width(*size)
        assert distance(blocks(chromium.screenshot(whole=False)), blocks(by_resvg(words))) < 20, path.name
