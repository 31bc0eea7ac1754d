"""client.py - liblockstep as a stranger meets it: installed, linked, and asked whether a change is applied."""
import os
import re
import shutil
import socket
import subprocess

from kit import BUILD, Agent, Process, World, check, contains, equal, free_port, need_program, read, wait_until, write

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
SCOPE = "payments/prod"
ALL = {"stages": [{"percent": 100}]}
STRICT = ["-Wall", "-Wextra", "-Werror"]


def run(argv, **more):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, **more)
    equal(done.returncode, 0, f"exit code of {' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout


def setup():
    world = World("client").start()
    world.set(SCOPE, {"database.url": "postgres://db", "database.pool": 25, "limits.per_second": 5, "server.greeting": "good day"})
    world.agent = Agent(world, "server-1", [SCOPE], scope_settings="consumers_timeout = 20s\ncheck_interval = 5s").enroll().start()
    world.public = f"{world.agent.folder}/state.public"
    world.wait_agents(SCOPE, 1)
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    world.root = f"{world.folder}/root"
    run([os.environ.get("MAKE", "make"), "-C", ROOT, "--no-print-directory", f"BUILD={BUILD}", "PREFIX=/opt/ls", f"DESTDIR={world.root}", "install"],
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")})
    world.lib = f"{world.root}/opt/ls/lib"
    world.env = {"LD_LIBRARY_PATH": world.lib, "LOCKSTEP_DIR": world.public}
    return world


def flags(world, *more):
    """What pkg-config says of the installed library."""
    env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": world.root, "PKG_CONFIG_PATH": f"{world.lib}/pkgconfig"}
    return run(["pkg-config", "--cflags", "--libs", *more, "liblockstep"], env=env).split()


def build(world, source, name, *more):
    path = f"{world.folder}/{name}"
    run(["cc", "-std=gnu99", *STRICT, source, "-o", path, *more, *flags(world)])
    return path


def header_of(world):
    return f"{world.root}/opt/ls/include/lockstep.h"


def manuals_of(world):
    return f"{world.root}/opt/ls/share/man/man3"


def test_header(world):
    """the header is C99, the library shows nothing but its own names, every function has its manual"""
    header = header_of(world)
    run(["cc", "-std=c99", "-pedantic-errors", *STRICT, "-x", "c", "-fsyntax-only", header])
    functions = set(re.findall(r"\b(lockstep_[a-z_]+)\(", read(header))) - {"lockstep_watch_fn"}
    shared = f"{world.lib}/liblockstep.so"
    names = {line.split()[-1] for line in run(["nm", "-D", "--defined-only", shared]).splitlines()}
    equal(names, functions, "names that the library exports")
    contains(run(["readelf", "-d", shared]), "liblockstep.so.0")
    manuals = manuals_of(world)
    for name in functions | {"liblockstep"}:
        check(os.path.exists(f"{manuals}/{name}.3"), f"{name} has no manual")
        contains(read(f"{manuals}/liblockstep.3"), name)


def test_header_is_cpp(world):
    """the header is C++"""
    need_program("g++", "clang++")
    for compiler in filter(shutil.which, ("g++", "clang++")):
        run([compiler, "-std=c++11", *STRICT, "-pedantic-errors", "-x", "c++", "-fsyntax-only", "-include", header_of(world), "/dev/null"])


def test_manual_without_mistakes(world):
    """mandoc finds no mistake in the manual"""
    mandoc = need_program("mandoc")
    run([mandoc, "-T", "lint", "-W", "warning", f"{manuals_of(world)}/liblockstep.3"])


def test_first_program(world):
    """the program of the README, as it stands there, reads the values; so it does when linked statically"""
    programs = re.findall(r"^```c\n(/\* first\.c \*/\n.*?)^```$", read(f"{ROOT}/agent/client/README.md"), re.M | re.S)
    equal(len(programs), 1, "programs in the README")
    write(f"{world.folder}/first.c", programs[0])
    env = {**os.environ, **world.env}
    equal(run([build(world, f"{world.folder}/first.c", "first")], env=env), "postgres://db, 25 connections\n", "what it prints")
    static = f"{world.folder}/first-static"
    run(["cc", f"{world.folder}/first.c", "-o", static, f"-I{world.root}/opt/ls/include", f"{world.lib}/liblockstep.a", "-pthread"])
    equal(run([static], env={"LOCKSTEP_DIR": world.public}), "postgres://db, 25 connections\n", "what it prints")


def test_batch(world):
    """the batch tool prints one revision, and says what is missing"""
    tool = build(world, f"{world.root}/opt/ls/share/doc/liblockstep/examples/batch.c", "batch")
    env = {**os.environ, **world.env}
    contains(run([tool, SCOPE], env=env), "# revision 1, ", "database.pool\tnumber\t25\n")
    equal(run([tool, SCOPE, "server.greeting"], env=env), "good day\n", "one value")
    done = subprocess.run([tool, SCOPE, "absent"], env=env, capture_output=True, text=True, check=False)
    equal((done.returncode, done.stderr), (3, "batch: there is no absent here\n"), "an absent key")


def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        return s.makefile().read()


def roll(world, values, state):
    world.set(SCOPE, values)
    rollout = world.start_rollout(SCOPE, ALL)
    world.wait_state(rollout, state)
    return rollout


def test_limits_server(world):
    """a running server takes over a change and confirms it; what it refuses is taken back"""
    source = f"{world.root}/opt/ls/share/doc/liblockstep/examples/limits_server.c"
    world.port = free_port()
    world.server = Process("limits", [build(world, source, "limits_server"), SCOPE, str(world.port)], f"{world.folder}/limits.log", env=world.env)
    world.others.append(world.server.start())
    wait_until(lambda: world.server.log_has("revision 1: running"), "it runs the first revision")
    contains(ask(world.port), "good day (revision 1)")
    roll(world, {"server.greeting": "good evening"}, "completed")
    check(world.server.log_has("revision 2: running"), "it confirmed before the change was called applied")
    contains(ask(world.port), "good evening (revision 2)")
    rollout = roll(world, {"limits.per_second": 200000}, "rolled_back")
    contains(world.servers_of(rollout)["server-1"]["reason"], "limits_server", "cannot run it: limits.per_second is above limits.ceiling")
    contains(ask(world.port), "(revision 2)")
    equal([r for r in world.server.log_text().split("\n") if "refused" in r], ["revision 3: refused"], "what it refused")


def test_agent_dies(world):
    """the server answers while the agent is killed, and the next agent waits for it again"""
    world.agent.kill()
    contains(ask(world.port), "good evening (revision 2)")
    world.agent.start()
    wait_until(lambda: world.agent.process.log_has("consumer registered"), "the server registers anew")
    world.wait_agents(SCOPE, 1)
    roll(world, {"limits.per_second": 7, "server.greeting": "good night"}, "completed")
    wait_until(lambda: "good night" in ask(world.port), "it serves the new revision")
    check(world.server.is_running(), "it runs on")


def test_stopped_server(world):
    """a consumer that hangs fails the change, and is named"""
    os.kill(world.server.pid, 19)
    try:
        world.agent.scope_settings = "consumers_timeout = 300ms"
        world.agent.write_settings()
        world.agent.process.send(1)
        wait_until(lambda: world.agent.process.log_has("settings read again"), "the agent has the new settings")
        rollout = roll(world, {"server.greeting": "nobody hears this"}, "rolled_back")
        contains(world.servers_of(rollout)["server-1"]["reason"], "0 of the 1 consumers needed confirmed it within 300 ms", "no word from limits_server")
    finally:
        os.kill(world.server.pid, 18)
