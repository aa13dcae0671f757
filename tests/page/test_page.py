"""The page in a real Chromium: simulated clusters of all sizes, and a real one of which a worker is killed.

``STREAMMAC_SCREENSHOT=DIR`` lets the real cluster run longer and takes the README's pictures there.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from starlette.applications import Starlette

from streammac.files.writes import Writes
from streammac.link.http_server import serve
from streammac.page.report import render
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.local_cluster import LocalCluster
from streammac.wire.status import ClusterStatus, Event
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture
from tests.page.browser import Browser
from tests.page.simulated import simulated_status
from tests.patience import PATIENCE_S
from workers.coordinator.http import routes
from workers.coordinator.live import Live

SCREENSHOTS = (
    os.environ.get("STREAMMAC_SCREENSHOT") and Path(os.environ["STREAMMAC_SCREENSHOT"]).absolute()
)

WRITES = Writes(lambda *_: None)
SHOWN_S = 45.0
"""How long a cluster trains before its picture is taken."""
WORKERS = 4
NAMES = [f"w{n}" for n in range(1, WORKERS + 1)]
STATES = "Object.fromEntries([...document.querySelectorAll('.node')].map((n) => [n.dataset.name, n.dataset.state]))"
EDGES = "[...document.querySelectorAll('.edge')].map((n) => n.dataset.key)"
CURVES = "[...document.querySelectorAll('#{} [data-series]')].filter((c) => c.getAttribute('d').length > 20)"

Show = Callable[..., None]


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(RunDirectory(tmp_path / "run"), WRITES)


@pytest.fixture
def show(live: Live, browser: Browser) -> Iterator[Show]:
    """Show a simulated status in the browser; the page is opened at the first one."""
    live.history.parent.mkdir(parents=True)
    url, close = serve(Starlette(routes=routes(live)), "127.0.0.1", 0)
    turn = 0.0

    def next_one(status: ClusterStatus) -> None:
        nonlocal turn
        turn += 1e6
        live.step(turn, lambda: status, list)
        if turn == 1e6:
            browser.open(url)
        live_now = "document.querySelector('#connection').textContent === 'Live'"
        drawn = "document.querySelector('.stage svg').ariaLabel"
        browser.until(f"{live_now} && {drawn} && {epoch_is(status.epoch)}")

    browser.prefer(still=True)
    browser.shape(1280, 800)
    yield next_one
    browser.open("about:blank")
    live.closed = True
    close()


def epoch_is(number: int) -> str:
    return f"document.querySelector('.stage .epoch')?.textContent === '{number}'"


# -- a real cluster --------------------------------------------------------------------------------


@pytest.mark.processes
def test_a_worker_is_killed_and_the_ring_closes(
    tmp_path: Path,
    browser: Browser,
    run: Run,  # noqa: F811
) -> None:
    settings = Settings.model_validate(
        {
            "cluster": {"workers": WORKERS, "heartbeat_s": 0.1},
            "model": {"bits": 16},
            "ingest": {"sources": ["digits:?rate=2000"]},
            "training": {"start_points": 500},
            "held_out": {"share": 0.1},
        }
    )
    browser.prefer()
    browser.shape(1280, 800)
    # nobody looks after the processes here: a dead worker stays dead
    with LocalCluster(RunDirectory(tmp_path / "d"), settings) as cluster:
        began = time.monotonic()
        announced = cluster.directory.wait_for("coordinator", PATIENCE_S)
        assert announced is not None
        browser.open(announced["http_url"])
        ring = ",".join(f"{a} {b}" for a, b in zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
        browser.until(
            f"{EDGES}.sort().join() === '{ring}' && Object.values({STATES}).every((s) => s === 'alive')"
        )
        for chart, curves in (("quality", 5), ("throughput", 2), ("epoch", 3), ("objective", 2)):
            browser.until(f"{CURVES.format(f'chart-{chart}')}.length >= {curves}")
        browser.until("document.querySelectorAll('.block[data-holder]').length > 0")
        browser.until("document.querySelector('#answer-training').dataset.tone === 'good'")
        if SCREENSHOTS:
            time.sleep(max(0.0, began + SHOWN_S - time.monotonic()))

        victim = cluster.workers[1]
        os.kill(victim.process.pid, signal.SIGKILL)
        browser.until(f"{STATES}.w2 === 'lost'")
        browser.until(f"{EDGES}.sort().join() === 'w1 w3,w3 w4,w4 w1'")
        red = browser.js(
            "return getComputedStyle(document.querySelector('[data-name=w2] .body')).stroke"
        )
        assert red == browser.js(
            "const e = document.body.appendChild(document.createElement('i'));"
            "e.style.color = 'var(--red)'; return getComputedStyle(e).color;"
        )
        assert "w2" in browser.js("return document.querySelector('.stage svg').ariaLabel")
        browser.until(
            "document.querySelector('#answer-failures .short').textContent === 'Lost: w2'"
        )
        before = int(
            browser.js("return document.querySelector('.epoch').textContent.replaceAll(',', '')")
        )
        browser.until(
            f"Number(document.querySelector('.epoch').textContent.replaceAll(',', '')) > {before}"
        )
        if SCREENSHOTS:
            time.sleep(4)  # the picture shows what comes after
            pictures(browser, SCREENSHOTS)

        # a reload shows everything from the beginning
        browser.open(announced["http_url"])
        browser.until(f"{CURVES.format('chart-quality')}.length === 5")
        browser.until(f"{STATES}.w2 === 'lost'")
        code, out, _ = run("report", "d", "--output", "running.html")
        assert (code, out.strip()) == (0, "running.html")
    browser.until("document.querySelector('#connection').textContent === 'Ended'")
    assert refused(browser) == []

    assert run("report", "d")[0] == 0
    for name, words in (("running.html", "while it ran"), ("d/report.html", "Report, ")):
        browser.open((tmp_path / name).as_uri())
        assert words in browser.js("return document.querySelector('#connection').textContent")
        browser.until(f"{CURVES.format('chart-quality')}.length === 5")
        assert browser.js(f"return Object.keys({STATES}).sort()") == NAMES
        assert browser.complaints() == [], "it needs nothing but itself"
    assert browser.js(
        "return document.querySelector('#answer-training .short').textContent"
    ).startswith("Ended after")


def pictures(browser: Browser, directory: Path) -> None:
    browser.shape(1280, 1130)
    browser.screenshot(directory / "page.png")
    browser.prefer(dark=True)
    browser.screenshot(directory / "page-dark.png")
    browser.prefer()


def refused(browser: Browser) -> list[str]:
    """Complaints but for the connection that ends with the coordinator."""
    return [text for text in browser.complaints() if "ERR_" not in text]


# -- simulated clusters ----------------------------------------------------------------------------


def test_submodels_move_and_a_returning_worker_is_taken_in(show: Show, browser: Browser) -> None:
    status = simulated_status(3, 1)
    show(status)
    browser.until(epoch_is(1))
    holder = "document.querySelector('.block[data-key=\"encoder/0\"]').dataset.holder"
    assert browser.js(f"return {holder}") == "w1"
    first, second, third = simulated_status(3, 2).workers
    third = replace(third, holding=("encoder/0", "encoder/2"))
    show(replace(simulated_status(3, 2), workers=(replace(first, holding=()), second, third)))
    browser.until(f"{holder} === 'w3'")
    show(simulated_status(3, 3, lost=1))
    browser.until(f"{STATES}.w1 === 'lost' && {EDGES}.sort().join() === 'w2 w3,w3 w2'")
    show(simulated_status(3, 4))
    browser.until(f"{STATES}.w1 === 'alive' && {EDGES}.length === 3")
    assert browser.complaints() == []


def test_an_event_is_listed_and_read_out_and_never_taken_for_markup(
    show: Show, browser: Browser
) -> None:
    show(simulated_status(2, 1))
    browser.until("document.querySelectorAll('#events li').length === 1")
    assert "<b>here</b>" in browser.js(
        "return document.querySelector('#events li .text').textContent"
    )
    status = simulated_status(2, 2)
    lost = Event(2, 1.7e9 + 9, "lost", "w2", "w2: crash")
    recovered = Event(3, 1.7e9 + 9.4, "recovered", "", "", 0.4)
    show(replace(status, events=(*status.events, lost, recovered)))
    browser.until("document.querySelectorAll('#events li').length === 3")
    kinds = "[...document.querySelectorAll('#events .kind')].map((k) => k.textContent)"
    assert browser.js(f"return {kinds}") == ["Recovered in 0.4 s", "Lost", "Joined"]
    spoken = browser.js("return document.querySelector('#news[aria-live=polite]').textContent")
    assert "Lost: w2: crash" in spoken
    assert "Recovered in 0.4 s" in spoken


def test_all_measures_are_in_a_table(show: Show, browser: Browser) -> None:
    show(simulated_status(2, 2))
    browser.js("document.querySelector('#measures').open = true")
    browser.until("document.querySelectorAll('#measures tbody tr').length === 2")
    cells = "[...document.querySelectorAll('#measures td')].map((t) => t.textContent)"
    assert browser.js(f"return {cells}") == ["0.27 ± 0.0125"] * 2 + ["0.16 ± 0.01"] * 2


def test_a_thousand_members(show: Show, browser: Browser) -> None:
    show(simulated_status(1000, 1, lost=7))
    browser.until("document.querySelectorAll('.sector').length === 40")
    assert browser.js("return document.querySelectorAll('.sector .gone:not([d=\"\"])').length") == 1
    assert browser.js("return document.querySelectorAll('.node').length") == 0
    assert browser.js("return document.querySelectorAll('*').length") < 1500
    browser.js("document.querySelector('#workers').open = true")
    browser.until("document.querySelectorAll('#workers tbody tr').length === 60")
    first = browser.js(
        "return [...document.querySelectorAll('#workers tbody th')].slice(0, 7).map((t) => t.textContent)"
    )
    assert first == [f"w{n}" for n in range(1, 8)], "the lost ones come first"
    show(simulated_status(5, 2))
    browser.until(
        "document.querySelectorAll('.node').length === 5 && !document.querySelector('.sector')"
    )
    assert browser.complaints() == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844), (320, 640)])
def test_nothing_sticks_out(show: Show, browser: Browser, width: int, height: int) -> None:
    browser.shape(width, height)
    show(simulated_status(12, 1, lost=1))
    browser.until("document.querySelectorAll('.node').length === 12")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    stuck = browser.js(
        "return [...document.querySelectorAll('body *')].filter((e) => !e.closest('svg, .scroll, .unseen, .skip') "
        "&& e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert stuck == []


CONTRAST = """
const rgb = (text) => { const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  c.fillStyle = text; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
const light = (parts) => { const [r, g, b] = parts.map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { for (; e; e = e.parentElement) {
  const body = e.matches('.node:not([data-state=lost]) *') && e.parentElement.querySelector('.body');
  const colour = body ? getComputedStyle(body).fill : getComputedStyle(e).backgroundColor;
  const parts = rgb(colour); if (parts[3] === 255) return parts; } return [255, 255, 255]; };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), poor = new Set();
let seen = 0;
while (walker.nextNode()) {
  const text = walker.currentNode, e = text.parentElement;
  if (!text.data.trim() || e.closest('script, noscript, title, style') || !e.getClientRects().length) continue;
  const style = getComputedStyle(e), colour = rgb(e.closest('svg') ? style.fill : style.color);
  const [a, b] = [light(colour.slice(0, 3)), light(behind(e).slice(0, 3))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05); seen += 1;
  if (ratio < 4.5) poor.add(`${ratio.toFixed(2)} ${e.tagName}.${e.getAttribute('class')} ${text.data.slice(0, 30)}`);
}
return [seen, [...poor]];
"""


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_aa(show: Show, browser: Browser, dark: bool) -> None:
    show(simulated_status(5, 1, lost=1))
    show(simulated_status(5, 2, lost=1))
    browser.prefer(dark=dark, still=True)
    browser.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    browser.until("document.querySelectorAll('#workers tbody tr').length === 5")
    background = browser.js("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(14, 19, 26)") == dark
    seen, poor = browser.js(CONTRAST)
    assert seen > 60
    assert poor == []


def test_names_and_roles(show: Show, browser: Browser) -> None:
    show(simulated_status(3, 1))
    assert browser.js("return document.documentElement.lang") == "en"
    levels = browser.js(
        "return [...document.querySelectorAll('h1,h2,h3')].map((h) => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    unnamed = browser.js(
        "return [...document.querySelectorAll('section, [role=img], button, input, th')]"
        ".filter((e) => !(e.ariaLabel || "
        "document.getElementById(e.getAttribute('aria-labelledby'))?.textContent || e.labels?.[0]?.textContent || "
        "e.textContent.trim())).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert unnamed == []


def test_the_keyboard_reaches_everything(show: Show, browser: Browser) -> None:
    for epoch in range(1, 4):
        show(simulated_status(3, epoch))
    browser.js("document.activeElement?.blur()")
    reached: list[str] = []
    while reached.count("skip") < 2 and len(reached) < 40:
        browser.press("TAB")
        reached.append(
            browser.js(
                "const e = document.activeElement; return e.id || e.getAttribute('class') || e.tagName"
            )
        )
    assert reached.count("plot") == 4
    assert {"skip", "theme", "SUMMARY", "INPUT"} <= set(reached)
    browser.js("document.querySelector('#chart-quality .plot').focus()")
    outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.press("ARROW_LEFT")
    assert browser.js("return document.querySelectorAll('#chart-quality .cursor').length") == 1
    assert "ITQ" in browser.js(
        "return document.querySelector('#chart-quality [aria-live]').textContent"
    )
    browser.js("document.querySelector('#theme').click()")
    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 26)"
    assert browser.js("return document.querySelector('#theme').ariaPressed") == "true"
    browser.js("document.querySelector('#theme').click()")


def test_stillness_is_respected(show: Show, browser: Browser) -> None:
    show(simulated_status(3, 1))
    move = "getComputedStyle(document.querySelector('.node')).transitionDuration"
    browser.until("document.querySelector('.node')")
    assert browser.js(f"return {move}") == "0s"
    browser.prefer()
    browser.until(f"{move} === '0.6s'")


def test_a_coordinator_that_falls_silent_is_said_to(show: Show, browser: Browser) -> None:
    show(simulated_status(3, 1))
    browser.until("document.querySelector('#connection').textContent.startsWith('No news for')")
    show(simulated_status(3, 2))
    browser.until("document.querySelector('#connection').textContent === 'Live'")


def test_a_report_cannot_be_broken_by_what_it_reports(tmp_path: Path, browser: Browser) -> None:
    directory = RunDirectory(tmp_path)
    live = Live(directory, WRITES)
    status = simulated_status(2, 1)
    evil = (
        "</script><script>document.title = 'broken'</script><!-- \u2028 \\ ' \" /*SCRIPT*/ POLICY"
    )
    worker, event = replace(status.workers[0], name=evil), replace(status.events[0], text=evil)
    live.close(replace(status, workers=(worker, status.workers[1]), events=(event,)))
    (tmp_path / "r.html").write_text(render(directory, None, 1.8e9, evil), encoding="utf-8")
    browser.open((tmp_path / "r.html").as_uri())
    assert browser.js("return document.querySelector('#run-name').textContent") == evil
    assert evil in browser.js("return document.querySelector('#events').textContent")
    assert "broken" not in browser.js("return document.title")
    assert browser.complaints() == []


def test_the_page_is_one_request(live: Live, show: Show, browser: Browser) -> None:
    show(simulated_status(1, 1))
    loaded = browser.js("return performance.getEntriesByType('resource').map((r) => r.name)")
    base = browser.js("return location.origin")
    assert set(loaded) <= {f"{base}/events", f"{base}/history"}
    with urllib.request.urlopen(base, timeout=PATIENCE_S) as answer:
        assert len(answer.read()) < 100_000
