"""Drives the page in Chromium, as a person with a mouse, one with a keyboard, and one who can't see.

    drive.py PAGE TOKEN ROOT SCREENSHOTS

PAGE is served by a daemon that watches ROOT, whose sandbox takes seconds for a task. Fails with a
sentence that says what isn't as it must be.
"""

import json
import pathlib
import shutil
import sys
import urllib.error
import urllib.request

import axe_playwright_python
from playwright.sync_api import expect, sync_playwright

PAGE, TOKEN = sys.argv[1:3]
ROOT, SHOTS = (pathlib.Path(path) for path in sys.argv[3:5])
AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
PATIENCE = 30_000
SCRIPT = "<script>alert(1)</script>.html"
IMAGE = "<img src=x onerror=alert(2)>.html"

expect.set_options(timeout=PATIENCE)


def ask(path, body, token=TOKEN):
    """Posts to the API; returns the status."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{PAGE}api/v1/{path}", json.dumps(body).encode(), headers)
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code


def write(path, text):
    whole = ROOT / path
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_text(text)


class Visit:
    """A page that tells on itself: what it asked for, what it complained of."""

    def __init__(self, browser, width=1440, scheme="light", language="en-GB", quiet=True):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, locale=language,
            timezone_id="Europe/Berlin", reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE)
        # A violation of the policy of axe, which is no part of the page, would be one too.
        self.context.add_init_script(
            "globalThis.violations = [];"
            "document.addEventListener('securitypolicyviolation', (event) =>"
            " globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`));"
        )
        self.page = self.context.new_page()
        self.complaints, self.asked = [], []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", self.hear)
        self.quiet = quiet

    def hear(self, message):
        # Chromium itself writes down each answer of 400 and more.
        refused = message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not (refused and not self.quiet):
            self.complaints.append(message.text)

    def open(self):
        self.page.goto(PAGE)
        expect(self.page.locator(".fold").first).to_be_visible()
        return self.page

    def axe(self, what):
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        for violation in found["violations"]:
            nodes = [f"{node['target']}: {node['failureSummary']}" for node in violation["nodes"]]
            self.complaints.append(f"axe, {what}: {violation['id']}: {violation['help']}: {nodes}")

    def end(self, what):
        elsewhere = [url for url in self.asked if not url.startswith((PAGE, "data:"))]
        assert not elsewhere, f"{what}: asked elsewhere: {elsewhere}"
        violations = self.page.evaluate("globalThis.violations")
        assert not violations, f"{what}: against the policy: {violations}"
        made = self.page.locator("img, iframe, object, script:not([src])").count()
        assert made == 0, f"{what}: text became {made} elements"
        wide = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{what}: it is wider than the window"
        assert not self.complaints, f"{what}: {self.complaints}"
        self.context.close()


def row(page, target):
    return page.locator("#way tr", has_text=target).first


def a_change_is_followed_without_a_reload(browser):
    visit = Visit(browser)
    page = visit.page
    page.goto(PAGE)
    expect(page.locator("#h-now")).to_have_text("The edge is fresh")
    expect(page.locator("#link")).to_have_text("Live")
    page.evaluate("globalThis.same = true")
    assert ask("pause", {"origin": "www"}) == 200
    write("index.html", "two")
    expect(row(page, "/index.html")).to_contain_text("Waiting")
    expect(page.locator("#h-now")).to_have_text("Submission is paused")
    assert ask("resume", {"origin": "www"}) == 200
    expect(row(page, "/index.html")).to_contain_text("At the CDN")
    expect(row(page, "/index.html")).to_contain_text("Done")
    expect(page.locator("#h-now")).to_have_text("The edge is fresh")
    expect(page.locator("#say")).to_have_text("The edge is fresh")
    assert page.evaluate("globalThis.same"), "the page was loaded again"
    visit.end("a change")


def names_stay_text(browser):
    write(SCRIPT, "one")
    write(IMAGE, "one")
    visit = Visit(browser)
    page = visit.open()
    for name in ("/%3Cscript%3E", "/%3Cimg"):
        expect(row(page, name)).to_be_visible()
    for fold in page.locator(".fold").all():
        fold.click()
    for name in (SCRIPT, IMAGE):
        expect(page.locator("#deploys")).to_contain_text(name)
        page.fill("#q", name)
        page.press("#q", "Enter")
        expect(page.locator("#found")).to_contain_text(name)
    visit.end("names")


def whoever_has_no_token_is_asked_for_it(browser):
    visit = Visit(browser, quiet=False)
    page = visit.open()
    deploy = page.locator("#held [data-what=approve]").get_attribute("data-deploy")
    refused = """async ([deploy, token]) => (await fetch(`api/v1/deploys/${deploy}/approve`, {
        method: "POST", body: '{"through":null}',
        headers: {"Content-Type": "application/json", ...(token ? {Authorization: `Bearer ${token}`} : {})},
    })).status"""
    assert page.evaluate(refused, [deploy, ""]) == 401, "approved without a token"
    assert page.evaluate(refused, [deploy, "x" * 32]) == 403, "approved with a wrong token"

    def focused():
        return page.evaluate("document.activeElement.dataset.what ?? document.activeElement.id")

    # From the address bar on, by keyboard alone.
    for _ in range(30):
        page.keyboard.press("Tab")
        if focused() == "approve":
            break
    assert focused() == "approve", f"no way by keyboard to Approve: {focused()}"
    page.keyboard.press("Enter")
    expect(page.locator("#token")).to_be_visible()
    page.keyboard.type("this is not the token, whatever it is")
    page.keyboard.press("Enter")
    expect(page.locator("#token-problem")).to_contain_text("not accepted")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#token")).to_be_hidden()
    expect(page.locator("#sure")).to_be_visible()
    expect(page.locator("#sure-sample")).to_contain_text("/shop/item-0.html")
    page.keyboard.press("Escape")
    expect(page.locator("#held")).to_be_visible()
    assert focused() == "approve", f"the focus is lost: {focused()}"
    page.keyboard.press("Enter")
    expect(page.locator("#sure")).to_be_visible()
    assert focused() == "sure-yes", focused()
    page.keyboard.press("Enter")
    expect(page.locator("#held")).to_be_hidden()
    expect(page.locator("#sign")).to_have_text("Sign out")
    expect(row(page, "/shop/item-0.html")).to_contain_text("At the CDN")
    visit.end("approval")


def a_page_without_events_asks_and_one_that_is_cut_off_says_so(browser):
    visit = Visit(browser, quiet=False)
    page = visit.page
    page.route("**/api/v1/events", lambda route: route.fulfill(status=404, json={"problems": ["none"]}))
    visit.open()
    expect(page.locator("#link")).to_have_text("Asked every 5 s")
    expect(page.locator("#h-now")).to_have_text("The edge is fresh")
    page.unroute_all()
    page.route("**/api/v1/**", lambda route: route.abort())
    expect(page.locator("#lost")).to_contain_text("Connection lost")
    expect(page.locator("#lost")).to_contain_text("What you see is from")
    page.unroute_all()
    page.locator("#lost button").click()
    expect(page.locator("#lost")).to_be_empty()
    expect(page.locator("#say")).to_have_text("Connected again")
    visit.end("connection")


def everybody_can_read_it(browser):
    for width in (360, 1440):
        for scheme in ("light", "dark"):
            for language, name in (("en-GB", "en"), ("zh-CN", "zh")):
                what = f"page-{width}-{scheme}-{name}"
                visit = Visit(browser, width, scheme, language)
                page = visit.open()
                assert page.locator("html").get_attribute("lang").startswith(name), what
                expect(page.locator("#held")).to_be_visible()
                expect(page.locator("#quota .burn").first).to_be_visible()
                visit.axe(what)
                page.screenshot(path=SHOTS / f"{what}.png", full_page=True)
                page.locator(".fold").first.click()
                page.locator("#deploys .inside button.link").first.click()
                expect(page.locator("#deploys .under .steps li").first).to_be_visible()
                visit.axe(f"{what}, a deploy opened")
                page.screenshot(path=SHOTS / f"{what}-deploy.png", full_page=True)
                page.locator("#sign").click()
                expect(page.locator("#token")).to_be_visible()
                visit.axe(f"{what}, the dialog opened")
                page.keyboard.press("Escape")
                page.locator("#language").click()
                other = "zh" if name == "en" else "en"
                expect(page.locator("html")).to_have_attribute("lang", {"zh": "zh-CN", "en": "en"}[other])
                visit.end(what)


def main():
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"],
        )
        a_change_is_followed_without_a_reload(browser)
        names_stay_text(browser)
        for number in range(5):
            (ROOT / f"shop/item-{number}.html").unlink()
        everybody_can_read_it(browser)
        whoever_has_no_token_is_asked_for_it(browser)
        a_page_without_events_asks_and_one_that_is_cut_off_says_so(browser)
        browser.close()


main()
