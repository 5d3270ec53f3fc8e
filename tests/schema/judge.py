"""Says of TOML texts whether a JSON schema takes them: {"schema", "texts"} in, a list of the first error or
null out."""

import json
import sys
import tomllib

from jsonschema import Draft202012Validator

asked = json.load(sys.stdin)
Draft202012Validator.check_schema(asked["schema"])
validator = Draft202012Validator(asked["schema"])


def judge(text):
    error = next(validator.iter_errors(tomllib.loads(text)), None)
    return error and error.message


json.dump([judge(text) for text in asked["texts"]], sys.stdout)
