"""The page in a real browser: it opens silently, asks the network for nothing, and its controls do their work."""

from collections.abc import Iterator

import browser as chrome
import pytest
from report_samples import NASTY, fan, reconstruction
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from microlocal.report import write_report
from microlocal.wavefront.lengths import edge_lengths, edge_shares

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chrome.MISSING is not None, reason=str(chrome.MISSING)),
]
COMPARE, OVERLAY = "#compare .stage > canvas", "#overlay .stage > canvas"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chrome.chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    others = [reconstruction(method="fbp", blur=0.5), reconstruction(method="cgls", blur=0.2)]
    three = write_report(reconstruction(learned=True), folder / "three.html", compare=others)
    stack = write_report(reconstruction(fan(), slices=3), folder / "stack.html")
    return {"three": three.as_uri(), "stack": stack.as_uri()}


@pytest.fixture
def page(driver: webdriver.Chrome, pages: dict[str, str]) -> webdriver.Chrome:
    """The page of three reconstructions, opened afresh on a desktop that prefers light."""
    return opened(driver, pages["three"])


def opened(driver: webdriver.Chrome, url: str, *, width: int = 1280, mobile: bool = False) -> webdriver.Chrome:
    chrome.emulate(driver, width=width, height=850, mobile=mobile)
    chrome.prefer(driver, "light")
    chrome.console(driver), chrome.requests(driver)
    driver.get(url)
    chrome.settle(driver)
    return driver


def find(page: webdriver.Chrome, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def slide(page: webdriver.Chrome, selector: str, value: int) -> None:
    """Move a range input as a user's drag does: its value, then its event."""
    script = (
        "const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input'))"
    )
    page.execute_script(script, selector, value)


def scroll_to(page: webdriver.Chrome, selector: str) -> WebElement:
    element = find(page, selector)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    chrome.settle(page)
    return element


def background(page: webdriver.Chrome) -> list[int]:
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


@pytest.mark.parametrize("name", ["three", "stack"])
@pytest.mark.parametrize("mobile", [False, True], ids=["desktop", "phone"])
def test_opens_in_silence_and_alone(driver: webdriver.Chrome, pages: dict[str, str], name: str, mobile: bool) -> None:
    page = opened(driver, pages[name], width=390 if mobile else 1280, mobile=mobile)
    assert chrome.console(page) == []
    assert chrome.requests(page) == [pages[name]]
    assert NASTY in page.title
    assert find(page, "h1").text == NASTY


def test_canvases_show_the_image(page: webdriver.Chrome) -> None:
    for selector in (COMPARE, OVERLAY):
        script = (
            "const c = document.querySelector(arguments[0]); const d = c.getContext('2d').getImageData(0, 0, c.width, "
            "c.height).data; return [new Set(d).size, c.width]"
        )
        shades, width = page.execute_script(script, selector)
        assert shades > 10
        assert width > 400


def test_divider_moves_by_drag(page: webdriver.Chrome) -> None:
    before = chrome.fingerprint(page, COMPARE)
    divider = scroll_to(page, ".divider")
    ActionChains(page).drag_and_drop_by_offset(divider, -150, 0).perform()
    assert int(divider.get_attribute("aria-valuenow") or 50) < 40
    assert chrome.fingerprint(page, COMPARE) != before


def test_divider_moves_by_keyboard(page: webdriver.Chrome) -> None:
    divider = scroll_to(page, ".divider")
    before = chrome.fingerprint(page, COMPARE)
    divider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert divider.get_attribute("aria-valuenow") == "54"
    assert "54 % tv, 46 % fbp" in (divider.get_attribute("aria-valuetext") or "")
    moved = chrome.fingerprint(page, COMPARE)
    divider.send_keys(Keys.HOME)
    right = chrome.fingerprint(page, COMPARE)
    divider.send_keys(Keys.END)
    left = chrome.fingerprint(page, COMPARE)
    assert len({before, moved, right, left}) == 4


def test_either_side_takes_any_reconstruction(page: webdriver.Chrome) -> None:
    before = chrome.fingerprint(page, COMPARE)
    Select(find(page, "#right-layer")).select_by_visible_text("cgls")
    assert chrome.fingerprint(page, COMPARE) != before
    assert find(page, ".corner.right").get_attribute("textContent") == "cgls"
    Select(find(page, "#left-layer")).select_by_visible_text("cgls")
    find(page, ".divider").send_keys(Keys.HOME)
    one = chrome.fingerprint(page, COMPARE)
    find(page, ".divider").send_keys(Keys.END)
    assert chrome.fingerprint(page, COMPARE) == one


@pytest.mark.parametrize("code", ["1", "2", "3"])
def test_each_kind_of_edge_can_be_switched(page: webdriver.Chrome, code: str) -> None:
    before = chrome.fingerprint(page, OVERLAY)
    box = scroll_to(page, f"[data-edges='{code}']")
    box.click()
    assert chrome.fingerprint(page, OVERLAY) != before
    box.click()
    assert chrome.fingerprint(page, OVERLAY) == before


def test_counts_of_edges_are_those_of_the_map(page: webdriver.Chrome) -> None:
    result = reconstruction(learned=True)
    for blend, edges in ((100, result.edges), (0, result.edges_visible)):
        slide(page, "#blend", blend)
        chrome.settle(page)
        lengths, shares = edge_lengths(edges.numpy()), edge_shares(edges.numpy())
        for kind in (1, 2, 3):
            said = find(page, f"[data-count='{kind}']").text
            assert float(said.split(" mm")[0]) == pytest.approx(lengths[kind], rel=5e-3)
            assert said.endswith(f"· {100 * shares[kind]:.0f} %")


def test_the_learned_part_fades_in_from_the_measured_one(page: webdriver.Chrome) -> None:
    full = chrome.fingerprint(page, OVERLAY)
    slider = scroll_to(page, "#blend")
    slider.send_keys(Keys.HOME)
    measured = chrome.fingerprint(page, OVERLAY)
    assert find(page, "#blend-value").text == "0 %"
    assert slider.get_attribute("aria-valuetext") == "measured only: none of the learned part"
    assert find(page, "#lengths-of").text == "in f*"
    slider.send_keys(*[Keys.ARROW_RIGHT] * 40)
    half = chrome.fingerprint(page, OVERLAY)
    assert slider.get_attribute("aria-valuetext") == "40 % of the learned part"
    slider.send_keys(Keys.END)
    assert len({full, measured, half}) == 3
    assert chrome.fingerprint(page, OVERLAY) == full


def test_the_blend_is_that_of_the_two_images(page: webdriver.Chrome) -> None:
    """The grey in the square that the network drew grows with the slider; outside of it nothing changes."""
    for code in (1, 2, 3):
        find(page, f"[data-edges='{code}']").click()
    slide(page, "#width", 1000)
    slide(page, "#level", 500)
    script = """
      const c = document.querySelector(arguments[0]), n = c.width / 64;
      const grey = (row, col) => c.getContext("2d").getImageData((col + 0.5) * n, (row + 0.5) * n, 1, 1).data[0];
      return [grey(32, 32), grey(20, 32)]
    """
    inside, outside = [], []
    for share in (0, 50, 100):
        slide(page, "#blend", share)
        chrome.settle(page)
        for values, grey in zip((inside, outside), page.execute_script(script, OVERLAY), strict=True):
            values.append(grey)
    assert inside[1] == pytest.approx((inside[0] + inside[2]) / 2, abs=2)
    assert inside[2] - inside[0] > 20
    assert outside[0] == outside[1] == outside[2]


def test_only_a_reconstruction_with_a_learned_part_can_be_blended(page: webdriver.Chrome) -> None:
    assert find(page, "#blend").is_enabled()
    Select(find(page, "#overlay-layer")).select_by_visible_text("fbp")
    assert not find(page, "#blend").is_enabled()


def test_provenance_fades_in(page: webdriver.Chrome) -> None:
    before = chrome.fingerprint(page, OVERLAY)
    slide(page, "#provenance-opacity", 60)
    assert chrome.fingerprint(page, OVERLAY) != before
    assert find(page, "#provenance-value").text == "60 %"
    assert find(page, "#provenance-counts").text == "Of all pixels: 75 % measured, 25 % undetermined."


def test_window_and_level_and_colours(page: webdriver.Chrome) -> None:
    automatic = chrome.fingerprint(page, COMPARE)
    low = find(page, ".colourbar .low").text
    slide(page, "#width", 300)
    narrow = chrome.fingerprint(page, COMPARE)
    slide(page, "#level", 100)
    dark = chrome.fingerprint(page, COMPARE)
    assert len({automatic, narrow, dark}) == 3
    assert find(page, ".colourbar .low").text != low
    find(page, "#auto-window").click()
    assert chrome.fingerprint(page, COMPARE) == automatic
    bar = chrome.fingerprint(page, ".colourbar canvas")
    Select(find(page, "#colours")).select_by_value("viridis")
    assert chrome.fingerprint(page, COMPARE) != automatic
    assert chrome.fingerprint(page, ".colourbar canvas") != bar


def test_zoom_by_button_key_wheel_and_drag_moves_both_views(page: webdriver.Chrome) -> None:
    whole = chrome.fingerprint(page, COMPARE), chrome.fingerprint(page, OVERLAY)
    find(page, "#compare [data-zoom='in']").click()
    zoomed = chrome.fingerprint(page, COMPARE), chrome.fingerprint(page, OVERLAY)
    assert all(a != b for a, b in zip(whole, zoomed, strict=True))
    stage = scroll_to(page, "#overlay .stage")
    ActionChains(page).move_to_element(stage).click_and_hold().move_by_offset(-60, 30).release().perform()
    dragged = chrome.fingerprint(page, OVERLAY)
    assert dragged != zoomed[1]
    stage.send_keys("+")
    keyed = chrome.fingerprint(page, OVERLAY)
    assert keyed != dragged
    turn = ActionChains(page).scroll_from_origin
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(stage)
    turn(origin, 0, -200).perform()
    assert chrome.fingerprint(page, OVERLAY) != keyed
    ActionChains(page).double_click(stage).perform()
    assert chrome.fingerprint(page, OVERLAY) == whole[1]


def test_wheel_scrolls_the_page_until_the_image_is_clicked(page: webdriver.Chrome) -> None:
    stage = scroll_to(page, "#compare .stage")
    before, top = chrome.fingerprint(page, COMPARE), page.execute_script("return scrollY")
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(stage)
    ActionChains(page).scroll_from_origin(origin, 0, 120).perform()
    assert chrome.fingerprint(page, COMPARE) == before
    assert page.execute_script("return scrollY") > top


def test_pointing_reads_place_and_values(page: webdriver.Chrome) -> None:
    stage = scroll_to(page, "#compare .stage")
    ActionChains(page).move_to_element_with_offset(stage, -60, 60).perform()
    said = find(page, "#compare .readout").text
    assert said.startswith("x −")
    assert "mm · tv 0.05" in said
    assert "fbp 0.025" in said
    assert said.endswith("1/mm")


def test_theme_follows_the_system_and_the_button(page: webdriver.Chrome) -> None:
    assert min(background(page)) > 200
    button = find(page, "#theme")
    button.click()
    assert max(background(page)) < 60
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert min(background(page)) > 200
    page.refresh()
    chrome.prefer(page, "dark")
    chrome.settle(page)
    assert max(background(page)) < 60
    assert find(page, "#theme").text == "Light"


def test_slices_change_every_section_together(driver: webdriver.Chrome, pages: dict[str, str]) -> None:
    page = opened(driver, pages["stack"])
    before = chrome.fingerprint(page, COMPARE), chrome.fingerprint(page, OVERLAY)
    slide(page, "#slice-images", 2)
    after = chrome.fingerprint(page, COMPARE), chrome.fingerprint(page, OVERLAY)
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert [e.text for e in page.find_elements(By.CSS_SELECTOR, ".slice-number")] == ["2", "2", "2"]
    shown = [e.get_attribute("data-slice") for e in page.find_elements(By.CSS_SELECTOR, "[data-slice]:not([hidden])")]
    assert shown == ["2", "2"]


@pytest.mark.parametrize("name", ["three", "stack"])
@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_has_nothing_beyond_its_edge(
    driver: webdriver.Chrome, pages: dict[str, str], name: str, width: int
) -> None:
    page = opened(driver, pages[name], width=width, mobile=True)
    page.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    widest = page.execute_script("return document.documentElement.scrollWidth")
    assert widest <= width


def test_every_control_has_a_name_and_is_big_enough_to_touch(page: webdriver.Chrome) -> None:
    script = """
      const nameless = [], small = [];
      const shown = (e) => e.outerHTML.slice(0, 80);
      const looked = "button, select, input, [role=slider], [tabindex='0'], svg[role=img], canvas[role=img], img";
      for (const e of document.querySelectorAll(looked)) {
        const label = e.labels?.[0]?.textContent || e.textContent || e.getAttribute("alt");
        if (!(e.getAttribute("aria-label") || label || "").trim()) nameless.push(shown(e));
        const box = (e.closest("label") ?? e).getBoundingClientRect();
        const tiny = box.width && Math.min(box.width, box.height) < 24;
        if (e.matches("button, select, input") && tiny) small.push(shown(e));
      }
      return [nameless, small];
    """
    nameless, small = page.execute_script(script)
    assert nameless == []
    assert small == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: webdriver.Chrome, scheme: str) -> None:
    """WCAG's contrast ratio of at least 4.5 between the page's text colours and both its grounds."""
    chrome.prefer(page, scheme)
    chrome.settle(page)
    script = """
      const style = getComputedStyle(document.documentElement);
      const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      const light = (name) => {
        const pairs = style.getPropertyValue(name).trim().slice(1).match(/../g);
        const [r, g, b] = pairs.map((pair) => linear(parseInt(pair, 16) / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
      const inks = ["--text", "--muted", "--accent", "--good", "--bad"];
      return inks.flatMap((ink) => ["--page", "--card"].map((ground) => ratio(ink, ground)));
    """
    assert min(page.execute_script(script)) >= 4.5


def test_print_shows_everything_in_light(page: webdriver.Chrome) -> None:
    find(page, "#theme").click()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    chrome.settle(page)
    assert min(background(page)) > 200
    assert not find(page, ".top").is_displayed()
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return [...document.querySelectorAll('details')].every((d) => d.open)")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
