"""The pages of the claims: complete, without broken links, and in a browser searchable, sortable and to be shared."""

import json
import re
import shutil
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from qra_jax import claims
from qra_jax.claims import pages

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


@pytest.fixture(scope="module")
def records():
    return claims.load()


@pytest.fixture(scope="module")
def site(tmp_path_factory, records):
    """The pages of all claims, with the figure of one study."""
    results = tmp_path_factory.mktemp("results")
    (results / "regimes").mkdir()
    shutil.copy(Path(__file__).parent.parent / "docs" / "regimes.png", results / "regimes" / "figure.png")
    (results / "regimes" / "done.json").write_text('{"quick": true}')
    return pages.write(tmp_path_factory.mktemp("site"), records, results=results).parent


class Links(HTMLParser):
    """What a page refers to, and its tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.wrong = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "link", "input", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):  # as in <circle r=5 />
        assert tag in ("rect", "line", "circle", "path"), tag

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_every_claim_has_a_page_and_no_link_is_broken(site, records):
    files = sorted(site.rglob("*.html"))
    assert len(files) == len(records) + 2
    for file in files:
        page = Links(file.read_text(encoding="utf-8"))
        assert page.wrong == [], file
        assert page.open == [], file
        for link in page.found:
            parts = urlsplit(link)
            if parts.scheme:
                assert link.startswith("https://arxiv.org/abs/"), (
                    link
                )  # to follow, not needed to show the page
            else:
                assert (file.parent / unquote(parts.path)).is_file(), (file, link)


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_page_says_all_of_its_claim(site, records, number):
    one = records[number]
    text = unescape((site / one["id"] / "index.html").read_text(encoding="utf-8"))
    said = [one["statement"], one["tolerance"], one["measured"], one["origin"]["words"], one["fingerprint"]]
    said += [control[key] for control in one["controls"] for key in ("description", "predicted", "measured")]
    said += [*one["conditions"].values(), f"qra reproduce --claim {one['id']}", one["needs_no_control"]]
    for part in said:
        assert part in text
    assert text.count("<figure class=evidence>") == len(one["evidence"])
    assert f'<div class="verdict {one["verdict"].split()[-1]}" id=verdict>' in text
    if "contributor" in one:
        assert one["contributor"]["source"] in text
        assert "QRA_STUDIES=DIR qra reproduce" in text


def test_the_figure_of_a_study_is_shown_where_there_is_one(site):
    assert (site / "regimes" / "figure.png").is_file()
    shown = (site / "regimes" / "rises" / "index.html").read_text()
    assert '<img class=study alt="Figure of the study regimes" src="../figure.png">' in shown
    assert "Drawn by the quick version" in shown
    assert "<img" not in (site / "optimal-policy" / "coded" / "index.html").read_text()


def test_contradictions_stand_side_by_side(site, records):
    text = unescape((site / pages.CONFLICTS).read_text())
    for pair in (*claims.contradictions(records), *claims.divided(records)):
        assert pair.first["measured"] in text
        assert pair.second["measured"] in text
    for pair in claims.contradictions(records):
        assert pair.decision in text


def test_the_page_carries_its_description_as_data(site):
    text = (site / "index.html").read_text()
    [inside] = re.findall(r"<script type='application/ld\+json'>(.*?)</script>", text, flags=re.S)
    assert json.loads(inside) == json.loads((site / "croissant.json").read_text())


def test_text_of_records_is_no_markup(records, tmp_path):
    evil = "<script>alert(1)</script>"
    by = {"name": evil, "source": evil, "url": 'https://example.org/"><script>'}
    one = records[0] | {"statement": evil, "reason": evil, "measured": evil, "contributor": by}
    for file in pages.write(tmp_path, [one]).parent.rglob("*.html"):
        assert evil not in file.read_text()
        assert '"><script>' not in file.read_text()
    with pytest.raises(ValueError, match=re.escape("id: '../../up'; must be the study")):
        pages.write(tmp_path, [one | {"id": "../../up", "study": ".."}])
    with pytest.raises(ValueError, match="is a file; must be a folder"):
        pages.write(tmp_path / "index.html", [one])


def test_neither_is_that_of_papers_and_contributors(records, tmp_path):
    evil = '"><img src=x onerror=alert(1)>'
    one = next(one for one in records if one["paper"])
    for name in ("arxiv", "version", "read"):
        paper = one["paper"] | {"arxiv": "2501.00001", name: evil}
        for file in pages.write(tmp_path / name, [one | {"paper": paper}]).parent.rglob("*.html"):
            assert evil not in file.read_text(), name
    for url, linked in (
        ("https://a.org/?b&c", True),
        ("javascript:alert(1)", False),
        ("", False),
        (None, False),
    ):
        by = {"name": "A", "source": "B", "url": url}
        pages.write(tmp_path / "by", [one | {"contributor": by}])
        text = (tmp_path / "by" / one["id"] / "index.html").read_text()
        assert ('Contributed by <a href="https://a.org/?b&amp;c">A</a>.' in text) is linked
        assert ("Contributed by A." in text) is not linked


# in a browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1200,900"),
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield browser
    browser.quit()


@pytest.fixture
def table(driver, site):
    """The table, opened anew, and a function that gives the ids of the claims that are seen, in their order."""
    driver.get("about:blank")
    driver.get((site / "index.html").as_uri())

    def seen():
        script = """return [...document.querySelectorAll("tbody tr")].filter((row) => row.offsetParent !== null)
            .map((row) => row.querySelector("a").getAttribute("href").replace("/index.html", ""))"""
        return driver.execute_script(script)

    return driver, seen


def press(driver, selector):
    driver.find_element("css selector", selector).click()


def ids(records):
    return [one["id"] for one in records]


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_search_narrows_and_is_undone(table, records):
    driver, seen = table
    assert seen() == ids(records)
    driver.find_element("id", "q").send_keys("Entropy CLIP")
    assert seen() == ids(claims.select(records, text="entropy clip"))
    assert 0 < len(seen()) < 50
    assert driver.find_element("id", "shown").text == f"{len(seen())} of {len(records)} claims"
    press(driver, "#clear")
    assert seen() == ids(records)
    assert driver.current_url.endswith("index.html")


def test_filters_combine_and_count(table, records):
    from selenium.webdriver.support.ui import Select

    driver, seen = table
    press(driver, "button[value=fails]")
    assert seen() == ids(claims.select(records, verdict="fails"))
    press(driver, "button[value='holds only if']")
    either = [one for one in records if one["verdict"] in ("fails", "holds only if")]
    assert seen() == ids(either)
    Select(driver.find_element("id", "paper")).select_by_value("2509.26114")
    assert seen() == ids(claims.select(either, paper="2509.26114"))
    counts = Counter(one["verdict"] for one in claims.select(records, paper="2509.26114"))
    for verdict in claims.VERDICTS:
        assert driver.find_element("css selector", f"button[value='{verdict}'] .n").text == str(
            counts[verdict]
        )
    press(driver, "#clear")
    Select(driver.find_element("id", "origin")).select_by_value("asked")
    Select(driver.find_element("id", "subject")).select_by_value("noise")
    assert seen() == ids(claims.select(records, origin="asked", subject="noise"))


def test_headers_sort_both_ways_and_back(table, records):
    driver, seen = table
    head = "th[data-key=verdict]"
    order = sorted(records, key=lambda one: claims.VERDICTS.index(one["verdict"]))
    press(driver, f"{head} button")
    assert seen() == ids(order)
    assert driver.find_element("css selector", head).get_attribute("aria-sort") == "ascending"
    press(driver, f"{head} button")
    down = sorted(records, key=lambda one: -claims.VERDICTS.index(one["verdict"]))
    assert seen() == ids(down)
    press(driver, f"{head} button")
    assert seen() == ids(records)
    press(driver, "th[data-key=subject] button")
    subjects = {one["id"]: one["subject"] for one in records}
    shown = [subjects[name] for name in seen()]
    assert shown == sorted(shown)
    assert len(set(shown)) > 5


def test_a_filtered_view_can_be_shared_and_used_by_keyboard(table, records):
    from selenium.webdriver.common.keys import Keys

    driver, seen = table
    driver.find_element("css selector", "body").send_keys("/")
    driver.switch_to.active_element.send_keys("momentum")
    fails = driver.find_element("css selector", "button[value=fails]")
    fails.send_keys(Keys.SPACE)
    driver.find_element("css selector", "th[data-key=claim] button").send_keys(Keys.ENTER)
    shown, address = seen(), driver.current_url
    assert address.endswith("#q=momentum&verdict=fails&sort=claim")
    assert set(shown) == set(ids(claims.select(records, text="momentum", verdict="fails")))
    assert shown
    driver.get("about:blank")
    driver.get(address)
    assert seen() == shown
    assert driver.find_element("id", "q").get_attribute("value") == "momentum"
    driver.execute_script("location.hash = 'subject=nowhere&verdict=open'")
    driver.execute_script("return new Promise((done) => setTimeout(done, 50))")
    assert seen() == ids(claims.select(records, verdict="open"))


def test_a_link_opens_the_page_of_a_claim_with_verdict_and_control(table, records):
    driver, _ = table
    driver.find_element("id", "q").send_keys("optimal-policy/coded")
    press(driver, "tbody tr:not([hidden]) a")
    [one] = [one for one in records if one["id"] == "optimal-policy/coded"]
    assert driver.find_element("css selector", "h1").text == one["statement"]
    assert "fails" in driver.find_element("id", "verdict").text
    control = driver.find_element("css selector", ".control").text
    assert one["controls"][0]["description"] in control
    assert one["controls"][0]["measured"] in control
    assert driver.find_element("css selector", ".evidence .plot").size["width"] > 200
    assert "kl-variants/forward" in driver.find_element("css selector", "ul.links a").get_attribute("href")
    press(driver, "header a")
    assert driver.current_url.endswith("index.html")
    errors = [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    assert errors == []


def test_the_contributed_claim_is_found(table, records):
    from selenium.webdriver.support.ui import Select

    driver, seen = table
    Select(driver.find_element("id", "origin")).select_by_value("contributed")
    contributed = claims.select(records, contributed=True)
    assert seen() == ids(contributed)
    driver.find_element("id", "q").send_keys("example of the documents")
    assert "best-of-two/wins" in seen()
    assert "contributed by" in driver.find_element("css selector", "tbody tr:not([hidden])").text


@pytest.mark.parametrize("page", ["index.html", "contradictions.html", "small-subnetwork/rank/index.html"])
def test_pages_fit_a_phone(driver, site, page):
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        driver.get((site / page).as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
