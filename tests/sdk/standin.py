#!/usr/bin/env python3
"""Stands in for the metadata service of an ECS instance, for STS and for a credentials URI.

usage: standin.py FOLDER

It binds the real addresses, so it runs in a network namespace of its own: 100.100.100.200:80,
127.0.0.1:443 (TLS, with FOLDER/leaf.pem and leaf.key) and 127.0.0.1:8080. FOLDER/mode says how the
metadata service behaves: `v2`, `v1` (it knows no tokens), `tokens-broken`, or `off`. A key of STS is
made from what it was asked with, so that equal keys mean equal questions. Once all is bound it prints
a line. A secret is `secret-of-` and the key id; signatures of version 3 are checked with it.
"""

import hashlib
import hmac
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

FOLDER = Path(sys.argv[1])
EXPIRATION = "2099-01-01T00:00:00Z"
ROLES = "/latest/meta-data/ram/security-credentials/"


def key(name):
    return {
        "AccessKeyId": f"STS.{name}",
        "AccessKeySecret": f"secret-of-STS.{name}",
        "SecurityToken": f"token-of-{name}",
        "Expiration": EXPIRATION,
    }


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def reply(self, status, body):
        body = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


class Metadata(Handler):
    def do_PUT(self):
        mode = (FOLDER / "mode").read_text()
        if mode == "v2" and self.path == "/latest/api/token":
            lasts = self.headers["x-aliyun-ecs-metadata-token-ttl-seconds"]
            return self.reply(200, "tok" if lasts == "21600" else "unasked")
        self.reply(404 if mode == "v1" else 500, "")

    def do_GET(self):
        mode = (FOLDER / "mode").read_text()
        has_token = self.headers["x-aliyun-ecs-metadata-token"] == "tok"
        if mode == "off" or (mode == "v2" and not has_token):
            return self.reply(403, "")
        if self.path == ROLES:
            return self.reply(200, "own-role")
        self.reply(200, {"Code": "Success", **key("metadata-" + self.path[len(ROLES):])})


class Uri(Handler):
    def do_GET(self):
        if self.path == "/bad":
            return self.reply(200, {"Code": "Failed", **key("bad")})
        self.reply(200, {"Code": "Success", **key("uri" + self.path.replace("/", "-"))})


class Sts(Handler):
    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["content-length"])))

    def answer(self, body):
        asked = dict(parse_qsl(urlsplit(self.path).query) + parse_qsl(body.decode()))
        action = self.headers["x-acs-action"] or asked.get("Action")
        if self.headers["authorization"]:
            base = self.signed(body)
            token = self.headers["x-acs-security-token"]
        else:
            base, token = asked.get("AccessKeyId"), asked.get("SecurityToken")
        if action not in ("AssumeRole", "AssumeRoleWithOIDC") or base == "":
            return self.reply(400, {"Code": "SignatureDoesNotMatch", "Message": "no"})
        names = ["RoleArn", "DurationSeconds", "Policy", "ExternalId", "OIDCProviderArn", "OIDCToken"]
        facts = [action, self.headers["host"], base, token] + [asked.get(name) for name in names]
        # Without a name each client has one of its own.
        session = asked["RoleSessionName"]
        facts.append(session if session.startswith("named-") else None)
        name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
        self.reply(200, {"Credentials": key(name), "RequestId": "R"})

    def signed(self, body):
        """Returns the key id, or nothing where the signature is wrong."""
        fields = self.headers["authorization"].split(" ", 1)[1].split(",")
        base, names, signature = (field.split("=", 1)[1] for field in fields)
        lines = "".join(f"{name}:{self.headers[name].strip()}\n" for name in names.split(";"))
        payload = hashlib.sha256(body).hexdigest()
        request = f"{self.command}\n/\n\n{lines}\n{names}\n{payload}"
        text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(request.encode()).hexdigest()
        mac = hmac.new(f"secret-of-{base}".encode(), text.encode(), hashlib.sha256).hexdigest()
        return base if mac == signature else ""


def serve(address, handler, tls=None):
    server = ThreadingHTTPServer(address, handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(FOLDER / "leaf.pem", FOLDER / "leaf.key")
serve(("100.100.100.200", 80), Metadata)
serve(("127.0.0.1", 443), Sts, context)
serve(("127.0.0.1", 8080), Uri)
print("ready", flush=True)
