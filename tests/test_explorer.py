"""The explorer: what it shows is the theory, a move compiles nothing, and it works in a browser."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import qra_jax as qra
from qra_jax import orbit
from qra_jax.cli import explore
from qra_jax.explorer import ALGORITHMS, STEPS, Settings, simulate
from qra_jax.explorer.widget import Explorer

MOVES = {
    "ref r1": 0.2,
    "success r2": 0.3,
    "algorithm": "RLOO",
    "learning_rate": 0.1,
    "group_size": 32,
    "beta": 0.05,
    "tpr": 0.9,
    "fpr": 0.1,
}


@pytest.fixture(scope="module")
def explorer():
    return Explorer()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_move_changes_the_picture_and_compiles_nothing(explorer):
    compiled = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    before = explorer.png
    for name, value in MOVES.items():
        explorer.controls[name].value = value
        now = explorer.png
        assert pixels(now).shape == pixels(before).shape
        assert (pixels(now) != pixels(before)).any(), name
        before = now
    assert compiled == []
    assert len(explorer.seconds) == 1 + len(MOVES)
    assert explorer.settings.algorithm == "RLOO"
    assert explorer.settings.ref[0] == pytest.approx(0.2)


def test_the_expectation_is_that_of_training():
    settings = Settings(learning_rate=0.05, group_size=8)
    answer = simulate(settings)
    alone = qra.training.train(
        jax.random.key(0),
        settings.problem,
        algorithm=qra.grpo(8),
        learning_rate=0.05,
        steps=STEPS,
        record_every=STEPS,
        mode="mean",
    )
    np.testing.assert_allclose(answer.mean[-1], alone.policy[-1], atol=1e-6)
    np.testing.assert_allclose(answer.path[0], settings.problem.ref, atol=1e-12)
    assert answer.diagnosis.regime == "entangled"


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "DAPO"])
def test_noise_free_paths_are_the_orbit(name):
    """Every algorithm stays on the path; the explorer's orbit is that of `orbit.policy`."""
    answer = simulate(Settings(learning_rate=0.01, algorithm=name))
    for point in answer.mean[:: len(answer.mean) // 5]:
        assert np.abs(answer.path - point).sum(axis=1).min() < 0.02
    log_policy = orbit.policy(Settings().problem, 0.0)
    np.testing.assert_allclose(np.exp(log_policy), answer.path[0], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ref": (0.1, 0.2)}, r"ref: \(0.1, 0.2\); must be 3 numbers"),
        ({"ref": (0.0, 0.5, 0.5)}, "ref of r1: 0"),
        ({"success": (0.1, 1.2, 0.5)}, "success of r2: 1.2"),
        ({"algorithm": "PPO"}, "algorithm: 'PPO'"),
        ({"group_size": 65}, "group_size: 65; must be at most 64"),
        ({"beta": -1.0}, "beta: -1"),
        ({"fpr": 2.0}, "fpr: 2"),
    ],
)
def test_settings_name_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_servers_are_found_or_named(tmp_path, monkeypatch):
    words = explore.command("voila", 8000, False, tmp_path)
    assert words[1:4] == ["-m", "voila", str(tmp_path / "explorer.ipynb")]
    assert "--no-browser" in words
    with pytest.raises(ValueError, match="server: 'emacs'; must be one of 'voila', 'lab'"):
        explore.command("emacs", 8000, False, tmp_path)
    monkeypatch.setattr(explore.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"voila or jupyterlab is not installed; pip install"):
        explore.command(None, 8000, False, tmp_path)


CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


@contextlib.contextmanager
def served(tmp_path):
    """`qra explore` on a free port, its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from qra_jax.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "explore", "--server", "voila", "--headless", "--port", str(port)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            words, cwd=tmp_path, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            for _ in range(240):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/static/", timeout=2)
                    break
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
                    break
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/"
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_slider_moves_the_picture_in_a_browser(tmp_path):
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1200,900"),
        f"user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(f"--{flag}")
    with served(tmp_path) as address:
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            driver.set_page_load_timeout(300)
            driver.get(address)
            wait = WebDriverWait(driver, 300)
            picture = lambda _: driver.find_elements(By.CSS_SELECTOR, "img.widget-image")  # noqa: E731
            shown = wait.until(picture)[0]
            before = shown.screenshot_as_png
            slider = driver.find_elements(By.CSS_SELECTOR, ".noUi-handle")[0]
            slider.send_keys(*[Keys.ARROW_RIGHT] * 8)
            wait.until(lambda _: picture(_)[0].screenshot_as_png != before)

            def settled(_):
                first = shown.screenshot_as_png
                time.sleep(3)
                return shown.screenshot_as_png == first

            wait.until(settled)
            kept = Path(os.environ.get("QRA_ARTIFACTS", tmp_path))
            kept.mkdir(parents=True, exist_ok=True)
            driver.save_screenshot(str(kept / "explorer.png"))
            assert (kept / "explorer.png").stat().st_size > 20_000
        finally:
            driver.quit()
