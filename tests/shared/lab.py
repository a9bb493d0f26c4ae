"""JupyterLab in headless Chromium, driven as a person would: menus, drop-downs, sliders, the mouse.

Every wait is for a condition and has a generous limit, because cores may be few and slow.
"""

import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
    "google-chrome")
MISSING = [  # of what a browser test needs
    what for what, there in (("Chromium (Debian: apt-get install chromium)", CHROMIUM),
                             ("the package playwright", importlib.util.find_spec("playwright")))
    if not there
]
SECONDS = 1000  # Playwright counts in milliseconds
PATIENCE = 180 * SECONDS  # for a page, a kernel's start, an answer of a widget
CELLS = 1800 * SECONDS  # for all cells of a notebook
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
# What stands beside the cells ([3]:), the texts of error and of warning outputs.
STATE = """() => {
  const all = part => [...document.querySelectorAll(`.jp-Notebook .jp-CodeCell ${part}`)];
  const texts = part => all(part).map(e => e.textContent);
  const output = kind => texts(`[data-mime-type="application/vnd.jupyter.${kind}"]`);
  const prompts = texts('.jp-InputPrompt').filter(text => text);  // a folded cell has none
  return {prompts, errors: output('error'), warnings: output('stderr')};
}"""
DONE = f"""() => {{
  const {{prompts, errors}} = ({STATE})();
  return !prompts.some(text => text.includes('*')) &&
    (errors.length || prompts.every(text => /\\d/.test(text)));
}}"""
# Texts of widgets, tables and printed lines whose contrast with what is behind them is below 3
# (WCAG 2.1, large text).
PALE = """() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = color => [0.2126, 0.7152, 0.0722].reduce(
    (sum, share, i) => sum + share * linear(color[i] / 255), 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = numbers(getComputedStyle(e).backgroundColor);
      if (color.length == 3 || color[3] > 0.5) return color;
    }
    return [255, 255, 255];
  };
  const contrast = element => {
    const front = light(numbers(getComputedStyle(element).color));
    const pair = [front, light(behind(element))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  };
  return [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output *')]
    .filter(e => !e.closest('svg') && e.checkVisibility())
    .filter(e => e.tagName == 'SELECT' ||
                 [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()))
    .filter(e => contrast(e) < 3).map(e => e.textContent.slice(0, 80));
}"""
# Widgets that are cut off at the right.
CUT = """() => {
  const right = e => e.getBoundingClientRect().right;
  const widgets = '.jp-Notebook .jp-OutputArea-output .jupyter-widgets';
  return [...document.querySelectorAll(widgets)]
    .filter(e => right(e) > right(e.closest('.jp-OutputArea-output')) + 1)
    .map(e => e.className);
}"""


@contextmanager
def jupyter_lab(folder, **variables):
    """A JupyterLab server on a copy of the notebooks in `folder`; yields its address and its token.

    Runs, results and settings go to `folder` too. The server and its kernels have ended when the
    block is left.

    Args:
        variables: added to the environment of the kernels.
    """
    (folder / "notebooks").mkdir(parents=True)
    (folder / "helpers").symlink_to(ROOT / "helpers")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, folder / "notebooks")
    extension = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings = extension / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    # no question about news
    settings.write_text(json.dumps({"checkForUpdates": False, "fetchNews": "false"}))
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0",
               f"--notebook-dir={folder}", f"--IdentityProvider.token={token}"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=_environment(folder, variables),
                                  stdout=log, stderr=subprocess.STDOUT)
    try:
        yield _address(server, folder), token
    finally:
        _end(server)


def _environment(folder, variables):
    """The environment without a person's own choices and settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FEWLABELS_", "JUPYTER", "JPY_"))
    }
    own = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "share",
        "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
        "FEWLABELS_RUN_DIR": "runs", "FEWLABELS_RESULTS_DIR": "results",
        "FEWLABELS_DATA_DIR": "data"
    }
    own = {name: str(folder / place) for name, place in own.items()}
    return {
        **kept, **own, "JUPYTER_PREFER_ENV_PATH": "1", "FEWLABELS_PRESET": "smoke",
        "FEWLABELS_DATASET": "digits", "FEWLABELS_OFFLINE": "1", **variables
    }


def _address(server, folder):
    """Where the server listens, as soon as it has written that down."""
    late = time.monotonic() + PATIENCE / SECONDS
    while time.monotonic() < late and server.poll() is None:
        for path in (folder / "runtime").glob(f"jpserver-{server.pid}.json"):
            if text := path.read_text():
                return f"http://127.0.0.1:{json.loads(text)['port']}"
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{(folder / 'server.log').read_text()[-3000:]}")


def _end(server):
    """End the server and what it started, politely first."""
    family = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    server.terminate()
    try:
        server.wait(timeout=30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for process in family:
        if process.is_running():
            process.kill()
    psutil.wait_procs(family, timeout=10)


@contextmanager
def browser():
    """Headless Chromium. Where root runs it, it has no sandbox: it would refuse to start."""
    from playwright.sync_api import sync_playwright

    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET + sandbox)
        try:
            yield chromium
        finally:
            chromium.close()


class Lab:
    """One notebook, open in JupyterLab.

    Args:
        chromium: from `browser()`.
        address, token: from `jupyter_lab()`.
        name: the notebook's file name.
        images: the folder of the screenshots.
    """

    def __init__(self, chromium, address, token, name, images):
        self.name, self.images, self.complaints = name, Path(images), []
        self.context = chromium.new_context(viewport={"width": 1400, "height": 1000})
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{address}/lab/tree/notebooks/{name}?token={token}&reset")
        self.page.locator(".jp-Notebook .jp-MarkdownCell").first.wait_for()
        self.page.locator(".jp-NotebookPanel .jp-Spinner").wait_for(state="hidden")
        self.wait_idle()

    def close(self):
        """Close the page; its kernel goes on until the server ends."""
        self.context.close()

    def menu(self, *names):
        """Choose an entry of the menu bar."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=names[0]).first.click()
        for name in names[1:]:
            self.page.locator(".lm-Menu-itemLabel", has_text=name).first.click()

    def restart_and_run_all(self):
        """Kernel > Restart Kernel and Run All Cells, and wait until the last cell is done."""
        self.menu("Kernel", "Restart Kernel and Run All Cells")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.wait_done()

    def run_from(self, text):
        """Select the cell with this text, then Run > Run Selected Cell and All Below."""
        self.cell(text).locator(".jp-InputPrompt").click()
        self.menu("Run", "Run Selected Cell and All Below")

    def wait_idle(self):
        """Until the kernel has started and has nothing to do."""
        self.page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for()

    def wait_done(self):
        """Until no cell waits or runs and all were run (or one of them failed, after which none is
        run)."""
        self.page.wait_for_function(DONE, timeout=CELLS)
        self.wait_idle()

    def state(self):
        """What stands beside the cells ([3]:), the texts of error and of warning outputs, as a
        dict of lists."""
        return self.page.evaluate(STATE)

    def cell(self, text):
        """The first code cell with this text in its code."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(
            has=self.page.locator(".jp-InputArea", has_text=text)).first

    def output(self, text):
        """What the code cell with this text in its code shows."""
        return self.cell(text).locator(".jp-OutputArea").first

    def drag(self, slider, share):
        """Move the handle of a slider with the mouse, to a share of the way from left to right."""
        handle, way = slider.locator(".noUi-handle"), slider.locator(".noUi-base")
        self.show(handle)
        box, whole = handle.bounding_box(), way.bounding_box()
        height = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] / 2, height)
        self.page.mouse.down()
        self.page.mouse.move(whole["x"] + share * whole["width"], height, steps=4)
        self.page.mouse.up()

    def pale(self):
        """Texts in the outputs that can hardly be read on what is behind them."""
        return self.page.evaluate(PALE)

    def cut(self):
        """Widgets that reach beyond the right edge of their cell."""
        return self.page.evaluate(CUT)

    def show(self, part):
        """Scroll until this part of the page stays in the middle; what comes into view can still
        push it away."""
        for _ in range(3):
            part.evaluate("""e => new Promise(done => {
              e.scrollIntoView({block: 'center'});
              requestAnimationFrame(() => requestAnimationFrame(done));
            })""")

    def screenshot(self, name, part=None):
        """The window, or a part of the page, as a PNG."""
        self.images.mkdir(parents=True, exist_ok=True)
        (part or self.page).screenshot(path=self.images / f"{name}.png")
