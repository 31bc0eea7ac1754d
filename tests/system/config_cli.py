"""config_cli.py - configuration on the command line: search, ways back, copies, files in a git repository."""
import json
import os

from kit import World, check, contains, equal, read, write
from api import completed, head, put

DONE, DIFFERENT, USAGE, NOT_FOUND, INVALID = 0, 1, 2, 3, 7


def setup():
    return World("config-cli").start()


def cli(world, code, *args, **more):
    done = world.cli(*args, **more)
    equal(done.returncode, code, f"exit code of lockstep {' '.join(args)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def document(world, scope):
    return world.ok("GET", f"/config/{scope}?format=json&revision=head")


def test_search(world):
    """config search: globs, names, json; nothing found is no error"""
    for service in ("find-a", "find-b"):
        world.set(f"{service}/prod", {"db.url": "it's\nhere", "other": 1})
    contains(cli(world, DONE, "config", "search", "db.*", "--revision", "head"), "find-a/prod", "find-b/prod", "2 keys")
    equal(world.cli("config", "search", "*", "--service", "find-b", "-e", "prod", "-r", "head", "-o", "name").stdout, "find-b/prod db.url\nfind-b/prod other\n", "names")
    equal(len(json.loads(world.cli("config", "search", "-r", "head", "-o", "json").stdout)["configs"]), 4, "json")
    contains(cli(world, DONE, "config", "search", "db.*"), "0 keys")
    cli(world, INVALID, "config", "search", "-r", "7")


def test_rollback(world):
    """config rollback: a key to a version, a scope to a revision"""
    for n in ("1", "2", "3"):
        world.set("back/prod", {"a": n, "b": n})
    contains(cli(world, DONE, "config", "rollback", "back/prod", "a", "--to", "1", "-m", "better"), "back/prod@4", "draft")
    equal(document(world, "back/prod"), {"a": "1", "b": "3"}, "one key")
    cli(world, DONE, "config", "rollback", "back/prod", "--to", "2")
    equal(document(world, "back/prod"), {"a": "2", "b": "2"}, "the scope")
    contains(cli(world, DONE, "config", "rollback", "back/prod", "--to", "2"), "nothing changed")
    cli(world, NOT_FOUND, "config", "rollback", "back/prod", "a", "--to", "99")
    cli(world, NOT_FOUND, "config", "rollback", "back/prod", "--to", "99")
    for wrong in (["--to", "x"], ["--to", "-1"], []):
        cli(world, USAGE, "config", "rollback", "back/prod", *wrong)


def test_numbers(world):
    """options that count: what is no number is refused before anything is sent, and the guard of a write stays one"""
    completed(world, "count/prod", a="1")
    for text in ("x", "1x", "", "-1", "99999999999999999999"):
        contains(cli(world, USAGE, "config", "set", "count/prod", "a=2", f"--expect={text}"), f'--expect "{text}"')
        contains(cli(world, USAGE, "config", "set", "count/prod", "new=2", f"--expect={text}"), "give a number")
        for command in (("rollout", "servers", "count/prod", "--stage"), ("rollout", "list", "--limit"), ("audit", "list", "--limit"),
                        ("schema", "get", "count", "a", "--version"), ("environment", "set", "prod", "--approvals"), ("config", "rollback", "count/prod", "--to")):
            cli(world, USAGE, *command[:-1], f"{command[-1]}={text}")
    contains(cli(world, USAGE, "dev", "--router", "127.0.0.1:99999", "--dir", f"{world.folder}/dev"), "65535")
    equal(document(world, "count/prod"), {"a": "1"}, "nothing was written")
    cli(world, DONE, "config", "set", "count/prod", "a=2", "--expect", "1")


def test_unset(world):
    """config unset: a key that is not there is exit 3 with the one that was meant, and no other key goes"""
    completed(world, "gone/prod", **{"db.pool": 5, "other": 1})
    contains(cli(world, NOT_FOUND, "config", "unset", "gone/prod", "other", "db.poll"), "gone/prod has no key db.poll", "Did you mean db.pool?")
    equal(document(world, "gone/prod"), {"db.pool": 5, "other": 1}, "nothing went")
    cli(world, DONE, "config", "unset", "gone/prod", "other")
    cli(world, NOT_FOUND, "config", "unset", "gone/prod", "other")
    cli(world, DONE, "config", "unset", "gone/prod", "other", "--released")
    contains(cli(world, NOT_FOUND, "config", "unset", "gone/prod", "nokey", "--plan"), "no key nokey")


def test_released(world):
    """config set --released: a fix without the drafts of others"""
    completed(world, "fix/prod", a="1", b="1")
    cli(world, DONE, "config", "set", "fix/prod", "a=draft", "b=draft")
    contains(cli(world, DONE, "config", "set", "fix/prod", "a=fixed", "--released"), 'the draft of "a" gave way')
    equal((world.ok("GET", "/config/fix/prod?format=json&revision=3"), document(world, "fix/prod")),
          ({"a": "fixed", "b": "1"}, {"a": "fixed", "b": "draft"}), "released and the fix; drafts on top")


def test_copy(world):
    """config copy: what is released or a revision, some keys or all, with and without what the target has more"""
    completed(world, "from/prod", **{"db.url": "x", "db.pool": 5, "flag": True})
    world.set("from/prod", {"draft": "d"})
    world.set("to/prod", {"own": "o", "flag": False})
    contains(cli(world, DIFFERENT, "config", "copy", "from/prod", "to/prod", "--plan"), "+ db.url", "- flag", "+ flag")
    equal(head(world, "to"), 1, "only planned")
    cli(world, DONE, "config", "copy", "from/prod", "to/prod", "-k", "db.*")
    equal(document(world, "to/prod"), {"db.pool": 5, "db.url": "x", "flag": False, "own": "o"}, "some keys")
    cli(world, DONE, "config", "copy", "from/prod@head", "to/prod", "--prune", "-m", "all of it")
    equal(document(world, "to/prod"), document(world, "from/prod"), "all of them, drafts included")
    cli(world, DONE, "config", "copy", "from/prod@head", "to/prod", "--prune", "--plan")
    cli(world, DONE, "config", "copy", "from/prod", "new/prod")
    equal(document(world, "new/prod"), {"db.pool": 5, "db.url": "x", "flag": True}, "a new scope")
    cli(world, NOT_FOUND, "config", "copy", "nosuch/prod", "to/prod")
    cli(world, NOT_FOUND, "config", "copy", "from/prod@99", "to/prod")
    copy = lambda body: world.api("POST", "/config/to/prod/copy", body)
    wrong = copy({"from": {"service": "a/b", "environment": "prod", "revision": "x", "y": 1}, "keys": [1], "prune": 2})
    equal((wrong.status, sorted(e["pointer"] for e in wrong["errors"])), (422, ["/from/revision", "/from/service", "/from/y", "/keys", "/prune"]), "fields")
    equal(copy({}).status, 422, "without a source")


def test_files(world):
    """config export and import: a tree of files that says what there is, in all its types; --plan tells the difference"""
    nasty = {"plain": "text", "quoted": "it's \"so\"", "lines": "one\n  two\n\nthree\n", "spaces": "  x  ", "empty": "", "yes": "yes", "num": "0644",
             "tabs": "a\tb\n\tc", "uni": "\u00e4\u20ac\U0001F600", "del": "\x7f\x01 \u2028", "hash": "# no comment", "colon": "a: b", "cr": "a\r\nb",
             "a key: with # signs": "v", "deep": "1", "deep.er": "2", "null": "null", "tilde": "~", "merge": "<<", "bang": "!secret 3"}
    values = {k: {"config_value": v, "value_type": "string"} for k, v in nasty.items()}
    values |= {"n": {"config_value": "1.50", "value_type": "number"}, "big": {"config_value": "123456789012345678901234567890", "value_type": "number"},
               "on": True, "list": {"config_value": [1, "it's", None, {"x": "y\nz"}]}, "map": {"config_value": {"a": {"b": 1}}},
               "nothing": {"config_value": "null", "value_type": "json"}, "word": {"config_value": "\"w\"", "value_type": "json"},
               "doc": {"config_value": "a: 1\nb:\n  - c\n", "value_type": "yaml"}, "k" * 300: "long"}
    world.ok("POST", "/config/files/prod", {"set": values})
    world.set("files/staging", {"a": "1"})
    world.set("base/prod", {"shared": "s"})
    cli(world, DONE, "config", "parents", "files/prod", "base/prod")
    tree = f"{world.folder}/tree"
    cli(world, DONE, "config", "export", tree)
    check(os.path.exists(f"{tree}/files/prod.yaml") and os.path.exists(f"{tree}/base/prod.yaml"), f"files: {os.listdir(tree)}")
    check("shared" not in read(f"{tree}/files/prod.yaml"), "own keys only")
    contains(read(f"{tree}/files/prod.yaml"), '"lines": |', '"n": 1.50', "!json", "!yaml")
    cli(world, DONE, "config", "import", tree, "--plan")
    cli(world, DONE, "config", "import", tree, "--plan", "--prune")
    heads = {s["service"]: s["head"] for s in world.ok("GET", "/services")["services"]}
    cli(world, DONE, "config", "import", tree)
    equal({s["service"]: s["head"] for s in world.ok("GET", "/services")["services"]}, heads, "importing what is there changes nothing")
    again = f"{world.folder}/again"
    cli(world, DONE, "config", "export", again)
    equal(read(f"{again}/files/prod.yaml"), read(f"{tree}/files/prod.yaml"), "the same bytes again")
    write(f"{tree}/files/staging.yaml", '"b": 2\n')
    contains(cli(world, DIFFERENT, "config", "import", tree, "--plan", "--prune"), "- a = 1", "+ b = 2")
    cli(world, DONE, "config", "import", tree, "--prune")
    equal(document(world, "files/staging"), {"b": 2}, "as the file says")
    write(f"{tree}/files/prod.yaml", "a: [\n")
    cli(world, INVALID, "config", "import", tree, "--plan")
    one = f"{world.folder}/one.yaml"
    cli(world, DONE, "config", "export", one, "files/staging")
    equal((read(one), world.cli("config", "export", "-", "files/staging").stdout), ('"b": 2\n',) * 2, "one file, or standard output")
    cli(world, USAGE, "config", "export", one)
    cli(world, NOT_FOUND, "config", "export", one, "nosuch/prod")
    contains(cli(world, DIFFERENT, "config", "export", "/proc/nothing"), "/proc/nothing")
    contains(cli(world, DONE, "config", "parents", "files/prod"), "base/prod")
    cli(world, DONE, "config", "parents", "files/prod", "--none")
    check("shared" not in document(world, "files/prod"), "stands alone")
    cli(world, INVALID, "config", "parents", "base/prod", "base/prod")
    cli(world, USAGE, "config", "parents", "base/prod", "files/prod", "--none")
