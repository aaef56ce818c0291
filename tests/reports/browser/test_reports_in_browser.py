import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bids_app.bids.ratings import Rating, read_ratings
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
const options = {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}};
axe.run({include: [["html"]], exclude: alike}, options).then(
  (found) => done(found.violations.map((v) => [v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))])),
  (error) => done([["critical", String(error), []]]));
"""


# what is folded may hold folds
UNFOLD = """
const done = arguments[arguments.length - 1];
const open = (times) => {
  document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
  if (times) setTimeout(() => open(times - 1), 50); else done(document.querySelectorAll("noscript").length);
};
open(4);"""


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
    chromium.run_async(UNFOLD)
    chromium.run(axe)
    found = chromium.run_async(RUN_AXE)
    assert [violation for violation in found if violation[0] in SERIOUS] == []


@pytest.mark.parametrize("name", ["sub-01", "sub-02"])
def test_a_person_prints_on_at_most_three_pages(chromium: Browser, derivatives: Path, name: str) -> None:
    chromium.open(derivatives / f"{name}.html")
    assert 1 <= count_pages(chromium.pdf()) <= 3


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
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


def test_a_region_is_selected_everywhere_and_its_address_can_be_sent(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "sub-01.html")
    chromium.run(
        "document.querySelector('svg.brain-map use[href=\"#atlas-Left-Thalamus\"]')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert chromium.run("return location.hash") == "#region=Left-Thalamus"
    seen = """
        return [document.querySelectorAll("svg.brain-map .pick").length,
                [...document.querySelectorAll("tr.selected th")].map((e) => e.title)[0],
                document.querySelector(".selection p").textContent]"""
    rings, row, words = chromium.run(seen)
    assert rings == chromium.run("return document.querySelectorAll('svg.brain-map').length")
    assert row == "Left-Thalamus"
    assert words.startswith("left thalamus: z ")
    assert "centile" in words
    assert "mm³" in words
    chromium.open(derivatives / "sub-01.html")
    chromium.run("location.hash = '#region=Left-Thalamus'")
    assert chromium.run(
        "return new Promise((done) => setTimeout(() => done(document.querySelectorAll('.pick').length)))"
    )
    chromium.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))")
    assert chromium.run("return document.querySelectorAll('.pick, .selected').length") == 0


def test_arrow_keys_go_from_region_to_region(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "sub-01.html")
    press = """
        const map = document.querySelector("svg.brain-map");
        map.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
        return location.hash"""
    first, second = chromium.run(press), chromium.run(press)
    assert first.startswith("#region=")
    assert first != second


def test_tables_are_filtered_by_side_and_deviation(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "sub-01.html")
    kept = chromium.run("""
        for (const [name, value] of [["side", "left"], ["deviation", "infra"]]) {
          const choice = document.querySelector(`[data-filter=${name}]`);
          choice.value = value; choice.dispatchEvent(new Event("change"));
        }
        return [...document.querySelectorAll("table.searchable tbody tr:not([hidden])")]
          .map((row) => [row.className, row.children[0].title])""")
    assert kept
    assert all("infra" in classes and name.startswith(("lh_", "Left-")) for classes, name in kept)


CATCH = """
    window.saved = [];
    URL.createObjectURL = (blob) => { window.saved.push(blob); return "data:,"; };"""
PRESS = """
    const buttons = [...document.querySelectorAll(`${arguments[0]} .save button`)];
    buttons.find((button) => button.textContent === arguments[1]).click();"""
LAST = "return window.saved.at(-1).text()"


def test_tables_and_figures_can_be_taken_away(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "sub-01.html")
    chromium.run(CATCH + PRESS, "#regions", "TSV")
    lines = chromium.run(LAST).splitlines()
    assert lines[0].split("\t")[:4] == ["Region", "Volume", "Expected", "z"]
    assert float(lines[1].split("\t")[3])
    chromium.run(PRESS, "#glance", "SVG")
    drawing = ElementTree.fromstring(chromium.run(LAST))
    assert "var(" not in chromium.run(LAST)
    targets = {use.get("href").removeprefix("#") for use in drawing.iter("{http://www.w3.org/2000/svg}use")}
    assert targets <= {element.get("id") for element in drawing.iter()}
    size = chromium.run(
        PRESS
        + """
        const taken = () => { const {type, size} = window.saved.at(-1); return type === "image/png" && [type, size]; };
        return new Promise((done) => {
          const wait = setInterval(() => { if (taken()) { clearInterval(wait); done(taken()); } }, 20);
        })""",
        "#glance",
        "PNG",
    )
    assert size[0] == "image/png"
    assert size[1] > 20_000


def test_a_rating_is_downloaded_as_the_file_that_the_command_reads(
    chromium: Browser, derivatives: Path, tmp_path: Path
) -> None:
    chromium.open(derivatives / "sub-01.html")
    chromium.run("localStorage.clear()")
    chromium.open(derivatives / "sub-01.html")
    rate = """
        const form = document.querySelectorAll("[data-scan]")[1];
        form.querySelector("[value=exclude]").click();
        form.querySelector("[data-reason]").value = arguments[0];
        form.dispatchEvent(new Event("input"));
        document.querySelector("[data-ratings]").click();
        return [document.querySelector("[data-said]").textContent, window.saved.length]"""
    assert chromium.run(CATCH + rate, "") == ["Say why sub-01 ses-2 is excluded.", 0]
    assert chromium.run(rate, "  moved\ta lot ") == ["1 rated.", 1]
    (tmp_path / "ratings.tsv").write_text(chromium.run(LAST))
    assert read_ratings(tmp_path / "ratings.tsv") == {("sub-01", "ses-2"): Rating("exclude", "moved a lot")}
    chromium.run("localStorage.clear()")


def test_the_heat_map_is_read_by_arrow_keys(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "group.html")
    tip = chromium.run("""
        const box = document.querySelector(".heat-image");
        for (const key of ["ArrowDown", "ArrowRight", "ArrowRight"])
          box.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        return document.querySelector("[data-heat] .tip").textContent;""")
    data = json.loads(chromium.run("return document.querySelector('[data-heat] script').textContent"))
    assert tip.startswith(f"{data['people'][1]} · {data['regions'][2]} · z ")


def test_the_group_prints_its_figures_on_at_most_twelve_pages(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "group.html")
    assert 2 <= count_pages(chromium.pdf()) <= 12
    assert chromium.run("return document.querySelectorAll('details.fold[open]').length") == 0


def test_the_group_opens_on_at_most_six_screens_with_few_elements(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "group.html")
    height, nodes = chromium.run(
        "return [document.documentElement.scrollHeight, document.querySelectorAll('*').length]"
    )
    assert height <= 6 * 900
    assert nodes <= 8000


def test_the_contents_stay_in_sight(chromium: Browser, derivatives: Path) -> None:
    chromium.open(derivatives / "group.html")
    chromium.run("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 2000)")
    assert chromium.run("return document.querySelector('nav.contents-line').getBoundingClientRect().top") == 0


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


VIEWER = """
const done = arguments[arguments.length - 1];
const button = [...document.querySelectorAll("figure .save button")].find((each) => each.textContent === "3-D");
button.click();
const wait = (times) => {
  const text = document.querySelector(".viewer")?.textContent ?? "";
  if (document.querySelector(".viewer canvas") || text.includes("No view") || !times) done(text);
  else setTimeout(() => wait(times - 1), 100);
};
wait(200);"""


def test_the_brain_turns_on_request_and_picks_regions_by_keyboard(chromium: Browser, derivatives: Path) -> None:
    page = derivatives / "sub-01.html"
    chromium.open(page)
    assert "Left thalamus" in chromium.run_async(VIEWER).replace("left thalamus", "Left thalamus")
    assert len(chromium.requests()) == 4
    assert chromium.run("return document.querySelector('.viewer canvas').tabIndex") == 0
    picked = "const list = document.querySelectorAll('.viewer select')[1]; list.value = 'Left-Thalamus';"
    chromium.run(picked + "list.dispatchEvent(new Event('change'))")
    assert chromium.run("return location.hash") == "#region=Left-Thalamus"
    assert chromium.run("return document.querySelectorAll('.viewer select')[0].value") == "glass"
    assert [line for line in chromium.log("browser") if "GPU stall" not in str(line)] == []


def test_without_the_scripts_beside_it_the_page_says_so_and_keeps_the_map(
    chromium: Browser, derivatives: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "sub-01.html"
    alone.write_bytes((derivatives / "sub-01.html").read_bytes())
    chromium.open(alone)
    assert "The drawn map shows the same" in chromium.run_async(VIEWER)
    assert chromium.run("return document.querySelectorAll('figure.brain svg.brain-map').length") >= 1
