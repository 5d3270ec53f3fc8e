#!/usr/bin/env python3
"""Drives a sandbox with Alibaba's unchanged SDK, and asserts on what the SDK makes of the answers.

usage: drive.py API KEY SECRET

API is the address that `refreshd sandbox` prints, KEY and SECRET the pair it prints. The account
must have its default quotas, no domains named, and the details of prefetches (`--prefetch-detail`), and
the tasks must ripen within seconds (`--time-scale 300`); the origin must have /prefetched.txt and no
/missing.txt.
"""

import sys
import time
from urllib.parse import urlsplit

from alibabacloud_cdn20180510 import models
from alibabacloud_cdn20180510.client import Client
from alibabacloud_tea_openapi.utils import Utils
from alibabacloud_tea_openapi.utils_models import Config

SITE = "https://www.example.com"
checks = 0


def check(seen, wanted, what):
    global checks
    checks += 1
    if seen != wanted:
        sys.exit(f"{what}: saw {seen!r}, wanted {wanted!r}")


def client(api, key, secret):
    return Client(
        Config(
            access_key_id=key,
            access_key_secret=secret,
            protocol="http",
            endpoint=urlsplit(api).netloc,
            connect_timeout=5_000,
            read_timeout=10_000,
        )
    )


def refused(code, status, call, request, what):
    """The SDK raises, and exposes Code and status."""
    try:
        call(request)
    except Exception as error:  # its classes differ between versions
        check(getattr(error, "code", repr(error)), code, f"{what}: code")
        seen = getattr(error, "status_code", None) or getattr(error, "statusCode", None)
        check(seen, status, f"{what}: status")
    else:
        sys.exit(f"{what}: was accepted, wanted {code}")


def refresh(cdn, path, kind=None, force=None):
    request = models.RefreshObjectCachesRequest(object_path=path, object_type=kind, force=force)
    body = cdn.refresh_object_caches(request).body
    check(len(body.request_id), 36, f"{path}: request id")
    ids = body.refresh_task_id.split(",")
    for task in ids:
        check(len(task) == 11 and task.isdigit(), True, f"{path}: eleven digits in {task}")
    return ids


def rows_of(cdn, ids):
    request = models.DescribeRefreshTaskByIdRequest(task_id=",".join(ids))
    body = cdn.describe_refresh_task_by_id(request).body
    check(body.total_count, len(body.tasks), "rows and their count")
    return body.tasks


def wait(cdn, ids, seconds=30):
    """Polls until every row has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows = rows_of(cdn, ids)
        for row in rows:
            check(row.status in ("Pending", "Refreshing", "Complete", "Failed"), True, row.status)
            check(row.process.endswith("%"), True, row.process)
        if rows and all(row.status in ("Complete", "Failed") for row in rows):
            return rows
        time.sleep(0.1)
    sys.exit(f"{ids} have not ended within {seconds} s")


def quota(cdn):
    return cdn.describe_refresh_quota(models.DescribeRefreshQuotaRequest()).body


def by_tag(cdn):
    """Refreshes by cache tag: one id for all tags, and nothing of the quota that is told."""
    ask = models.RefreshObjectCacheByCacheTagRequest
    host = urlsplit(SITE).netloc
    before = quota(cdn)
    for force in (None, True):
        request = ask(domain_name=host, cache_tag="news,front-page", force=force)
        body = cdn.refresh_object_cache_by_cache_tag(request).body
        check(len(body.request_id), 36, "by tag: request id")
        check(len(body.refresh_task_id), 11, "by tag: one id of eleven digits")
        rows = wait(cdn, [body.refresh_task_id])
        check([row.status for row in rows], ["Complete"] * 2, "by tag: one row for each tag")
    after = quota(cdn)
    check(
        (after.url_remain, after.dir_remain), (before.url_remain, before.dir_remain), "by tag: quota"
    )
    for code, what, request in [
        ("MissingParameter", "no domain", ask(cache_tag="news")),
        ("MissingParameter", "no tag", ask(domain_name=host)),
        ("InvalidObjectPath.Malformed", "an empty tag", ask(domain_name=host, cache_tag="a,,b")),
        (
            "InvalidExtensiveDomain.ValueNotSupported",
            "a wildcard",
            ask(domain_name="*.example.com", cache_tag="a"),
        ),
        (
            "SingleRequest.OverLimit",
            "21 tags",
            ask(domain_name=host, cache_tag=",".join(f"t{n}" for n in range(21))),
        ),
    ]:
        refused(code, 400, cdn.refresh_object_cache_by_cache_tag, request, f"by tag: {what}")
    # Four of the day's hundred are spent.
    for _ in range(4):
        twenty = ",".join(f"t{n}" for n in range(20))
        cdn.refresh_object_cache_by_cache_tag(ask(domain_name=host, cache_tag=twenty))
    rest = ask(domain_name=host, cache_tag=",".join(f"t{n}" for n in range(17)))
    refuse = cdn.refresh_object_cache_by_cache_tag
    refused("QuotaExceeded.Refresh", 400, refuse, rest, "by tag: 17 of 16 left")


def main(api, key, secret):
    cdn = client(api, key, secret)

    before = quota(cdn)
    check(before.url_quota, "10000", "url quota")
    check(before.dir_quota, "100", "directory quota")
    check(before.regex_quota, "20", "regex quota")
    check(before.ignore_params_quota, "100", "ignore-params quota")
    check(before.preload_quota, "1000", "prefetch quota")

    paths = [f"{SITE}/a b {n}.html".replace(" ", "%20") for n in range(3)]
    files = refresh(cdn, "\n".join(paths))
    check(len(files) in (1, 2), True, "urls of one domain and second share an id")
    two_domains = refresh(cdn, "http://a.example/1\r\nhttp://b.example/1", "File")
    check(len(two_domains), 2, "one id for each domain")
    soft = refresh(cdn, f"{SITE}/soft/", "Directory")
    forced = refresh(cdn, f"{SITE}/x/\n{SITE}/y/", "Directory", True)
    check(len(forced), 2, "one id for each directory")
    regex = refresh(cdn, f"{SITE}/[0-9][a-z].*.jpg", "Regex")
    variants = refresh(cdn, f"{SITE}/page", "IgnoreParams")
    variants += refresh(cdn, f"{SITE}/page", "ExQuery")

    def push(path, **more):
        request = models.PushObjectCacheRequest(object_path=path, **more)
        return cdn.push_object_cache(request).body.push_task_id.split(",")

    pushed = push(
        f"{SITE}/prefetched.txt",
        area="domestic",
        l_2preload=True,
        query_hashkey=True,
        consistency_hash=True,
        with_header='{"Accept-Encoding":["gzip","br"],"X-None":[" "]}',
    )
    failing = push(f"{SITE}/missing.txt", area="overseas", l_2preload=False)
    for what, option in [
        ("area", {"area": "china"}),
        ("no JSON", {"with_header": "Accept-Encoding: gzip"}),
        ("no list", {"with_header": '{"Accept-Encoding":"gzip"}'}),
        ("an empty list", {"with_header": '{"Accept-Encoding":[]}'}),
    ]:
        request = models.PushObjectCacheRequest(object_path=f"{SITE}/x", **option)
        refused("InvalidParameter.Format", 400, cdn.push_object_cache, request, what)

    after = quota(cdn)
    for field, spent in [
        ("url_remain", 5),
        ("dir_remain", 3),
        ("regex_remain", 1),
        ("ignore_params_remain", 2),
        ("preload_remain", 2),
    ]:
        seen = int(getattr(before, field)) - int(getattr(after, field))
        check(seen, spent, f"{field} spent")

    rows = wait(cdn, files)
    check(sorted(row.object_path for row in rows), sorted(paths), "one row for each url")
    for row in rows:
        check((row.status, row.process, row.object_type), ("Complete", "100%", "file"), "a file")
    for ids, kind in [(soft + forced, "directory"), (regex, "regex"), (variants, "ignoreparams")]:
        for row in wait(cdn, ids):
            check((row.status, row.object_type), ("Complete", kind), kind)
    # Both prefetches may share one id: by row, then.
    ends = {row.object_path: row for row in wait(cdn, sorted({*pushed, *failing}))}
    good, bad = ends[f"{SITE}/prefetched.txt"], ends[f"{SITE}/missing.txt"]
    check((good.status, good.object_type), ("Complete", "preload"), "a prefetch")
    check((bad.status, bad.description), ("Failed", "Origin Return StatusCode 404"), "a failure")

    def listed(**filters):
        return cdn.describe_refresh_tasks(models.DescribeRefreshTasksRequest(**filters)).body

    page = listed(object_type="file", domain_name="www.example.com", page_size=2)
    check(page.total_count, 3, "three files of the domain")
    check((page.page_number, page.page_size), (1, 2), "paging")
    check(len(page.tasks.cdntask), 2, "rows of the first page")
    page = listed(object_type="file", domain_name="www.example.com", page_size=2, page_number=2)
    check(len(page.tasks.cdntask), 1, "rows of the second page")
    page = listed(task_id=soft[0])
    check([row.object_path for row in page.tasks.cdntask], [f"{SITE}/soft/"], "by id")
    page = listed(object_path=paths[1])
    check([row.status for row in page.tasks.cdntask], ["Complete"], "by path")

    page = listed(object_type="preload", status="Failed")
    check([row.object_path for row in page.tasks.cdntask], [f"{SITE}/missing.txt"], "by status")
    hour = lambda hours: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600 * hours))
    page = listed(object_type="directory", start_time=hour(-1), end_time=hour(1))
    check(page.total_count, 3, "directories of an hour")
    check(listed(start_time=hour(-2), end_time=hour(-1)).total_count, 0, "an hour before")
    for code, what, filters in [
        ("MissingParameter", "one end", {"start_time": hour(-1)}),
        ("InvalidStartTime.Malformed", "no time", {"start_time": "now", "end_time": hour(0)}),
        ("InvalidEndTime.Malformed", "no time", {"start_time": hour(-1), "end_time": "now"}),
        ("InvalidEndTime.Mismatch", "turned", {"start_time": hour(0), "end_time": hour(-1)}),
        ("InvalidStartTime.ValueNotSupported", "old", {"start_time": hour(-73), "end_time": hour(0)}),
        ("InvalidStatus.ValueNotSupported", "status", {"object_type": "file", "status": "Done"}),
        ("InvalidTaskId.Malformed", "an id", {"task_id": "seven"}),
        ("InvalidParameter.Format", "a page of 101", {"page_size": 101}),
    ]:
        query = models.DescribeRefreshTasksRequest(**filters)
        refused(code, 400, cdn.describe_refresh_tasks, query, what)

    detail = models.DescribePreloadDetailByIdRequest
    for task, url, success, description in [
        (good.task_id, "/prefetched.txt", "100%", "Successfully preloaded"),
        (bad.task_id, "/missing.txt", "0%", "Origin Return StatusCode 404"),
    ]:
        body = cdn.describe_preload_detail_by_id(detail(task_id=task)).body
        check((body.total_count, len(body.url_details)), (1, 1), "one domain")
        told = body.url_details[0]
        check((told.task_id, told.domain, told.ret_code), (task, "www.example.com", "0"), "a detail")
        urls = {one.url: (one.success, one.description) for one in told.urls}
        check(urls[url], (success, description), url)
    refused(
        "InvalidTaskId.Malformed",
        400,
        cdn.describe_preload_detail_by_id,
        detail(task_id=f"{good.task_id},{bad.task_id}"),
        "details of two ids",
    )

    domains = models.DescribeUserDomainsRequest

    def names(**filters):
        body = cdn.describe_user_domains(domains(**filters)).body
        return body.total_count, [one.domain_name for one in body.domains.page_data]

    hosts = ["a.example", "b.example", "www.example.com"]
    check(names(), (3, hosts), "the domains that were asked for")
    check(names(page_size=2, page_number=2), (3, hosts[2:]), "their second page")
    check(names(domain_name="a.example,b.example"), (2, hosts[:2]), "two by name")
    check(names(domain_name=".example", domain_search_type="suf_match"), (2, hosts[:2]), "by end")
    check(names(domain_status="offline"), (0, []), "none is switched off")
    one = cdn.describe_user_domains(domains(domain_name="a.example")).body.domains.page_data[0]
    check((one.domain_status, one.coverage, one.cdn_type), ("online", "global", "web"), "a domain")
    query = domains(page_size=501)
    refused("InvalidParameter.Format", 400, cdn.describe_user_domains, query, "a page of 501")
    query = domains(domain_name=",".join(f"d{n}.example" for n in range(51)))
    refused("InvalidParameter.Format", 400, cdn.describe_user_domains, query, "51 names")

    query = models.DescribeRefreshTasksRequest(domain_name="www.example.com")
    refused("MissingParameter.ObjectType", 400, cdn.describe_refresh_tasks, query, "no type")
    query = models.DescribeRefreshTaskByIdRequest(task_id=",".join(["1"] * 11))
    refused("InvalidTaskId.Malformed", 400, cdn.describe_refresh_task_by_id, query, "eleven ids")

    ask = models.RefreshObjectCachesRequest
    for code, what, request in [
        ("InvalidObjectPath.Malformed", "not encoded", ask(object_path=f"{SITE}/a b")),
        (
            "InvalidObjectPath.Malformed",
            "one bad line",
            ask(object_path=f"{SITE}/good/\n{SITE}/bad", object_type="Directory"),
        ),
        ("InvalidObjectType.Malformed", "type", ask(object_path=SITE, object_type="Tree")),
        ("InvalidExtensiveDomain.ValueNotSupported", "wildcard", ask(object_path="*.a.example/")),
        (
            "SingleRequest.OverLimit",
            "two expressions",
            ask(object_path=f"{SITE}/.*\n{SITE}/[a-z]", object_type="Regex"),
        ),
        (
            "InvalidObjectPath.Size.Malformed",
            "1,001 urls",
            ask(object_path="\n".join(f"{SITE}/{n}" for n in range(1_001))),
        ),
        (
            "SingleRequest.OverLimit",
            "11 domains",
            ask(object_path="\n".join(f"http://d{n}.example/" for n in range(11))),
        ),
    ]:
        refused(code, 400, cdn.refresh_object_caches, request, what)
    # 98 of the 100 directories would be left if a refused request had cost anything.
    rest = "\n".join(f"{SITE}/d{n}/" for n in range(98))
    request = ask(object_path=rest, object_type="Directory")
    refused("QuotaExceeded.Refresh", 400, cdn.refresh_object_caches, request, "98 of 97 left")
    check(quota(cdn).dir_remain, str(int(after.dir_remain)), "a refused request costs nothing")

    def asked_as(other):
        return lambda request: other.refresh_object_caches(request)

    plain = ask(object_path=f"{SITE}/")
    wrong = client(api, key, secret + "x")
    refused("SignatureDoesNotMatch", 400, asked_as(wrong), plain, "wrong secret")
    stranger = client(api, key + "x", secret)
    refused("InvalidAccessKeyId.NotFound", 404, asked_as(stranger), plain, "unknown key")

    draw = Utils.get_nonce
    Utils.get_nonce = staticmethod(lambda: f"0123456789abcdef-{int(time.time())}")
    nonce = Utils.get_nonce()
    Utils.get_nonce = staticmethod(lambda: nonce)
    refresh(cdn, f"{SITE}/once")
    request = ask(object_path=f"{SITE}/once")
    refused("SignatureNonceUsed", 400, cdn.refresh_object_caches, request, "a replay")
    Utils.get_nonce = staticmethod(draw)

    by_tag(cdn)

    print(f"{checks} checks hold")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
