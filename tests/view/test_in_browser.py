"""The page in a real browser: harmful texts, clicks, keys, themes and windows."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

from benchmarks.browser import Browser, address
from finemem_env.inspect import Choice, RecordedTraces
from finemem_env.trace import read_traces, record_trace, write_traces
from finemem_env.view import collect, data_json, make_server, page
from tests.media.test_media_steps import finished


@pytest.fixture(scope="module")
def shown(folder: Path) -> Path:
    """The page of the run."""
    out = folder / "shown.html"
    out.write_text(page("run", collect(folder, Choice(), 9)), encoding="utf-8")
    return out


LONGEST = "Math.max(...[...document.querySelectorAll('pre')].map(one => one.textContent.length))"


def text(browser: Browser, selector: str) -> str:
    found: str = browser.run(f"document.querySelector({selector!r}).textContent")
    return found


def count(browser: Browser, selector: str) -> int:
    found: int = browser.run(f"document.querySelectorAll({selector!r}).length")
    return found


def quiet(browser: Browser) -> bool:
    """No error, nothing that the policy refused, and no request but the page itself."""
    asked = browser.said("Network.requestWillBeSent")
    assert not browser.said("Runtime.exceptionThrown")
    assert not browser.said("Log.entryAdded")
    return len(asked) == 1


def test_harmful_texts_are_shown_and_do_nothing(browser: Browser, evil: Path) -> None:
    out = evil.with_suffix(".html")
    out.write_text(page("evil", collect(evil, Choice(), 9)), encoding="utf-8")
    for place in ("#q=0", "#s=0&d=step", "#s=1&d=step&b=1"):
        browser.open(address(out, place))
        for details in ("summary", "summary"):
            browser.run(f"document.querySelectorAll({details!r}).forEach(one => one.click())")
        assert browser.run("window.pwned") is None
        assert count(browser, "script") == 2
        assert count(browser, "img, iframe, a, link, object") == 0
        seen = browser.run("document.body.innerText")
        assert "\\u202egnp.exe\\u2066" in seen
        assert "\\ue0041end" in seen
        assert "\u202e" not in seen
        assert "\x1b" not in seen
        assert quiet(browser)
        # A line of 300,000 characters is cut and never wider than the window.
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.run(LONGEST) < 5000
    browser.run(
        "[...document.querySelectorAll('button')]"
        ".find(one => /more characters/.test(one.textContent)).click()"
    )
    assert browser.run(LONGEST) > 40000


def test_a_question_and_a_step_in_detail(browser: Browser, shown: Path) -> None:
    browser.open(address(shown))
    browser.run("document.querySelector('.rowname .lost').parentElement.click()")
    detail = text(browser, ".detail")
    assert "lost: refused at step" in detail
    assert "(memory full)" in detail
    assert "gold" in detail
    assert "written at" in detail
    browser.run("document.querySelector('.detail button').click()")  # the chunk of the evidence
    detail = text(browser, ".detail")
    assert "rejected: memory full" in detail
    assert "raw reply" in detail
    assert "chunk questions" in detail
    # The first step stores: its item is new in the memory.
    browser.run("location.hash = '#s=0&d=step'")
    browser.run("new Promise(done => setTimeout(done))")
    assert "+ item 1" in text(browser, ".detail .add")
    assert browser.run("document.querySelector('.detail .add pre').textContent.length") > 50
    assert quiet(browser)


def test_pictures_and_sounds_are_in_the_page(browser: Browser, tmp_path: Path) -> None:
    write_traces(tmp_path / "traces.jsonl", [record_trace(finished())])
    out = tmp_path / "media.html"
    out.write_text(page("media", collect(tmp_path / "traces.jsonl", Choice(), 9)), "utf-8")
    browser.open(address(out, "#s=0&d=step"))
    width = "document.querySelector('.detail figure img')"
    assert browser.run(f"{width}.decode().then(() => {width}.naturalWidth)") == 29
    assert browser.run("document.querySelector('.detail audio').src").startswith("data:audio/wav")
    # Where it was read, and in the item that keeps it.
    assert count(browser, ".detail figure img") == 2
    assert "image m1, 6 tokens: The sign of the mill" in text(browser, ".detail figcaption")
    assert not browser.said("Log.entryAdded")
    assert not browser.said("Runtime.exceptionThrown")


def test_a_click_in_the_grid_chooses_question_and_step(browser: Browser, shown: Path) -> None:
    browser.open(address(shown))
    place = browser.run(
        "(() => { const b = document.querySelector('svg.grid').getBoundingClientRect();"
        " return [b.left + 30, b.top + 20]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        x, y = place
        browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert browser.run("location.hash") == "#e=0&b=-1&s=1&q=1&d=question&w=0&r=0"


def test_keys_filters_and_two_agents(browser: Browser, shown: Path) -> None:
    browser.open(address(shown))
    questions = count(browser, ".rowname")
    browser.key("ArrowDown")
    browser.key("ArrowRight")
    assert browser.run("location.hash") == "#e=0&b=-1&s=1&q=1&d=step&w=0&r=0"
    browser.key("End")
    assert text(browser, ".detail h3").startswith("step 3")
    browser.key("w")
    wrong = count(browser, ".rowname")
    assert 0 < wrong < questions
    browser.key("w")
    browser.key("r")
    assert count(browser, ".INSERT") == 1  # the legend's: no step that stored is left
    browser.key("r")
    browser.key("b")
    assert count(browser, ".panel") == 2
    assert count(browser, ".rowname") == 2 * questions
    browser.key("n")
    assert "#e=1" in browser.run("location.hash")
    browser.key("?")
    assert not browser.run("document.getElementById('help').hidden")
    browser.run("document.getElementById('task').focus()")
    assert quiet(browser)


def test_a_served_page_follows_the_run(browser: Browser, folder: Path, tmp_path: Path) -> None:
    traces = list(read_traces(folder / "traces.jsonl"))
    path = tmp_path / "traces.jsonl"
    write_traces(path, traces[:1])
    gather = partial(collect, tmp_path, Choice(), 9, newest=True)
    server = make_server(
        lambda: page("run", gather(), follow=True),
        lambda: data_json("run", gather(), follow=True),
        RecordedTraces(tmp_path).state,
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
        assert text(browser, "h2").startswith("store_chunks")
        write_traces(path, traces[:2])
        browser.run("follow('')")
        assert text(browser, "h2").startswith("oracle")  # the newest is shown, so the new one is
        assert count(browser, "#first option") == 2
        browser.run("go({ first: 0 })")
        write_traces(path, traces[:3])
        browser.run("follow('')")
        assert text(browser, "h2").startswith("store_chunks · episode 0")
        assert count(browser, "#first option") == 3
        assert not browser.said("Runtime.exceptionThrown")
    finally:
        browser.open("about:blank")
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_themes_and_windows(browser: Browser, shown: Path, scheme: str, width: int) -> None:
    browser.send(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    browser.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=False,
    )
    browser.open(address(shown, "#b=1&d=step"))
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    colours = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    back, ink = (sum(map(int, one[4:-1].split(","))) for one in browser.run(colours))
    assert (back > ink) == (scheme == "light")
    assert abs(back - ink) > 450
    assert count(browser, ".panel") == 2
    side = browser.run(
        "[...document.querySelectorAll('.panel')].map(one => one.getBoundingClientRect().left)"
    )
    assert (side[0] == side[1]) == (width < 900)
    browser.send("Emulation.clearDeviceMetricsOverride")


def test_an_address_names_an_episode(browser: Browser, shown: Path) -> None:
    browser.open(address(shown, '#at=["","","oracle",1]'))
    assert browser.run("page.episodes[view.first].agent + page.episodes[view.first].episode") == (
        "oracle1"
    )
    browser.open(address(shown, "#at=nothing&e=1"))
    assert browser.run("view.first") == 1
    assert quiet(browser)
