"""A headless Chromium for tests of the pages that the library writes."""

import gc
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = None if CHROMIUM and DRIVER else "needs chromium and chromedriver (Debian: chromium, chromium-driver)"

_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
)


@contextmanager
def chromium(profile: Path, *, width: int = 1280, height: int = 900) -> Iterator[webdriver.Chrome]:
    """Yield a browser with a fresh profile, which records its console and its network requests."""
    options = Options()
    options.binary_location = CHROMIUM or ""
    for argument in (*_QUIET, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield browser
    finally:
        # Selenium leaves the answer to its shutdown request to the garbage collector: collect it here, in silence.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            browser.quit()
            gc.collect()


def console(browser: webdriver.Chrome) -> list[str]:
    """Return the console messages since the last call."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser: webdriver.Chrome) -> list[str]:
    """Return the addresses that pages asked for since the last call, but data: ones and the browser's own."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("data:", "chrome:"))]


def emulate(browser: webdriver.Chrome, *, width: int, height: int, mobile: bool) -> None:
    """Give the page a viewport of ``width`` x ``height`` CSS pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def prefer(browser: webdriver.Chrome, scheme: str) -> None:
    """Let the reader prefer "light" or "dark"."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def settle(browser: webdriver.Chrome) -> None:
    """Wait until the page has drawn twice."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
    )


def fingerprint(browser: webdriver.Chrome, selector: str) -> Any:
    """Return a canvas's picture as a data URI, after it has settled."""
    settle(browser)
    return browser.execute_script("return document.querySelector(arguments[0]).toDataURL()", selector)
