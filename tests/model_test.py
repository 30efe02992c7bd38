"""The model of tests/model.py against a running system, and lies that it must notice."""

import os
import re
import shutil

import model
import pytest

SEED = int(os.environ.get("ESTAFETA_SEED", "1"))


def test_random_clients_agree_with_the_model(server):
    world, failure = model.run(model.Estafeta(server), SEED, list(range(1, 2001)))
    assert failure is None, model.report(world, failure, SEED)
    assert all(world.counts[name] > 3 for name in (*model.OPERATIONS, "resynced") if name != "all_noop"), world.counts


@pytest.mark.skipif(shutil.which("dovecot", path="/usr/sbin:/usr/bin") is None, reason="no dovecot-imapd")
def test_dovecot_agrees_with_the_model():
    server = model.Dovecot()
    try:
        world, failure = model.run(server, SEED, list(range(1, 2001)))
    finally:
        server.close()
    assert failure is None, model.report(world, failure, SEED)


def one_more(match):
    return match.group(1) + b"%d" % (int(match.group(2)) + 1)


# What a server with a bug would say: which line, and what instead (None: nothing). The 20th such line is changed.
LIES = {
    "an expunge is not told": (rb"\* \d+ EXPUNGE$", None),
    "another message is said to be expunged": (rb"(\* )(\d+)(?= EXPUNGE$)", one_more),
    "a vanished message is not told": (rb"\* VANISHED \d+$", None),
    "what vanished before is not told": (rb"\* VANISHED \(EARLIER\) .*", None),
}


@pytest.mark.parametrize("lie", LIES)
def test_the_model_notices(server, lie, monkeypatch):
    pattern, instead = re.compile(LIES[lie][0]), LIES[lie][1]
    seen, told = 0, model.Wire.line

    def line(wire):
        nonlocal seen
        text, literals = told(wire)
        if not pattern.match(text):
            return text, literals
        seen += 1
        if seen != 20:
            return text, literals
        return line(wire) if instead is None else (pattern.sub(instead, text, count=1), literals)

    monkeypatch.setattr(model.Wire, "line", line)
    world, failure = model.run(model.Estafeta(server), SEED, list(range(1, 1501)))
    assert failure is not None and seen >= 20, f"{seen} such lines, nothing noticed"
