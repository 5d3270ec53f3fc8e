#!/usr/bin/env python3
"""Resolves credentials by Alibaba's unchanged package, in one environment after another.

usage: resolve.py FOLDER

FOLDER/cases.json is a list of cases with `env`, which has HOME, and `mode`, which goes into
FOLDER/mode for the stand-in. For each one line of JSON is printed: `key`, `secret` and `token`, or
`error`.
"""

import json
import os
import sys
from pathlib import Path

# Loaded once; what reads the environment is loaded in each child.
import aiofiles  # noqa: F401
import aiohttp  # noqa: F401
import apscheduler.schedulers.background  # noqa: F401
import requests  # noqa: F401
import Tea.core  # noqa: F401

FOLDER = Path(sys.argv[1])


def resolve():
    from alibabacloud_credentials.provider import DefaultCredentialsProvider

    try:
        found = DefaultCredentialsProvider().get_credentials()
    except Exception as error:  # its classes differ between versions
        return {"error": str(error)}
    return {
        "key": found.get_access_key_id(),
        "secret": found.get_access_key_secret(),
        "token": found.get_security_token() or "",
    }


for case in json.loads((FOLDER / "cases.json").read_text()):
    (FOLDER / "mode").write_text(case["mode"])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for name in [name for name in os.environ if name.startswith("ALIBABA_CLOUD_")]:
            del os.environ[name]
        os.environ.update(case["env"])
        os.write(writer, json.dumps(resolve()).encode())
        # Its scheduler would wait for a minute.
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        print(said.read(), flush=True)
    os.waitpid(child, 0)
