"""vault.py - a small HTTP server that speaks the part of Vault's transit API which lockstepd uses.

    python3 tests/system/vault.py --token TOKEN [--seed TEXT] [--cert FILE --key FILE]

It prints its port and serves until it is ended. The name of a transit key picks how it behaves:
`lockstep` and whatever is not listed in MOODS is a healthy key, all others are bad days. The same
seed means the same keys after a restart. GET /test/counts says how many requests each key had.

What it wraps is XORed and authenticated with HMAC-SHA-256, since Python's library has no AES: good
enough to notice every changed bit, which is all that a client can see of it.
"""
import argparse
import base64
import collections
import ctypes
import hashlib
import hmac
import http.server
import json
import os
import re
import signal
import socket
import ssl
import threading
import time


class Refusal(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status, self.text = status, text


def mac(key, *parts):
    return hmac.new(key, b"|".join(parts), hashlib.sha256).digest()


class Keys:
    """The transit keys: each has versions 1 … newest, all derived from the seed."""

    def __init__(self, seed):
        self.seed, self.newest = seed.encode(), collections.Counter()

    def version(self, name):
        return self.newest[name] + 1

    def secret(self, name, version):
        return mac(self.seed, name.encode(), str(version).encode())

    def wrap(self, name, data_key):
        version, nonce = self.version(name), os.urandom(16)
        secret = self.secret(name, version)
        body = nonce + bytes(a ^ b for a, b in zip(data_key, mac(secret, b"stream", nonce)))
        return f"vault:v{version}:{base64.b64encode(body + mac(secret, body)).decode()}"

    def unwrap(self, name, text):
        parts = re.fullmatch(r"vault:v([0-9]+):([A-Za-z0-9+/=]+)", text)
        if not parts or int(parts[1]) not in range(1, self.version(name) + 1):
            raise Refusal(400, "invalid ciphertext: no prefix or version")
        raw, secret = base64.b64decode(parts[2]), self.secret(name, int(parts[1]))
        body, tag = raw[:-32], raw[-32:]
        if len(body) != 48 or not hmac.compare_digest(tag, mac(secret, body)):
            raise Refusal(400, "cipher: message authentication failed")
        return bytes(a ^ b for a, b in zip(body[16:], mac(secret, b"stream", body[:16])))


def encode(data):
    return base64.b64encode(data).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body, content_type="application/json", length=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.send(200, dict(self.server.counts))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        route = re.fullmatch(r"/v1/transit/(datakey/plaintext|decrypt|rewrap|keys)/([\w.-]+)(/rotate)?", self.path)
        try:
            if not route or (route[1] == "keys") != bool(route[3]):
                raise Refusal(404, f"no handler for route {self.path}")
            with self.server.lock:
                self.server.counts[route[2]] += 1
                count = self.server.counts[route[2]]
            if self.headers.get("X-Vault-Token") != self.server.token:
                raise Refusal(403, "permission denied")
            MOODS.get(route[2], healthy)(self, route[1], route[2], json.loads(body or "{}"), count)
        except Refusal as refusal:
            self.send(refusal.status, {"errors": [refusal.text]})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def answer(handler, action, name, request):
    """What a healthy Vault answers; also the names of the fields are Vault's."""
    keys = handler.server.keys
    if action == "keys":
        keys.newest[name] += 1
        return None
    if action == "datakey/plaintext":
        if request.get("bits", 256) != 256:
            raise Refusal(400, "invalid bit length")
        data_key = os.urandom(32)
        return {"plaintext": encode(data_key), "ciphertext": keys.wrap(name, data_key), "key_version": keys.version(name)}
    data_key = keys.unwrap(name, request["ciphertext"])
    if action == "decrypt":
        return {"plaintext": encode(data_key)}
    return {"ciphertext": keys.wrap(name, data_key), "key_version": keys.version(name)}


def healthy(handler, action, name, request, _):
    data = answer(handler, action, name, request)
    if data is None:
        handler.send_response(204)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send(200, {"request_id": "1", "lease_id": "", "renewable": False, "lease_duration": 0, "data": data,
                       "wrap_info": None, "warnings": None, "auth": None})


def refuse(status, text):
    def mood(*_):
        raise Refusal(status, text)
    return mood


def say(status, body, content_type="application/json"):
    return lambda handler, *_: handler.send(status, body, content_type)


def cut(handler, *_):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler, *_):
    handler.send(200, b'{"data":{"plaintext":"', length=500)
    cut(handler)


def slow(handler, *_):
    """Says nothing until the other side gives up."""
    handler.connection.settimeout(60)
    handler.connection.recv(1)
    handler.close_connection = True


def trickle(handler, *_):
    """Always a little more, and never the end: silence alone is not what a client may wait for."""
    handler.send(200, b"{", length=100000)
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def flaky(handler, action, name, request, count):
    if count % 3:
        raise Refusal(503, "Vault is sealed")
    healthy(handler, action, name, request, count)


def redirect(handler, *_):
    handler.send_response(307)
    handler.send_header("Location", f"http://{handler.headers['Host']}/v1/transit/datakey/plaintext/lockstep")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def twice(handler, *_):
    key = encode(os.urandom(32))
    handler.send(200, f'{{"data":{{"plaintext":"{key}","plaintext":"{key}","ciphertext":"vault:v1:AAAA"}}}}'.encode())


def liar(handler, action, name, request, count):
    if action == "decrypt":
        handler.send(200, {"data": {"plaintext": encode(os.urandom(32))}})
    else:
        healthy(handler, action, name, request, count)


def echo(handler, *_):
    raise Refusal(400, f"unknown token {handler.headers['X-Vault-Token']}")


def old(handler, action, name, request, count):
    """Wraps, and is not allowed to unwrap."""
    if action == "decrypt":
        raise Refusal(403, "permission denied")
    healthy(handler, action, name, request, count)


KEY = encode(b"k" * 32)
MOODS = {
    "missing": refuse(400, "encryption key not found"),
    "sealed": refuse(503, "Vault is sealed"),
    "broken": refuse(500, "internal error"),
    "busy": refuse(429, "request rate limit exceeded"),
    "chatty": refuse(500, "x" * 5000),
    "cut": cut, "half": half, "slow": slow, "trickle": trickle, "flaky": flaky, "redirect": redirect,
    "huge": say(200, b'{"data":{"plaintext":"' + b"A" * (1 << 20) + b'"}}'),
    "page": say(200, b"<html>Welcome</html>", "text/html"),
    "nothing": say(200, b""),
    "empty": say(200, {}),
    "list": say(200, {"data": [KEY]}),
    "no-key": say(200, {"data": {"ciphertext": "vault:v1:AAAA"}}),
    "number": say(200, {"data": {"plaintext": 7, "ciphertext": "vault:v1:AAAA"}}),
    "short": say(200, {"data": {"plaintext": encode(b"k" * 16), "ciphertext": "vault:v1:AAAA"}}),
    "long": say(200, {"data": {"plaintext": encode(b"k" * 33), "ciphertext": "vault:v1:AAAA"}}),
    "outside": say(200, {"plaintext": KEY, "data": {"ciphertext": "vault:v1:AAAA"}}),
    "open-end": say(200, b'{"data":{"plaintext":"' + KEY.encode()),
    "bare": say(200, {"data": {"plaintext": KEY, "ciphertext": "AAAA"}}),
    "no-version": say(200, {"data": {"plaintext": KEY, "ciphertext": "vault:v:AAAA"}}),
    "quoted": say(200, {"data": {"plaintext": KEY, "ciphertext": 'vault:v1:AA"A'}}),
    "giant": say(200, {"data": {"plaintext": KEY, "ciphertext": "vault:v1:" + "A" * 600}}),
    "unwrapped": say(200, {"data": {"plaintext": KEY}}),
    "twice": twice, "liar": liar, "echo": echo, "old": old,
}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, token, seed):
        super().__init__(("127.0.0.1", 0), Handler)
        self.token, self.keys = token, Keys(seed)
        self.counts, self.lock = collections.Counter(), threading.Lock()

    def handle_error(self, *_):
        """Clients that hang up are a part of the tests."""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--token", required=True)
    options.add_argument("--seed", default="seed")
    options.add_argument("--cert")
    options.add_argument("--key")
    options = options.parse_args()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with whoever started it
    server = Server(options.token, options.seed)
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
