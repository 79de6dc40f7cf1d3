"""`rtspikes methods`: what it says of real runs is what their tables say, also of killed and controlled ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import rtspikes as package
from rtspikes.subscribers.account.english import significant
from rtspikes.subscribers.log.reader import Session, read_session
from tests.simulated import simulate, write_recording
from tests.system.processes import Running, rtspikes, wait_until

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
RATE_HZ = 20_000


class Told(NamedTuple):
    """A session, and its paragraphs as one text."""

    path: Path
    session: Session
    text: str


def told(path: Path) -> Told:
    done = rtspikes("methods", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n\n") == 2
    return Told(path, read_session(path), done.stdout)


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Return a run with storms, gaps, artifacts, a reference, and channels with rules of their own."""
    folder = tmp_path_factory.mktemp("methods")
    settings = folder / "lab.toml"
    settings.write_text(
        """
        [source]
        uri = "sim:60?seconds=12&scenario=storm&gaps=20&seed=3"
        speed = "max"
        [detect]
        threshold = 5
        reference = { kind = "median" }
        storm = { cap_per_s = 50 }
        artifacts = { slew_uv = 300 }
        [[channels]]
        select = ["12", "13", "14"]
        threshold = 6.5
        [[channels]]
        select = "87"
        enabled = false
        """
    )
    done = rtspikes("run", settings, *ANY_PORT, "--log", folder / "s")
    assert done.returncode == 0, done.stderr
    return told(folder / "s.rtspikes")


def uv(text: str) -> float:
    return float(text.replace("−", "-"))


def test_levels_are_those_that_spikes_were_found_with(stormy: Told) -> None:
    table = stormy.session.thresholds
    enabled = np.array(stormy.session.info["enabled"])
    for when, sample in (("At the start", table["sample"].min()), ("at the end, after", table["sample"].max())):
        rows = table[table["sample"] == sample]
        rows = rows[enabled[rows["channel"]]]
        pattern = rf"{when}.*?σ was (\S+) µV \((\S+)–(\S+) µV\) and the threshold was (\S+) µV \((\S+) to (\S+) µV\)"
        found = re.search(pattern, stormy.text)
        assert found is not None
        wanted = [f(rows[name]) for name in ("sigma_uv", "negative_uv") for f in (np.median, np.min, np.max)]
        np.testing.assert_allclose([uv(each) for each in found.groups()], wanted, rtol=0.005, atol=0.05)
    label = stormy.session.info["channels"]["label"]
    own = np.isin(np.array(label)[table["channel"]], ["12", "13", "14"])
    np.testing.assert_allclose(-table["negative_uv"][own] / table["sigma_uv"][own], 6.5, rtol=1e-4)
    assert "fell below −5 σ; the threshold was −6.5 σ on 3 electrodes (12, 13, 14)." in stormy.text


def test_losses_and_rates_are_those_of_the_tables(stormy: Told) -> None:
    session, text = stormy.session, stormy.text
    lost = int(session.gaps["lost"].sum())
    assert lost > 0
    share = 100 * lost / session.to_sample
    assert f"{lost} samples of every channel ({1e3 * lost / RATE_HZ:.4g} ms, {share:.2g} % of the session)" in text
    assert f"lost in {len(session.gaps)} gaps, by the source" in text
    storm = session.unobserved[session.unobserved["reason"] == 2]
    seconds = (storm["stop"] - storm["sample"]).sum() / RATE_HZ
    suppressed = sum(n["count"] for n in session.notices if n["cause"] == "storm_over")
    n = len(np.unique(storm["channel"]))
    assert n > 0
    assert re.search(rf"befell {n} electrodes for {seconds:.4g} s .*, in which {suppressed:,} crossings", text)
    enabled = np.array(session.info["enabled"])
    rates = session.counts[session.active] / session.observed_s[session.active]
    assert f"the mean of their rates was {significant(rates.mean())} spikes per second" in text
    observed = session.observed_s[enabled]
    assert f"was {np.median(observed):.2f} s ({observed.min():.2f}–{observed.max():.2f} s) per electrode" in text
    rebound = int((session.rejected["reason"] == 2).sum())
    assert f"{rebound} of {len(session.spikes) + len(session.rejected)} events" in text
    assert (
        f"{len(session.spikes)} spikes were detected, on {(session.counts > 0).sum()} of {enabled.sum()} electrodes"
        in text
    )


def test_json_has_the_facts_and_bibtex_the_version(stormy: Told) -> None:
    facts = json.loads(rtspikes("methods", stormy.path, "--json").stdout)
    assert facts["spikes"] == len(stormy.session.spikes)
    assert facts["thresholds"][1] == {
        "unit": "sigma", "height": 6.5, "sign": "neg", "electrodes": 3, "labels": ["12", "13", "14"]
    }  # fmt: skip
    entries = rtspikes("methods", stormy.path, "--bibtex").stdout
    assert f"version = {{{stormy.session.info['software']['version']}}}" in entries
    assert "@article{quiroga2004," in entries
    both = rtspikes("methods", stormy.path, "--bibtex", "--json")
    assert both.returncode == 2
    assert "give --json or --bibtex, got both" in both.stderr


def test_a_replayed_recording_is_named_and_muted_electrodes_are_told(tmp_path: Path) -> None:
    write_recording(tmp_path / "slice", simulate(3, 3.0)[0])
    replay = ("replay", tmp_path / "slice.raw", "--speed", "max", *ANY_PORT)
    done = rtspikes(*replay, "--log", tmp_path / "a", "--set", "detect.dead_time_ms=2")
    assert done.returncode == 0, done.stderr
    text = told(tmp_path / "a.rtspikes").text
    assert "in the recording “slice.raw” of 3 electrodes, sampled at 20 kHz" in text
    assert "a dead time of 2 ms (40 samples)" in text
    assert "No samples were lost. No message of the detector was missed" in text
    assert str(tmp_path) not in text


def test_what_was_asked_for_while_it_ran_is_told_with_its_time(tmp_path: Path) -> None:
    with Running("run", "--source", "sim:16?seconds=3600", *ANY_PORT, "--log", tmp_path / "s") as engine:
        with package.control(engine.endpoint()) as control:
            wait_until(lambda: control.status()["signal_s"] > 1, "a known noise level")
            at = [each.sample for each in (control.mute("E1"), control.threshold("E2", 6.0), control.freeze())]
            wait_until(lambda: control.status()["to_sample"] > max(at), "the changes")
            control.shutdown()
        assert engine.finish() == 0, engine.err
    found = told(tmp_path / "s.rtspikes")
    said = [f"{sample / RATE_HZ:.6g} s" for sample in at]
    assert (
        f"Detection was changed 3 times while the session ran: at {said[0]} E1 was muted, at {said[1]} the threshold "
        f"of E2 was set to 6 σ and at {said[2]} the noise level was frozen" in found.text
    )
    assert "1 electrode (E1) was muted for a part of the session" in found.text
    assert "The session was ended on request at" in found.text
    observed = found.session.observed_s
    assert observed[0] < observed[1:].min()
    assert "could have been found and logged, without" in found.text


def test_a_log_whose_writer_was_killed_tells_how_far_it_goes(tmp_path: Path) -> None:
    log = tmp_path / "s.rtspikes"
    with Running("run", "--source", "sim:16?seconds=3600", *ANY_PORT) as engine:
        with Running("log", engine.endpoint(), log) as logger:
            wait_until(lambda: (log / "journal.bin").is_file() and len(read_session(log).spikes) > 20, "a flush")
            logger.process.kill()
            logger.process.wait()
    found = told(log)
    to = found.session.to_sample
    assert found.session.ended == "open"
    assert "The log was not closed, because the session ran still or was cut off; it is complete up to " in found.text
    assert f"(sample {to:,})" in found.text
    assert f"{len(found.session.spikes)} spikes were detected" in found.text


def test_what_is_no_session_or_damaged_is_told_in_a_line(tmp_path: Path, stormy: Told) -> None:
    assert rtspikes("methods", tmp_path).returncode == 5
    facts = json.loads((stormy.path / "session.json").read_bytes())
    facts["info"]["detect"]["sign"] = 7
    broken = tmp_path / "broken.rtspikes"
    broken.mkdir()
    for file in stormy.path.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "session.json").write_text(json.dumps(facts))
    done = rtspikes("methods", broken)
    assert (done.returncode, done.stdout) == (5, "")
    assert re.fullmatch(
        r"rtspikes: \S+session\.json: info\.detect\.sign is damaged: it must be text, got 7\n", done.stderr
    )
