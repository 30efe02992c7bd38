"""The systems that the tests talk to. `server` is for tests that leave it as it is; who kills, fills or stops takes `own`."""

import os
import pathlib
import shutil
import subprocess

import pytest

import system


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def server():
    with system.run_system() as s:
        yield s
        assert_clean(s)


@pytest.fixture(scope="module")
def own():
    """A system for one file."""
    with system.run_system() as s:
        yield s


@pytest.fixture(scope="session", params=["as-we-are", pytest.param("nobody", marks=pytest.mark.root)])
def either(request, server):
    """`server`, and one that runs without root when we are root."""
    if request.param == "as-we-are":
        yield server
        return
    with system.run_system(user=system.NOBODY) as s:
        yield s
        assert_clean(s)


def assert_clean(s):
    """No program died, and no sanitizer spoke, while ordinary tests ran."""
    text = s.log()
    for sign in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "SIGSYS", "SIGSEGV", "SIGABRT", "assertion"):
        assert sign not in text, [line for line in text.splitlines() if sign in line][:5]


@pytest.fixture
def account(server):
    """(name, password) of an account that holds nothing yet."""
    return server.new_account()


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """Compiles tests/shim/NAME.c; gives the path of the library."""
    folder = tmp_path_factory.mktemp("shim")
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    folder.chmod(0o755)

    def make(name):
        path = folder / f"{name}.so"
        if not path.exists():
            source = pathlib.Path(__file__).parent / "shim" / f"{name}.c"
            cc = shutil.which("gcc") or "cc"
            subprocess.run([cc, "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
        return path

    return make


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the system's log said while the failed test ran."""
    begun = {name: s for name, s in item.funcargs.items() if isinstance(s, system.System)} if hasattr(item, "funcargs") else {}
    report = (yield).get_result()
    if report.failed:
        for name, s in begun.items():
            report.sections.append((f"log of {name}", "\n".join(s.log().splitlines()[-40:])))
