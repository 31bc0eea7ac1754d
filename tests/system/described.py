"""described.py - the API's own description as a judge: operations, strict schemas, examples and how to break them."""
import copy
import json
import re
import urllib.parse

import jsonschema
from kit import check, contains

# The code that a status has when nothing more special is to be said; the codes that belong to no operation.
KINDS = {400: ["malformed"], 401: ["unauthorized"], 403: ["forbidden", "client_certificate"], 404: ["not_found"], 409: ["conflict"], 410: ["gone"],
         412: ["precondition_failed"], 413: ["too_large"], 415: ["unsupported_media_type"], 422: ["invalid"], 429: ["too_many_requests"],
         500: ["internal", "corrupt", "system"], 503: ["unavailable", "not_leader"]}


class Operation:
    """One method of one path."""

    def __init__(self, document, method, path, body):
        self.document, self.method, self.path, self.body = document, method.upper(), path, body
        self.id = body["operationId"]
        self.parameters = [document.follow(p) for p in body.get("parameters", [])]
        media = body.get("requestBody", {}).get("content", {}).get("application/json", {})
        self.takes_body, self.needs_body = "requestBody" in body, body.get("requestBody", {}).get("required", False)
        self.request, self.example = media.get("schema"), media.get("example")
        self.right = (body["security"][0]["token"] or [""])[0] if body["security"] else None

    def __repr__(self):
        return f"{self.method} {self.path}"

    def names(self, place):
        return [p["name"] for p in self.parameters if p["in"] == place]

    def target(self, path=None, query=None):
        """The path with the examples of its parameters, or with these."""
        given = {p["name"]: p.get("example") for p in self.parameters if p["in"] == "path"} | (path or {})
        out = re.sub(r"\{(\w+)\}", lambda m: urllib.parse.quote(str(given[m[1]]), safe=""), self.path)
        return out + ("?" + urllib.parse.urlencode(query) if query else "")

    def judge(self, answer, sent):
        """The answer has a status, headers, a content type and a body that are described, and nothing else."""
        where = f"{self} ({sent}): {answer}"
        described = self.document.follow(self.body["responses"].get(str(answer.status)))
        check(described is not None, f"the status is not described: {where}")
        for name, header in described.get("headers", {}).items():
            check(name in answer.headers or not header.get("required"), f"no header {name}: {where}")
        if answer.status == 304 or not described.get("content"):
            check(not answer.raw, f"a body where none is described: {where}")
            return
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        check(kind in described["content"], f"the content type {kind} is not described: {where}")
        if kind.endswith("json"):
            check(answer.body is not None, f"no JSON: {where}")
            self.document.validate(described["content"][kind]["schema"], answer.body, where)
        if answer.status >= 400:
            code = answer.body["code"]
            codes = KINDS[answer.status] + self.body.get("x-codes", {}).get(str(answer.status), [])
            check(code in codes, f"the code {code} is not described (x-codes): {where}")
            check(answer.body["status"] == answer.status, f"another status inside: {where}")


class Document:
    def __init__(self, document):
        self.document, self.made = document, {}
        self.operations = [Operation(self, method, path, body) for path, methods in document["paths"].items() for method, body in methods.items()]

    def __getitem__(self, operation_id):
        return next(o for o in self.operations if o.id == operation_id)

    def follow(self, value):
        while value is not None and "$ref" in value:
            at = self.document
            for part in value["$ref"][2:].split("/"):
                at = at[part]
            value = {**at, **{k: v for k, v in value.items() if k != "$ref"}}
        return value

    def strict(self, schema, is_closed=True):
        """The schema without references, its objects closed: fields that are not described do not pass."""
        if isinstance(schema, bool):
            return schema
        out = dict(self.follow(schema))
        for part in out.pop("allOf", []):
            part = self.strict(part, False)
            out["type"] = "object"
            out["properties"] = {**out.get("properties", {}), **part["properties"]}
            out["required"] = out.get("required", []) + part.get("required", [])
        if "properties" in out:
            out["properties"] = {n: self.strict(s) for n, s in out["properties"].items()}
            if is_closed:
                out.setdefault("additionalProperties", False)
        for name in ("items", "additionalProperties"):
            if isinstance(out.get(name), dict):
                out[name] = self.strict(out[name])
        for name in ("oneOf", "anyOf"):
            if name in out:
                out[name] = [self.strict(s) for s in out[name]]
        return out

    def validator(self, schema):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.made:
            self.made[key] = jsonschema.Draft202012Validator(self.strict(schema))
        return self.made[key]

    def validate(self, schema, value, where):
        problem = jsonschema.exceptions.best_match(self.validator(schema).iter_errors(value))
        if problem:
            check(False, f"{'/'.join(map(str, problem.absolute_path)) or 'the body'}: {problem.message[:300]} in {where}")

    # ------------------------------------------------------------ broken bodies

    def broken(self, schema, example):
        """(what is wrong, the field's name, the body) for every field of an example, at every depth."""
        for what, name, at, change in self._broken(self.strict(schema), example, []):
            body = copy.deepcopy(example)
            inner = body
            for step in at:
                inner = inner[step]
            change(inner)
            yield f"{what} at /{'/'.join(map(str, at))}", name, body

    def _broken(self, schema, value, at):
        schema = next((s for s in schema.get("anyOf", []) + schema.get("oneOf", []) if jsonschema.Draft202012Validator(s).is_valid(value)), schema)
        if isinstance(value, list) and value:
            yield from self._broken(schema.get("items", {}), value[0], at + [0])
        if not isinstance(value, dict) or "properties" not in schema and "additionalProperties" not in schema:
            return
        if schema.get("additionalProperties") is False:
            yield "an unknown field", "nosuch_field", at, lambda o: o.update(nosuch_field=1)
        for name in schema.get("required", []):
            if name in value:
                yield f"{name} is missing", name, at, lambda o, n=name: o.pop(n)
        for name, inner in schema.get("properties", {}).items():
            for wrong in wrong_values(inner):
                yield f"{name} is {json.dumps(wrong)}", name, at, lambda o, n=name, w=wrong: o.update({n: w})
        for name, inner in value.items():
            of = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if isinstance(of, dict):
                yield from self._broken(of, inner, at + [name])


def wrong_values(schema):
    """Values of other types, beyond limits, and of no choice."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not kinds and "anyOf" not in schema:
        return
    maybe = [17, "nosuch thing", True, ["x", 7], {"nosuch": 1}]
    maybe += [schema["minimum"] - 1] if "minimum" in schema else []
    maybe += ["x" * (schema["maxLength"] + 1)] if "maxLength" in schema else []
    maybe += [schema["maximum"] + 1] if "maximum" in schema and isinstance(schema["maximum"], int) else []
    maybe += [1.5] if "integer" in kinds else []
    validator = jsonschema.Draft202012Validator(schema)
    for value in maybe:
        if not validator.is_valid(value):
            yield value


def refused(answer, status, *parts):
    """A problem of this status (or one of these) that names these words."""
    wanted = status if isinstance(status, tuple) else (status,)
    check(answer.status in wanted, f"wanted {status}: {answer}")
    contains(answer.raw.decode(errors="replace"), *parts)
