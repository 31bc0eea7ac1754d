"""tls.py - HTTPS: versions, certificates of both sides, new ones under load, and the command line."""
import contextlib
import http.client
import os
import signal
import ssl
import subprocess
import threading
import time

from kit import BUILD, World, check, contains, equal, wait_until, write


class Authority:
    """A certificate authority of its own, made with the openssl command."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.cert = f"{folder}/{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", f"{folder}/{name}.key", "-out", self.cert)

    def issue(self, name, days=30, usage="serverAuth", serial="1", began=None):
        """Paths of a certificate for 127.0.0.1 and localhost, and of its key."""
        base = f"{self.folder}/{name}"
        write(f"{base}.ext", f"subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{base}.key", "-out", f"{base}.csr")
        if days > 0:
            openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.cert, "-CAkey", f"{self.folder}/{self.name}.key", "-set_serial", serial,
                    "-days", str(days), "-extfile", f"{base}.ext", "-out", f"{base}.pem")
        else:
            self.expired(base)
        os.chmod(f"{base}.key", 0o600)
        return f"{base}.pem", f"{base}.key"

    def expired(self, base):
        """Only `openssl ca` takes dates."""
        write(f"{base}.cnf", f"[ca]\ndefault_ca=a\n[a]\ndatabase={base}.db\nserial={base}.srl\nnew_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        write(f"{base}.db", "")
        write(f"{base}.srl", "10\n")
        openssl("ca", "-batch", "-config", f"{base}.cnf", "-cert", self.cert, "-keyfile", f"{self.folder}/{self.name}.key", "-in", f"{base}.csr",
                "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile", f"{base}.ext", "-notext", "-out", f"{base}.pem")


def openssl(*words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"openssl {words[0]}: {done.stderr}")
    return done.stdout


def setup():
    world = World("tls")
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    world.ours, world.others_authority = Authority(world.folder, "ours"), Authority(world.folder, "theirs")
    for name in ("server", "second"):
        world.ours.issue(name, serial={"server": "1", "second": "2"}[name])
    world.cert, world.key = f"{world.folder}/live.pem", f"{world.folder}/live.key"
    use(world, "server")
    for name, more in (("plain-clients", ""), ("known-clients", f"tls_client_ca = {world.ours.cert}\n")):
        c = world.add_coordinator(name)
        with open(c.settings, encoding="utf-8") as f:
            text = f.read()
        write(c.settings, text.replace("[http]\n", f"[http]\ntls_cert = {world.cert}\ntls_key = {world.key}\n{more}"), 0o600)
        c.start(wait=False)
        wait_until(lambda c=c: "message=ready" in c.process.log_text() or not c.process.is_running(), f"{c.name} is ready")
        check(c.process.is_running(), f"{c.name} ended: {c.process.log_text()[-800:]}")
    world.token = world.bootstrap_token("tests")
    return world


def use(world, name):
    """Put this certificate where the coordinator reads it."""
    for end in ("pem", "key"):
        subprocess.run(["install", "-m", "600", f"{world.folder}/{name}.{end}", f"{world.folder}/live.{end}.new"], check=True)
        os.rename(f"{world.folder}/live.{end}.new", f"{world.folder}/live.{end}")


def context(world, client=None, trust=None):
    c = ssl.create_default_context(cafile=trust or world.ours.cert)
    if client:
        c.load_cert_chain(*client)
    return c


def connect(world, coordinator, **more):
    c = http.client.HTTPSConnection("127.0.0.1", coordinator.http, timeout=20, context=context(world, **more))
    c.connect()
    return c


def get(connection, path, token=None):
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def serial(connection):
    return int(connection.sock.getpeercert()["serialNumber"], 16)


def try_cli(world, coordinator, *words, env=None):
    return subprocess.run([f"{BUILD}/lockstep", *words], capture_output=True, text=True, timeout=30, check=False,
                          env={**os.environ, "HOME": world.folder, "LOCKSTEP_ADDR": f"https://127.0.0.1:{coordinator.http}", "LOCKSTEP_TOKEN": world.token, **(env or {})})


def test_versions(world):
    """TLS 1.2 and 1.3 are spoken, 1.1 and plain HTTP are not"""
    c = world.coordinators[0]
    for version in ("1_2", "1_3"):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{c.http}", f"-tls{version}", "-CAfile", world.ours.cert, "-verify_return_error"],
                              input="", capture_output=True, text=True, timeout=20, check=False)
        contains(done.stdout, "Verify return code: 0", f"TLSv{version.replace('_', '.')}")
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{c.http}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], input="", capture_output=True, text=True, timeout=20, check=False)
    check(done.returncode != 0 and "Cipher is (NONE)" in done.stdout, f"TLS 1.1: {done.stdout[-300:]}")
    plain = http.client.HTTPConnection("127.0.0.1", c.http, timeout=10)
    try:
        plain.request("GET", "/healthz")
        answer = plain.getresponse().status
    except (OSError, http.client.HTTPException):
        answer = None
    equal(answer, None, "plain HTTP")


def test_requests(world):
    """reads, writes, streams of bytes and long bodies go through"""
    c = connect(world, world.coordinators[0])
    body = '{"config_value":"' + "x" * 900000 + '"}'
    c.request("PUT", "/api/v1/config/tls/dev/big", body, {"Authorization": f"Bearer {world.token}", "Content-Type": "application/json"})
    answer = c.getresponse()
    equal((answer.status, len(answer.read()) > 900000), (201, True), "a large value")
    for _ in range(3):
        status, raw = get(c, "/api/v1/config/tls/dev/big?revision=head", world.token)
        equal((status, len(raw) > 900000), (200, True), "read again")
    equal(get(c, "/api/v1/config/tls/dev/absent", world.token)[0], 404, "absent")
    equal(get(c, "/api/v1/config/tls/dev/absent", world.token)[0], 404, "absent, from memory")
    days = next(float(w.split()[1]) for w in get(c, "/metrics")[1].decode().splitlines() if w.startswith("lockstep_tls_certificate_days "))
    check(29 < days < 30.1, f"days left: {days}")


def test_trust(world):
    """clients that verify see a wrong authority, a wrong name, an expired certificate"""
    c = world.coordinators[0]
    try:
        connect(world, c, trust=world.others_authority.cert)
        raise AssertionError("another authority's certificate was taken")
    except ssl.SSLCertVerificationError:
        pass
    done = try_cli(world, c, "config", "list", "tls/dev")
    check(done.returncode == 1, f"the system's authorities: {done}")
    contains(done.stderr, "certificate", "--ca-file")
    done = try_cli(world, c, "config", "list", "tls/dev", "--ca-file", world.ours.cert)
    equal(done.returncode, 0, f"--ca-file: {done.stderr}")
    done = try_cli(world, c, "config", "list", "tls/dev", env={"LOCKSTEP_CA_FILE": world.ours.cert})
    equal(done.returncode, 0, f"LOCKSTEP_CA_FILE: {done.stderr}")
    done = try_cli(world, c, "config", "list", "tls/dev", "--ca-file", f"{world.folder}/nothing.pem")
    check(done.returncode != 0, "a file of authorities that is not there")
    contains(done.stderr, "nothing.pem")


def reload(world, *coordinators, word="certificates read again"):
    for c in coordinators:
        before = c.process.log_text().count(word)
        c.process.send(signal.SIGHUP)
        wait_until(lambda c=c, before=before: c.process.log_text().count(word) > before, f"{word}: {c.process.log_text()[-500:]}")


def test_reload_under_load(world):
    """a new certificate on SIGHUP: new connections get it, open ones go on without one failure"""
    c = world.coordinators[0]
    stop, failed, counts = threading.Event(), [], [0] * 8

    def read(i):
        connection = connect(world, c)
        while not stop.is_set():
            try:
                status, _ = get(connection, "/api/v1/config/tls/dev/absent", world.token)
                counts[i] += 1
                if status != 404:
                    failed.append(status)
            except (OSError, http.client.HTTPException) as problem:
                failed.append(repr(problem))
                return

    threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    wait_until(lambda: min(counts) > 20, "everybody reads")
    for name, number in (("second", 2), ("server", 1), ("second", 2)):
        use(world, name)
        reload(world, c)
        equal(serial(connect(world, c)), number, "serial number seen by a new connection")
        before = list(counts)
        wait_until(lambda before=before: all(n > b + 20 for n, b in zip(counts, before)), "everybody reads on")
    stop.set()
    for t in threads:
        t.join()
    equal(failed, [], "failures")


def test_bad_files(world):
    """what cannot be used is said, and the certificate that is there stays"""
    c = world.coordinators[0]
    use(world, "server")
    reload(world, c)
    write(world.cert, "this is no certificate\n")
    reload(world, c, word="the old ones stay")
    use(world, "server")
    subprocess.run(["install", "-m", "600", f"{world.folder}/second.key", world.key], check=True)
    reload(world, c, word="is not the key of the certificate")
    use(world, "server")
    os.chmod(world.key, 0o644)
    reload(world, c, word="everybody may read")
    os.chmod(world.key, 0o600)
    equal(serial(connect(world, c)), 1, "serial number")
    for settings, words in (({"tls_key": "x"}, "tls_cert is missing"), ({"tls_client_ca": "x"}, "needs tls_cert"), ({"tls_cert": "/nothing", "tls_key": "/nothing"}, "/nothing"),
                            ({"listen": "127.0.0.1:65536"}, "a port is a number up to 65535")):
        text = "".join(f"{k} = {v}\n" for k, v in settings.items())
        text = text if "listen" in settings else f"listen = 127.0.0.1:0\n{text}"
        write(f"{world.folder}/bad.ini", f"[database]\nurl = {world.postgres.url}\n[http]\n{text}[router]\nbind = tcp://127.0.0.1:*\nkey_file = {world.folder}/router.key\n", 0o600)
        done = subprocess.run([f"{BUILD}/lockstepd", "--config", f"{world.folder}/bad.ini"], capture_output=True, text=True, timeout=30, check=False)
        check(done.returncode != 0, f"started with {settings}")
        contains(done.stderr + done.stdout, words)


def test_expired(world):
    """an expired certificate is refused by clients, warned of in the log, counted in the metric"""
    c = world.coordinators[0]
    world.ours.issue("old", days=0)
    use(world, "old")
    reload(world, c, word="has expired")
    try:
        connect(world, c)
        raise AssertionError("an expired certificate was taken")
    except ssl.SSLCertVerificationError as problem:
        contains(problem, "expired")
    done = try_cli(world, c, "config", "list", "tls/dev", "--ca-file", world.ours.cert)
    check(done.returncode != 0, "the command line takes an expired certificate")
    contains(done.stderr, "expired")
    use(world, "server")
    reload(world, c)
    connect(world, c).close()


def refused(world, coordinator, **more):
    """A client without a good certificate gets no further than this."""
    with contextlib.closing(connect(world, coordinator, **more)) as c:
        status, body = get(c, "/api/v1/services", world.token)
        contains(body, "client_certificate")
        return status


def test_client_certificates(world):
    """with a client CA only certificates that really come from it, and are valid, get in"""
    c = world.coordinators[1]
    good = world.ours.issue("client", usage="clientAuth", serial="11")
    connection = connect(world, c, client=good)
    for _ in range(3):
        equal(get(connection, "/api/v1/services", world.token)[0], 200, "a good one")
    equal(get(connection, "/api/v1/services")[0], 401, "a certificate is no token")
    both = f"{world.folder}/both.pem"
    write(both, "".join(open(f, encoding="utf-8").read() for f in good), 0o600)
    done = try_cli(world, c, "config", "list", "tls/dev", "--ca-file", world.ours.cert, "--client-cert", both)
    equal(done.returncode, 0, f"--client-cert: {done.stderr}")
    done = try_cli(world, c, "config", "list", "tls/dev", "--ca-file", world.ours.cert)
    contains(done.stderr, "client certificate")
    equal(refused(world, c), 403, "none")
    equal(refused(world, c, client=world.others_authority.issue("stranger", usage="clientAuth")), 403, "another authority's")
    equal(refused(world, c, client=world.ours.issue("late", days=0, usage="clientAuth")), 403, "expired")
    # Clients that choose by the names of authorities would have nothing for an authority that came with a reload.
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{c.http}", "-cert", good[0], "-key", good[1]], input="", capture_output=True, text=True, timeout=20, check=False)
    contains(done.stdout, "No client certificate CA names sent")
    equal(refused(world, c, client=world.ours.issue("wrong-use", usage="serverAuth", serial="12")), 403, "made for servers")
    # A hit is answered the short way, which must not be a way around.
    equal(get(connection, "/api/v1/config/tls/dev/absent", world.token)[0], 404, "kept")
    equal(get(connection, "/api/v1/config/tls/dev/absent", world.token)[0], 404, "kept")
    with contextlib.closing(connect(world, c)) as stranger:
        equal(get(stranger, "/api/v1/config/tls/dev/absent", world.token)[0], 403, "a hit")
    # The authority is replaced: who was good is not any more, on the open connection as well.
    write(f"{world.folder}/kept.pem", open(world.ours.cert, encoding="utf-8").read())
    write(world.ours.cert, open(world.others_authority.cert, encoding="utf-8").read())
    reload(world, c)
    try:
        equal(get(connection, "/api/v1/services", world.token)[0], 403, "the authority is trusted no more")
    finally:
        write(world.ours.cert, open(f"{world.folder}/kept.pem", encoding="utf-8").read())
        reload(world, c)


def revoke(world, *names, days=30):
    """The list of our authority, with these certificates on it, where the coordinator reads it."""
    base = f"{world.folder}/crl"
    write(f"{base}.cnf", f"[ca]\ndefault_ca=a\n[a]\ndatabase={base}.db\ncrlnumber={base}.number\ndefault_md=sha256\n")
    write(f"{base}.db", "")
    write(f"{base}.number", "01\n")
    words = ["ca", "-config", f"{base}.cnf", "-cert", world.ours.cert, "-keyfile", f"{world.folder}/ours.key"]
    for name in names:
        openssl(*words, "-revoke", f"{world.folder}/{name}.pem")
    when = ["-crldays", str(days)] if days > 0 else ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"]
    openssl(*words, "-gencrl", *when, "-out", f"{base}.pem")
    return f"{base}.pem"


def test_revoked(world):
    """a certificate on the authority's revocation list gets in no more, on open connections as well"""
    stolen, good = (world.ours.issue(name, usage="clientAuth", serial=n) for name, n in (("stolen", "21"), ("kept", "22")))
    crl = revoke(world)
    c = world.add_coordinator("revoking")
    with open(c.settings, encoding="utf-8") as f:
        text = f.read()
    write(c.settings, text.replace("[http]\n", f"[http]\ntls_cert = {world.cert}\ntls_key = {world.key}\ntls_client_ca = {world.ours.cert}\ntls_client_crl = {crl}\n"), 0o600)
    c.start(wait=False)
    wait_until(lambda: "message=ready" in c.process.log_text(), lambda: f"it is ready: {c.process.log_text()[-800:]}")
    connections = [connect(world, c, client=client) for client in (stolen, good)]
    for connection in connections:
        equal(get(connection, "/api/v1/services", world.token)[0], 200, "before")
    revoke(world, "stolen")
    reload(world, c)
    equal([get(connection, "/api/v1/services", world.token)[0] for connection in connections], [403, 200], "on open connections")
    equal(refused(world, c, client=stolen), 403, "on a new one")
    equal(get(connect(world, c, client=good), "/api/v1/services", world.token)[0], 200, "the other on a new one")
    revoke(world, days=0)
    reload(world, c, word="the old ones stay")
    write(crl, "no list\n")
    reload(world, c, word="there is no revocation list")
    equal(refused(world, c, client=stolen), 403, "by the list that stayed")
    c.process.stop()


def test_kinds_of_keys(world):
    """RSA and Ed25519 certificates work as well as those on a curve"""
    c = world.coordinators[0]
    for number, (name, words) in enumerate((("rsa", ["rsa:2048"]), ("edwards", ["ed25519"]))):
        base = f"{world.folder}/{name}"
        write(f"{base}.ext", "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        openssl("req", "-newkey", *words, "-nodes", "-subj", f"/CN={name}", "-keyout", f"{base}.key", "-out", f"{base}.csr")
        openssl("x509", "-req", "-in", f"{base}.csr", "-CA", world.ours.cert, "-CAkey", f"{world.folder}/ours.key", "-set_serial", str(40 + number), "-days", "9", "-extfile", f"{base}.ext", "-out", f"{base}.pem")
        os.chmod(f"{base}.key", 0o600)
        use(world, name)
        reload(world, c)
        equal(serial(connect(world, c)), 40 + number, name)
    contains(c.process.log_text(), "expires soon")
    use(world, "server")
    reload(world, c)


def test_plain_only_here(world):
    """plain HTTP on an address that others can reach needs to be asked for"""
    text = f"[database]\nurl = {world.postgres.url}\n[http]\nlisten = 0.0.0.0:0\n{{}}[router]\nbind = tcp://127.0.0.1:*\nkey_file = {world.folder}/router.key\n"
    write(f"{world.folder}/plain.ini", text.format(""), 0o600)
    done = subprocess.run([f"{BUILD}/lockstepd", "--config", f"{world.folder}/plain.ini"], capture_output=True, text=True, timeout=30, check=False)
    check(done.returncode != 0, "it started")
    contains(done.stderr + done.stdout, "clear text", "insecure = true")
    write(f"{world.folder}/plain.ini", text.format("insecure = true\n"), 0o600)
    with subprocess.Popen([f"{BUILD}/lockstepd", "--config", f"{world.folder}/plain.ini"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
        began = time.monotonic()
        lines = iter(p.stdout)
        while "message=ready" not in (line := next(lines, "message=ready")) and time.monotonic() - began < 30:
            pass
        contains(line, "http=0.0.0.0:")
        p.terminate()
