"""advice.py - what commands print, typed as printed, does what it says; and nothing else is taken for a coordinator."""
import http.client
import http.server
import os
import re
import threading

from cli import AT_ONCE, CONFLICT, DONE, FAILED, INVALID, NOT_FOUND, NOT_PERMITTED, USAGE, Dev
from kit import check, contains, equal, read

BOB = "bob"


def setup():
    return Dev(agents=2).start()


def released(dev, key):
    return dev.run("config", "get", "demo/prod", key).stdout.strip()


def test_a_fix_leaves_the_drafts_of_others(dev):
    """The line printed after a hotfix rolls out the hotfix alone, and the drafts on top are counted"""
    token = dev.run("token", "create", BOB, "--role", "editor", "-o", "json")
    equal(token.returncode, DONE, token.stderr)
    bob = re.search(r"lst_[A-Za-z0-9_]+", token.stdout).group()
    dev.must(DONE, "config", "set", "demo/prod", "mode=fast", "workers=4")
    dev.members()
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    dev.must(DONE, "config", "set", "demo/prod", "workers=999", LOCKSTEP_TOKEN=bob)
    said = dev.must(DONE, "config", "set", "demo/prod", "mode=slow", "--released")
    contains(said, "1 draft of other keys waits on top")
    line = re.search(r"lockstep (rollout start demo/prod@\d+)", said).group(1).split()
    dev.must(DONE, *line, "-s", AT_ONCE, "--wait")
    equal(released(dev, "mode"), "slow", "the fix is released")
    equal(released(dev, "workers"), "4", "the draft is not")
    said = dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    contains(said, "1 key of others goes out with it: workers by bob")
    equal(released(dev, "workers"), "999", "who asks for the head gets it")


def test_a_start_of_two_scopes(dev):
    """Each of several scopes gets its own revision, in whatever order they are named"""
    token = dev.run("token", "create", f"{BOB}-2", "--role", "editor", "-o", "json")
    bob = re.search(r"lst_[A-Za-z0-9_]+", token.stdout).group()
    for value in "123":
        dev.must(DONE, "config", "set", "older/prod", f"a={value}", LOCKSTEP_TOKEN=bob)
    dev.must(DONE, "config", "set", "newer/prod", "b=1", LOCKSTEP_TOKEN=bob)
    dev.must(DONE, "rollout", "start", "newer/prod", "older/prod", "-s", AT_ONCE, "--wait")
    for scope, key, value in [("older/prod", "a", "3"), ("newer/prod", "b", "1")]:
        equal(dev.run("config", "get", scope, key).stdout.strip(), value, f"{key} of {scope} is released")


def test_a_parent_goes_out_alone(dev):
    """A rollout of a parent names the children that wait with what came down; config list says what came from where"""
    dev.must(DONE, "config", "set", "line/prod", "first=1")
    dev.must(DONE, "config", "set", "heir/prod", "own=1")
    dev.must(DONE, "config", "parents", "heir/prod", "line/prod")
    dev.must(DONE, "rollout", "start", "heir/prod", "-s", AT_ONCE, "--wait")
    dev.must(DONE, "config", "set", "line/prod", "shared=1")
    said = dev.must(DONE, "rollout", "start", "line/prod", "-s", AT_ONCE, "--wait")
    line = re.search(r"(rollout start heir/prod)$", said, re.M).group(1)
    dev.must(DONE, *line.split(), "-s", AT_ONCE, "--wait")
    equal(dev.run("config", "get", "heir/prod", "shared").stdout.strip(), "1", "what the child has")
    listed = dev.must(DONE, "config", "list", "heir/prod")
    contains(listed, "ORIGIN", "line/prod")
    check("ORIGIN" not in dev.must(DONE, "config", "list", "line/prod"), "nothing is inherited there")


def test_two_people_take_back(dev):
    """A second rollback of the same scope is refused and says how to undo the first; its own id asks first"""
    dev.must(DONE, "config", "set", "demo/prod", "mode=bad")
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    dev.must(DONE, "rollout", "rollback", "demo/prod", "--wait")
    equal(released(dev, "mode"), "slow", "taken back")
    said = dev.must(CONFLICT, "rollout", "rollback", "demo/prod", "--wait")
    equal(released(dev, "mode"), "slow", "it stays taken back")
    contains(said, "was already taken back")
    undo = re.search(r"lockstep (rollout rollback (\w+) -y)", said)
    contains(dev.must(USAGE, "rollout", "rollback", undo.group(2)), "nobody to ask")
    equal(released(dev, "mode"), "slow", "not without a yes")
    dev.must(DONE, *undo.group(1).split(), "--wait")
    equal(released(dev, "mode"), "bad", "who means it is obeyed")


def test_a_change_of_a_file_is_seen(dev):
    """diff, --plan, rollout plan and rollout diff show the lines that differ, and long values where they do"""
    lines = [f"line {i}" for i in range(1, 41)]
    dev.must(DONE, "config", "set", "demo/prod", f"app.conf=@{dev.file('a', chr(10).join(lines) + chr(10))}", f"long={'x' * 150}1")
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    lines[36] = "line thirty-seven"
    changed = f"app.conf=@{dev.file('b', chr(10).join(lines) + chr(10))}"
    hunk = ["~ app.conf", "@@ -35,5 +35,5 @@", "-line 37", "+line thirty-seven"]
    contains(dev.must(FAILED, "config", "set", "demo/prod", changed, "--plan"), *hunk)
    dev.must(DONE, "config", "set", "demo/prod", changed, f"long={'x' * 150}2")
    out = dev.must(FAILED, "config", "diff", "demo/prod")
    contains(out, *hunk, "xxx1", "xxx2")
    check("line 20" not in out, f"lines far from the change stay away: {out}")
    contains(dev.must(DONE, "rollout", "plan", "demo/prod"), *hunk, "by ")
    check(max(map(len, out.splitlines())) < 130, f"no line is wider than a terminal: {out}")
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    contains(dev.must(FAILED, "rollout", "diff", "demo/prod"), *hunk)
    contains(dev.must(FAILED, "rollout", "diff", "demo/prod", "-o", "json"), '"app.conf"')


def test_bytes_as_they_are(dev):
    """@FILE and - keep a value's last line end, get --raw gives the bytes back; of secrets and numbers it is dropped"""
    path = dev.file("h.cfg", "defaults\n mode http\n")
    dev.must(DONE, "config", "set", "demo/prod", f"haproxy.cfg=@{path}")
    equal(dev.run("config", "get", "demo/prod@head", "haproxy.cfg", "--raw").stdout, read(path), "the same bytes")
    equal(dev.run("config", "set", "demo/prod", "n", "-", "-t", "number", stdin="8\n").returncode, DONE, "a number from echo")
    dev.must(DONE, "config", "set", "demo/prod", "--key", "a=b", "c=d")
    equal(dev.run("config", "get", "demo/prod@head", "a=b").stdout, "c=d\n", "a key with an equals sign")
    dev.must(DONE, "config", "set", "demo/prod", "..", "up")
    equal(dev.run("config", "get", "demo/prod@head", "..").stdout, "up\n", "a key that paths would fold")
    contains(dev.must(USAGE, "config", "set", "demo/prod"), "KEY=VALUE")


def test_round_trips(dev):
    """What strategy get prints, as JSON and as YAML, is what strategy set and start take"""
    for form in ["json", "yaml"]:
        path = dev.file(f"mine.{form}", dev.run("strategy", "get", "canary", "-o", form).stdout)
        dev.must(DONE, "strategy", "set", f"mine-{form}", path)
        mine, built_in = dev.json("strategy", "get", f"mine-{form}"), dev.json("strategy", "get", "canary")
        equal(mine["stages"], built_in["stages"], "the same strategy")
        dev.must(DONE, "rollout", "plan", "demo/prod", "-s", f"@{path}")
    dev.must(DONE, "strategy", "set", "mine", dev.file("table", dev.run("strategy", "get", "canary").stdout))
    contains(dev.must(INVALID, "strategy", "set", "mine", dev.file("bad.yaml", "stages: !x [1]\n")), "bad.yaml:1:9", "!x")


def test_tokens_as_they_are_copied(dev):
    """A carriage return, blanks and a byte-order mark around a token are no part of it"""
    token = read(f"{dev.dir}/token").strip()
    env = {"LOCKSTEP_CONTEXT": "", "LOCKSTEP_ADDR": dev.json("whoami") and address(dev)}
    for text in [token + "\r", " " + token + " \n", "\ufeff" + token]:
        equal(dev.run("whoami", LOCKSTEP_TOKEN=text, **env).returncode, DONE, f"a token as {text!r}")
        equal(dev.run("whoami", "--token-file", dev.file("t", text), **env).returncode, DONE, f"a token file with {text!r}")
    contains(dev.must(NOT_PERMITTED, "whoami", LOCKSTEP_TOKEN=token + "\nX-Evil: 1", **env), "LOCKSTEP_TOKEN", "more than one token")


def address(dev):
    return re.search(r"addr *= *(\S+)", read(f"{dev.dir}/context")).group(1)


class Stranger(http.server.BaseHTTPRequestHandler):
    """A catch-all page, a captive portal: one answer to everything."""
    status, answer, kind, asked = 200, b"hello v9\n", "text/plain", []

    def do_GET(self):
        self.asked.append((self.command, self.path, self.headers.get("Authorization")))
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Location", "/login")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass


def test_what_is_no_coordinator(dev):
    """Whatever else answers is not taken for one: exit 1, its words are named, and it never sees the token"""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    addr = f"http://127.0.0.1:{server.server_address[1]}"
    commands = ["config set web/prod a=b", "token create x --role viewer", "server list", "rollout start web/prod --wait", "config get web/prod"]
    for answer, kind in [(b"hello v9\n", "text/plain"), (b"<html>log in</html>", "text/html"), (b'{"ok":true}', "application/json"), (b"", "text/plain")]:
        Stranger.answer, Stranger.kind = answer, kind
        for command in commands:
            said = dev.must(FAILED, "--addr", addr, *command.split(), LOCKSTEP_TOKEN="lst_secret", LOCKSTEP_CONTEXT="")
            contains(said, "no Lockstep coordinator", kind, "--addr")
    Stranger.answer, Stranger.kind = b'{"title":"no","status":0}', "application/problem+json"
    for Stranger.status in [302, 401, 403, 404, 407, 500, 503, 511]:
        said = dev.must(FAILED, "--addr", addr, "config", "set", "web/prod", "a=b", LOCKSTEP_TOKEN="lst_secret", LOCKSTEP_CONTEXT="")
        contains(said, "no Lockstep coordinator", f"HTTP {Stranger.status}", "--addr")
    check(not any(a for _, _, a in Stranger.asked), f"the token was shown to a stranger: {Stranger.asked[:3]}")
    server.shutdown()


class Gateway(http.server.BaseHTTPRequestHandler):
    """Lets the API through and nothing else."""
    behind = ""

    def do_GET(self):
        c = http.client.HTTPConnection(self.behind)
        if self.path.startswith("/api/"):
            c.request("GET", self.path, headers={k: v for k, v in self.headers.items() if k in ("Authorization", "Accept")})
            r = c.getresponse()
            status, kind, body = r.status, r.headers["Content-Type"], r.read()
        else:
            status, kind, body = 404, "text/html", b"not here"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_gateway(dev):
    """Behind a gateway that lets the API alone through, the API itself is known for what it is"""
    Gateway.behind = address(dev).split("//")[1]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    dev.must(DONE, "--addr", f"http://127.0.0.1:{server.server_address[1]}", "whoami", LOCKSTEP_TOKEN=read(f"{dev.dir}/token").strip(), LOCKSTEP_CONTEXT="")
    server.shutdown()


def test_a_proxy_of_the_environment(dev):
    """http_proxy is not asked for 127.0.0.1; for addresses elsewhere the error names it, without its password"""
    proxy = {"http_proxy": "http://me:pass-word@127.0.0.1:9"}
    dev.must(DONE, "whoami", **proxy)
    said = dev.must(FAILED, "--addr", "http://coordinator.invalid", "whoami", LOCKSTEP_CONTEXT="", **proxy)
    contains(said, "through the proxy 127.0.0.1:9")
    check("pass-word" not in said, f"a password is shown: {said}")


def test_wrong_ports(dev):
    """The agents' port, and HTTPS asked of HTTP, are told with what to try"""
    host = address(dev).split("//")[1]
    contains(dev.must(FAILED, "--addr", f"https://{host}", "whoami", LOCKSTEP_CONTEXT=""), "does not speak HTTPS", "http://")
    router = re.search(r"bind *= *tcp://(\S+)", read(f"{dev.dir}/lockstepd.ini")).group(1) if os.path.exists(f"{dev.dir}/lockstepd.ini") else ""
    if router and not router.endswith(":0"):
        contains(dev.must(FAILED, "--addr", f"http://{router}", "whoami", LOCKSTEP_CONTEXT=""), "does not speak HTTP", "7780")


def test_tags_that_nobody_knows(dev):
    """config import refuses a tag of a list or a map, and warns of words that become numbers"""
    contains(dev.must(INVALID, "config", "import", "demo/prod", dev.file("tags.yaml", "role: !GetAtt [AppRole, Arn]\n")), "tags.yaml:1:7", "!GetAtt")
    contains(dev.must(DONE, "config", "import", "demo/prod", dev.file("hash.yaml", "image: {tag: 72044e0}\n")), "72044e0 is taken as a number")
    dev.must(NOT_FOUND, "config", "get", "demo/prod@head", "role")


def test_an_error_speaks_of_options(dev):
    """An error of the API names the options of this command line, what to type next, and fits its exit code"""
    env = {"LOCKSTEP_CONTEXT": "", "LOCKSTEP_ADDR": address(dev)}
    says = lambda code, words, *parts, **more: contains(dev.must(code, *words.split(), **more), *parts)
    says(INVALID, "rollout list --state nonsense", "--state knows no state nonsense", "awaiting_approval")
    says(INVALID, "rollout list --limit 100000", "--limit must be")
    says(INVALID, "rollout start demo/prod --break-glass", "--break-glass needs a note")
    says(INVALID, "token create x --role hook --right rollout.break_glass", "rollout.break_glass is given", "--expires")
    says(NOT_FOUND, "rollout start demo/prod@9999", "lockstep: demo/prod has no revision 9999")
    says(NOT_FOUND, "strategy get mine.yaml", "no strategy mine.yaml")
    says(NOT_FOUND, f"rollout plan demo/prod -s {dev.file('own.yaml', 'stages: [{percent: 100}]')}", "--strategy @")
    dev.must(DONE, "freeze", "set", "f", "-e", "prod", "-r", "few people")
    dev.must(DONE, "config", "set", "demo/prod", "frozen=1")
    says(CONFLICT, "rollout start demo/prod", "lockstep freeze delete f.", "--break-glass")
    dev.must(DONE, "freeze", "delete", "f")
    says(NOT_PERMITTED, "whoami", "The token came from LOCKSTEP_TOKEN: lst_abcdefgh…, 17 characters", LOCKSTEP_TOKEN="lst_abcdefgh_xxxx", **env)
    for name, text in (("none", None), ("empty", ""), ("blank", "\n")):
        path = dev.file(name, text) if text is not None else f"{dev.folder}/{name}"
        says(NOT_PERMITTED, f"whoami --token-file {path}", path, **env)
    viewer = re.search(r"lst_[A-Za-z0-9_]+", dev.must(DONE, "token", "create", "v", "--role", "viewer")).group()
    says(NOT_PERMITTED, "config set demo/prod a=b", "config.write for demo/prod", "lockstep whoami", LOCKSTEP_TOKEN=viewer)
    dev.must(DONE, "schema", "set", "demo", "pool", dev.file("pool.json", '{"type": "integer"}'))
    says(INVALID, "config set demo/prod pool=8", "not a string", "--type number")
    says(INVALID, f"config set demo/prod bytes=@{dev.file('bytes', bytes([255, 254]))}", "no UTF-8 text", "base64")
    says(INVALID, f"config set demo/prod bytes=@{dev.file('large', 'x' * 2100000)}", "2097152 bytes", "elsewhere")
    says(USAGE, "server forget server-1", "give -y")
    one = dev.must(INVALID, "strategy", "set", "mine", "-", stdin='{"stages":[{"percent":100,"bake":"soon"}]}')
    equal(one.count("soon"), 1, f"a single mistake is told once: {one}")
    for text, words in (('{"max_failed":1,"stages":[{"percent":100}]}', "belongs to a stage"),
                        ('{"stages":[{"percent":100,"on_failure":"pause"}]}', "belongs to the whole strategy"),
                        ('{"stages":[{"percent":100,"bakes":"1m"}]}', "max_failed, ready_timeout, apply_timeout, bake")):
        contains(dev.must(INVALID, "strategy", "set", "mine", "-", stdin=text), words)
