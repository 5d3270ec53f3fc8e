#!/usr/bin/env python3
"""Has Alibaba's unchanged SDK sign and send random requests, and writes down what it really sent.

usage: sign.py SEED COUNT < KEYS

KEYS is a JSON list of {"id", "secret", "token" or null}. Each line of output is one request as a
server of this script's own received it: {"method", "target", "headers", "body", "secret", "token"}.
"""

import json
import random
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from alibabacloud_cdn20180510 import models
from alibabacloud_cdn20180510.client import Client
from alibabacloud_tea_openapi.utils_models import Config, OpenApiRequest, Params
from darabonba.runtime import RuntimeOptions

TEXT = "abcXYZ019-_.~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}\n\r\t\x7fé你好\u0301\u202e\U0001f600"
# The specification has names encoded; the SDK signs them as they are. No parameter's name has more.
NAME = "abcXYZ019-_.~"
PLACES = ["https://www.example.com/", "http://a.example/d/", "x", ""]
OPERATIONS = ["RefreshObjectCaches", "PushObjectCache", "DescribeRefreshTasks", "DescribeUserDomains"]


class Listener(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(
            {
                "method": self.command,
                "target": self.path,
                "headers": [[name.lower(), value] for name, value in self.headers.items()],
                "body": body.decode("ascii"),
            }
        )
        reply = b'{"RequestId": "R"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def words(rng, most=40):
    if rng.random() < 0.15:
        return ""
    return "".join(rng.choice(TEXT) for _ in range(rng.randrange(most)))


def name(rng):
    return "".join(rng.choice(NAME) for _ in range(rng.randrange(1, 9)))


def line(rng):
    return rng.choice(PLACES) + words(rng)


def lines(rng):
    return rng.choice(["\n", "\r\n"]).join(line(rng) for _ in range(rng.randrange(1, 8)))


def maybe(rng, value):
    return value if rng.random() < 0.5 else None


def typed(rng, cdn):
    """One of the operations, with any of its parameters."""
    flag = lambda: maybe(rng, rng.random() < 0.5)
    text = lambda: maybe(rng, words(rng))
    calls = [
        lambda: cdn.refresh_object_caches(
            models.RefreshObjectCachesRequest(object_path=lines(rng), object_type=text(), force=flag())
        ),
        lambda: cdn.push_object_cache(
            models.PushObjectCacheRequest(
                object_path=lines(rng),
                area=text(),
                l_2preload=flag(),
                query_hashkey=flag(),
                consistency_hash=flag(),
                with_header=maybe(rng, json.dumps({words(rng): [words(rng), " "]}, ensure_ascii=False)),
            )
        ),
        lambda: cdn.refresh_object_cache_by_cache_tag(
            models.RefreshObjectCacheByCacheTagRequest(
                cache_tag=words(rng), domain_name=words(rng), force=flag()
            )
        ),
        lambda: cdn.describe_refresh_tasks(
            models.DescribeRefreshTasksRequest(
                domain_name=text(),
                object_path=text(),
                object_type=text(),
                status=text(),
                task_id=text(),
                start_time=text(),
                end_time=text(),
                page_number=maybe(rng, rng.randrange(1_000)),
                page_size=maybe(rng, rng.randrange(1_000)),
            )
        ),
        lambda: cdn.describe_refresh_task_by_id(models.DescribeRefreshTaskByIdRequest(task_id=words(rng))),
        lambda: cdn.describe_refresh_quota(models.DescribeRefreshQuotaRequest()),
        lambda: cdn.describe_preload_detail_by_id(
            models.DescribePreloadDetailByIdRequest(task_id=words(rng))
        ),
        lambda: cdn.describe_user_domains(
            models.DescribeUserDomainsRequest(domain_name=text(), domain_status=text(), page_size=7)
        ),
    ]
    rng.choice(calls)()


def raw(rng, cdn):
    """Whatever names and values, in either place, by either method."""
    query = {name(rng): words(rng) for _ in range(rng.randrange(6))}
    form = {name(rng): words(rng) for _ in range(rng.randrange(6))}
    method = rng.choice(["POST", "POST", "GET"])
    params = Params(
        action=rng.choice(OPERATIONS),
        version="2018-05-10",
        protocol="HTTP",
        pathname="/",
        method=method,
        auth_type="AK",
        style="RPC",
        req_body_type="formData",
        body_type="json",
    )
    request = OpenApiRequest(query=query, body=form if form and method == "POST" else None)
    cdn.call_api(params, request, RuntimeOptions())


def main(seed, count):
    keys = json.load(sys.stdin)
    rng = random.Random(seed)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clients = [
        Client(
            Config(
                access_key_id=key["id"],
                access_key_secret=key["secret"],
                security_token=key["token"],
                protocol="http",
                endpoint=f"127.0.0.1:{server.server_port}",
            )
        )
        for key in keys
    ]
    for number in range(count):
        at = rng.randrange(len(keys))
        rng.choice([typed, raw])(rng, clients[at])
        if len(server.seen) != number + 1:
            sys.exit(f"request {number}: the SDK sent {len(server.seen) - number} of one")
        print(json.dumps({**server.seen[-1], "secret": keys[at]["secret"], "token": keys[at]["token"]}))
    server.shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(int(sys.argv[1]), int(sys.argv[2]))
