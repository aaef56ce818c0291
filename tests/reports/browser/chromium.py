"""A real browser through chromedriver's plain HTTP interface (W3C WebDriver), with the standard library only."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--hide-scrollbars",
)
START_SECONDS = 20
TIMEOUT_SECONDS = 180


def executables() -> tuple[str, str] | None:
    """Paths of chromium and chromedriver, None when one is missing."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One browser session."""

    def __init__(self, address: str, binary: str, profile: Path) -> None:
        options = {"binary": binary, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._address = address
        reply = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{reply['sessionId']}"
        self._call("POST", self._session + "/timeouts", {"script": 1000 * TIMEOUT_SECONDS})
        self._call("POST", self._session + "/url", {"url": "about:blank"})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply:
            return json.load(reply)["value"]

    def open(self, page: Path) -> None:
        """Load a file from disk; forget what was logged before."""
        self.log("browser"), self.log("performance")
        self._call("POST", self._session + "/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a script body returns."""
        return self._call("POST", self._session + "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script: str, *arguments: Any) -> Any:
        """The value that a script hands to its last argument."""
        return self._call("POST", self._session + "/execute/async", {"script": script, "args": list(arguments)})

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self._call("POST", self._session + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Entries of the ``browser`` (console) or ``performance`` log since the last call."""
        return self._call("POST", self._session + "/se/log", {"type": kind})

    def requests(self) -> list[str]:
        """Addresses asked for since `open`; ``data:`` and what the page's policy held back are left out."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        held = {
            event["params"]["requestId"]
            for event in events
            if event["method"] == "Network.loadingFailed" and event["params"].get("blockedReason") == "csp"
        }
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [
            request["request"]["url"]
            for request in sent
            if request["requestId"] not in held and not request["request"]["url"].startswith("data:")
        ]

    def pdf(self) -> bytes:
        """The page printed on A4 with the margins of its stylesheet."""
        reply = self.devtools("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(reply["data"])

    def appearance(self, scheme: str) -> None:
        """Make the system ask for ``light`` or ``dark`` pages."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def width(self, pixels: int, height: int = 900) -> None:
        """Width of the window."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=pixels, height=height, deviceScaleFactor=1, mobile=False
        )

    def without_scripts(self, off: bool) -> None:
        """Switch the page's own scripts off; scripts of `run` still work."""
        self.devtools("Emulation.setScriptExecutionDisabled", value=off)

    def screenshot(self, whole: bool = True) -> bytes:
        """PNG of the window or of the whole page."""
        reply = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(reply["data"])

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(OSError):
            self._call("DELETE", self._session)


def count_pages(pdf: bytes) -> int:
    """Number of pages of a PDF as Chromium writes it."""
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser that is gone when the block ends."""
    found = executables()
    if found is None:
        raise FileNotFoundError("chromium and chromedriver are needed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen([found[1], f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        session = Browser(f"http://127.0.0.1:{port}", found[0], profile)
        try:
            yield session
        finally:
            session.close()
    finally:
        driver.terminate()
        driver.wait(10)


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"chromedriver does not answer on port {port}")
