"""A real browser, as the tests of the page use it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
LOOK_S = 0.05


class Browser:
    """Chromium with a profile of its own."""

    def __init__(self, program: str, driver: str, profile: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = program
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        self.shape(1280, 800)

    def close(self) -> None:
        self.driver.quit()

    def open(self, url: str) -> None:
        self.complaints()
        self.driver.get(url)

    def js(self, body: str) -> Any:
        """Return what a script's ``return`` gives."""
        return self.driver.execute_script(body)

    def until(self, health: str) -> Any:
        """Wait until an expression is true in the page; return its value."""
        end = time.monotonic() + PATIENCE_S
        while not (value := self.js(f"return {health}")):
            if time.monotonic() > end:
                text = self.js("return document.body.innerText")
                raise AssertionError(f"never true: {health}\n{text}\n{self.complaints()}")
            time.sleep(LOOK_S)
        return value

    def shape(self, width: int, height: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, *, dark: bool = False, still: bool = False) -> None:
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.keys import Keys

        target = self.driver.switch_to.active_element
        for key in keys:
            target.send_keys(getattr(Keys, key))
            target = self.driver.switch_to.active_element

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))

    def complaints(self) -> list[str]:
        """What the browser's console says since the last look: errors of scripts, refused resources."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
