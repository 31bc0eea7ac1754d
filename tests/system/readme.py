"""readme.py - what the README tells people to type works: its marked blocks are run as they stand."""
import http.client
import os
import re
import subprocess
import tempfile

from kit import BUILD, Process, check, contains, equal, free_port, read, wait_until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


def blocks(mark):
    """The texts of the ```sh MARK blocks."""
    return re.findall(rf"^```sh {mark}\n(.*?)^```$", read(f"{ROOT}/README.md"), re.M | re.S)


def test_try():
    """the five minutes: `lockstep dev` in one terminal, the commands in another, each ends with 0"""
    dev, tries = blocks("dev"), blocks("try")
    equal((len(dev), len(tries) > 0), (1, True), "marked blocks in the README")
    command = next(line for line in dev[0].splitlines() if "lockstep dev" in line).replace("build/", BUILD + "/")
    with tempfile.TemporaryDirectory(prefix="lockstep-readme-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        os.symlink(BUILD, f"{folder}/build")
        port = free_port()
        home = {"HOME": folder, "NO_COLOR": "1"}
        process = Process("dev", [*command.split(), "--http", f"127.0.0.1:{port}", "--router", f"127.0.0.1:{free_port()}"],
                          f"{folder}/dev.log", env=home, death="TERM", cwd=folder).start()
        try:
            wait_until(lambda: is_ready(process, port), lambda: f"lockstep dev is ready: {process.log_text()}")
            wait_until(lambda: process.log_has("agents"), lambda: f"it says what it started: {process.log_text()}")
            for text in tries:
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env={**os.environ, **home}, stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, timeout=120, check=False)
                equal(done.returncode, 0, f"exit code of\n{text}\n{done.stdout}\n{done.stderr}\n{process.log_text()[-2000:]}")
            equal(process.stop(seconds=20), 0, "exit code of lockstep dev after SIGTERM")
        finally:
            process.stop(seconds=20)


def is_ready(process, port):
    check(process.is_running(), f"lockstep dev ended: {process.log_text()}")
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        c.request("GET", "/readyz")
        return c.getresponse().status == 200
    except OSError:
        return False


def test_words():
    """what the README names is there: files it links, targets of make, the command that .ci/run runs"""
    text = read(f"{ROOT}/README.md")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        check(os.path.exists(f"{ROOT}/{link}"), f"README links to {link}, which is not there")
    targets = re.findall(r"^([a-z-]+):", read(f"{ROOT}/Makefile"), re.M)
    for name in set(re.findall(r"\bmake ([a-z-]+)\b", text)):
        check(name in targets, f"README says `make {name}`, which is no target")
    contains(text, "&& make check")
    contains(read(f"{ROOT}/.ci/run"), "make check")


def test_demo():
    """`make demo` shows a good change, a refusal and a rollback, ends with 0 and leaves nothing behind"""
    with tempfile.TemporaryDirectory(prefix="lockstep-demo-") as folder:
        os.chmod(folder, 0o755)
        done = subprocess.run(["make", "-C", ROOT, "--no-print-directory", f"BUILD={BUILD}", "demo"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=180, check=False, env={**os.environ, "TMPDIR": folder})
        equal(done.returncode, 0, f"exit code\n{done.stdout}\n{done.stderr}")
        contains(done.stdout, "completed", "refused", "rolled_back", "server-20")
        equal(os.listdir(folder), [], "files left in the temporary folder")


def test_install():
    """`make install` puts programs and units under DESTDIR and PREFIX"""
    with tempfile.TemporaryDirectory(prefix="lockstep-install-") as folder:
        done = subprocess.run(["make", "-C", ROOT, "--no-print-directory", f"BUILD={BUILD}", "install", f"DESTDIR={folder}", "PREFIX=/opt/lockstep"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        equal(done.returncode, 0, f"exit code\n{done.stdout}\n{done.stderr}")
        for name in ("lockstepd", "lockstep", "lockstep-agent"):
            check(os.access(f"{folder}/opt/lockstep/bin/{name}", os.X_OK), f"{name} is installed")
        contains(read(f"{folder}/opt/lockstep/lib/systemd/system/lockstepd.service"), "ExecStart=/opt/lockstep/bin/lockstepd")
