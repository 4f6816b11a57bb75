"""The explorer: what it shows is the theory, a move compiles nothing, and it works in a browser."""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import qra_jax as qra
from qra_jax import orbit, plot
from qra_jax.cli import explore
from qra_jax.explorer import ALGORITHMS, STEPS, Settings, simulate
from qra_jax.explorer.picture import Picture, _apart, table
from qra_jax.explorer.trees import TIMES, TreeExplorer
from qra_jax.explorer.widget import Explorer
from qra_jax.tree import picture, solve
from qra_jax.tree.file import load

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


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_move_changes_the_picture_and_compiles_nothing():
    compiled = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        explorer = Explorer()
        assert compiled, "the first picture compiles, and that is seen"
        compiled.clear()
        before = explorer.png
        for name, value in MOVES.items():
            explorer.controls[name].value = value
            now = explorer.png
            assert pixels(now).shape == pixels(before).shape
            assert (pixels(now) != pixels(before)).any(), name
            before = now
        assert compiled == []
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(explorer.seconds) == 1 + len(MOVES)
    assert explorer.settings.algorithm == "RLOO"
    assert explorer.settings.ref[0] == pytest.approx(0.2)
    assert "RLOO, G = 32" in explorer._table.value


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


QUESTIONS = [
    Settings(),
    Settings(ref=(0.34, 0.33, 0.33), success=(0.9, 0.85, 0.8)),
    Settings(ref=(0.8, 0.1, 0.1), success=(0.9, 0.8, 0.1), tpr=0.9, fpr=0.2),
    Settings(tpr=0.2, fpr=0.8),
]


@pytest.mark.parametrize("name", list(ALGORITHMS))
@pytest.mark.parametrize("settings", QUESTIONS, ids=["entangled", "fast", "noisy", "misled"])
def test_expected_paths_are_the_orbit_to_its_end(name, settings):
    """Every algorithm stays on the path that is drawn, whatever the verifier."""
    answer = simulate(replace(settings, learning_rate=0.05, algorithm=name))
    np.testing.assert_allclose(answer.path[0], settings.problem.ref, atol=1e-12)
    part = np.linspace(0, 1, 20)[:, None, None]
    line = (answer.path[:-1] + part * np.diff(answer.path, axis=0)).reshape(-1, 3)
    for point in answer.mean[:: len(answer.mean) // 10]:
        assert np.abs(line - point).sum(axis=1).min() < 0.03
    assert answer.path[-1].max() > 0.999
    assert answer.path[-1].argmax() == answer.leaders[-1]


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("GRPO", qra.grpo(6)),
        ("GRPO, dynamic sampling", qra.grpo(6, resample_silent=True)),
        ("Dr.GRPO", qra.dr_grpo(6)),
        ("MaxRL", qra.maxrl(6)),
        ("filtered SFT⁺", qra.filtered_sft()),
    ],
)
def test_times_are_those_of_the_orbit_under_this_verifier(name, algorithm):
    answer = simulate(Settings(algorithm=name, group_size=6, tpr=0.9, fpr=0.2))
    reward = qra.verifiable(tpr=0.9, fpr=0.2)
    expected = [
        orbit.log_hitting_time(
            Settings().problem, target=0.99, algorithm=one, reward=reward, geometry=geometry
        )
        for one, geometry in (
            (algorithm, "softmax"),
            (qra.reinforce(), "softmax"),
            (qra.grpo(), "softmax"),
            (qra.reinforce(), "natural"),
        )
    ]
    np.testing.assert_allclose(list(answer.log_times.values()), expected, rtol=1e-9)
    labels = list(answer.log_times)
    assert labels[0] == f"{name}, G = 6"
    assert f"<td>{np.exp(expected[1]):.3g}</td>" in table(answer)


def test_the_envelope_is_that_of_the_verifier():
    misled = simulate(Settings(tpr=0.2, fpr=0.8))
    assert misled.leaders == [1, 2]
    (switch,) = misled.switches
    heights = misled.offset - misled.slope * switch
    assert heights[1] == pytest.approx(heights[2])
    assert heights[0] > heights[1]
    assert set(misled.log_times.values()) == {np.inf}
    drawn = Picture()
    drawn.update(Settings(tpr=0.2, fpr=0.8), misled)
    assert drawn._regime.get_text() == "The verifier misleads: backwards"
    shown = [line for line in drawn._leads if line.get_visible()]
    colors = plot.pattern_colors(3, 0, 1)
    assert [line.get_color() for line in shown] == [colors[1], colors[2]]
    assert shown[0].get_xdata()[1] == shown[1].get_xdata()[0]


def test_equally_good_patterns_are_found_together():
    answer = simulate(Settings(success=(0.9, 0.9, 0.1)))
    assert answer.found > 0.9
    assert "ties for best" in table(answer)
    drawn = Picture()
    drawn.update(Settings(success=(0.9, 0.9, 0.1)), answer)
    assert "find r1 or r2 in 1000 steps" in drawn._ends.get_text()


def test_labels_keep_apart():
    for heights in ([1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.0, 0.99, 1.0], [0.2, 0.6, 0.9]):
        placed = _apart(np.array(heights))
        assert np.diff(np.sort(placed)).min() > 0.0599
        assert (placed.min() >= 0) & (placed.max() <= 1)
        assert np.abs(placed - heights).max() <= 0.12


def test_sliders_start_where_they_are_told():
    settings = Settings(ref=(5.0, 70.0, 25.0), success=(0.91, 0.6, 0.1), learning_rate=0.37, tpr=0.93)
    found = Explorer(settings).settings
    np.testing.assert_allclose(found.ref, (0.05, 0.7, 0.25))
    assert replace(found, ref=settings.ref) == settings
    with pytest.raises(ValueError, match=r"learning_rate: 20; the slider goes from 0.001 to 10"):
        Explorer(Settings(learning_rate=20.0))
    with pytest.raises(ValueError, match=r"beta: 1; the slider goes from 0 to 0.5"):
        Explorer(Settings(beta=1.0))


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


@pytest.mark.parametrize("port", [-5, 0, 65536, 99999999])
def test_ports_that_are_none(port, tmp_path):
    with pytest.raises(ValueError, match=f"port: {port}; must be from 1 to 65535"):
        explore.command("voila", port, False, tmp_path)


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port: {port} is in use; must be a free one"):
            explore.command("voila", port, False, tmp_path)


def test_no_server_outlives_the_command(tmp_path):
    """Told to end, it ends the server; compiled programs are kept where the command keeps them."""
    said = tmp_path / "said"
    told = "os.environ['JAX_COMPILATION_CACHE_DIR'] + ' ' + str(os.getpid())"
    server = f"import os, time; open({str(said)!r}, 'w').write({told})"
    code = (
        "import sys; from pathlib import Path; from qra_jax.cli import explore\n"
        "try: explore.serve([sys.executable, '-c', sys.argv[1] + '; time.sleep(300)'], Path('kept'), 0.1)\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    command = subprocess.Popen([sys.executable, "-c", code, server])
    for _ in range(300):
        if said.exists() and said.read_text():
            break
        time.sleep(0.1)
    command.terminate()
    assert command.wait(30) == 130
    folder, process = said.read_text().split()
    assert folder == "kept"
    with pytest.raises(ProcessLookupError):
        os.kill(int(process), 0)


TREE = str(Path(__file__).parent.parent / "docs" / "tree.yaml")


def test_a_tree_is_stepped_through_and_a_move_compiles_nothing(monkeypatch):
    tree = load(TREE)
    explorer = TreeExplorer(tree, algorithm="RLOO", group_size=4)
    alone = solve(tree, ts=TIMES, algorithm=qra.rloo(4))
    np.testing.assert_allclose(explorer.run.log_policy, alone.log_policy, atol=1e-6)
    drawn = {}

    def watch(tree, *, log_policy, title, ax):
        drawn.update(log_policy=np.asarray(log_policy), title=title)
        return draw_tree(tree, log_policy=log_policy, title=title, ax=ax)

    draw_tree = picture.draw
    monkeypatch.setattr(picture, "draw", watch)
    compiled = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        before = explorer.png
        explorer.controls["time"].value = 30
        np.testing.assert_array_equal(drawn["log_policy"], np.asarray(explorer.run.log_policy)[30])
        assert drawn["title"] == f"t = {TIMES[30]:.3g}: right in {np.asarray(explorer.run.accuracy)[30]:.0%}"
        later = explorer.png
        assert (pixels(later) != pixels(before)).any()
        explorer.controls["group_size"].value = 32
        explorer.controls["algorithm"].value = "GRPO"
        assert (pixels(explorer.png) != pixels(later)).any()
        assert compiled == []
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    grpo = solve(tree, ts=TIMES, algorithm=qra.grpo(32))
    np.testing.assert_allclose(explorer.run.log_policy, grpo.log_policy, atol=1e-6)
    assert len(explorer.seconds) == 4


def test_the_notebook_of_a_tree_loads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(TREE).parent)
    path = explore.write(tmp_path, "tree.yaml")
    (cell,) = json.loads(path.read_text())["cells"]
    code = "".join(cell["source"])
    monkeypatch.chdir(tmp_path)
    given = {}
    exec(
        code.rpartition("\n")[0] + "\nmade = load(" + code.partition("load(")[2].partition(")")[0] + ")",
        given,
    )
    assert given["made"].names == load(TREE).names
    assert "TreeExplorer(load(" in code
    assert TREE in code
    (tmp_path / "bad.yaml").write_text("steps: [{chance: .5, success: 1}]")
    with pytest.raises(ValueError, match=r"bad.yaml: question: chances of its steps sum to 0.5"):
        explore.command("voila", 8000, False, tmp_path, str(tmp_path / "bad.yaml"))


CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


@contextlib.contextmanager
def served(tmp_path):
    """`qra explore` on a free port, its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from qra_jax.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "explore", "--server", "voila", "--headless", "--port", str(port)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
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
            slider.send_keys(*[Keys.ARROW_RIGHT] * 40)
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
