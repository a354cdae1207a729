"""No call asks anything of a network: watched from inside, and where it is allowed, run where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from .conftest import PRIOR_ALONE, command

# sys.addaudithook sees every socket that Python code opens, in the call, its fork server and its children
WATCH = """
import json, os, sys, traceback

def watch(event, given):
    if not event.startswith("socket.") or event in {"socket.__new__", "socket.gethostname"}:
        return
    # our own processes talk to each other by sockets that are files
    if given and getattr(given[0], "family", None) == 1:
        return
    address = given[1] if event in {"socket.bind", "socket.connect"} else given
    caller = traceback.extract_stack()[-2]
    with open(os.environ["WATCHED"], "a") as file:
        file.write(json.dumps([event, repr(address), caller.filename, caller.name]) + "\\n")

sys.addaudithook(watch)
"""


def without_network():
    """A prefix that takes the network away, where the system lets us."""
    prefix = ["unshare", "--net"]
    if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
        return prefix
    return []


@pytest.fixture
def watched(tmp_path):
    """A way to make a call, and what it asked for: event, address, file and function of the caller."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "watched"
    # what a user's shell has not set, the call must set itself
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_ET", "NIPYPE_NO_ET", "CI"}}
    environment = {**kept, "PYTHONPATH": str(tmp_path / "hook"), "WATCHED": str(log)}

    def call(*words):
        log.write_text("")
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=250)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in log.read_text().splitlines()]

    return call


def foreign(asked):
    """Leave out the one thing that is known: urllib3, which nilearn imports, binds to see whether there is IPv6."""
    probe = ["socket.bind", "('::1', 0)"]
    return [one for one in asked if not (one[:2] == probe and "urllib3" in one[2] and one[3] == "_has_ipv6")]


def test_the_hook_sees_what_it_should(watched):
    script = "import socket; socket.socket().connect_ex(('127.0.0.1', 9)); socket.getaddrinfo('localhost', 80)"
    assert [one[0] for one in watched("python3", "-c", script)] == ["socket.connect", "socket.getaddrinfo"]


def test_participants_and_pages_ask_nothing_of_a_network(study, tmp_path, watched):
    options = ["--participant-label", "01", "--atlas", study.atlas, "--denoise", "24P+2P", *PRIOR_ALONE]
    asked = watched(*without_network(), *command(study.root, tmp_path / "out", "participant", *options))
    assert (tmp_path / "out" / "sub-01.html").is_file()
    assert foreign(asked) == []


@pytest.mark.slow
def test_groups_and_their_page_ask_nothing_of_a_network(study, done, tmp_path, watched):
    out = shutil.copytree(done, tmp_path / "out")
    options = ["--groups", "antidepressant", "--n-permutations", "100"]
    asked = watched(*without_network(), *command(study.root, out, "group", *options))
    assert (out / "group.html").is_file()
    assert foreign(asked) == []
