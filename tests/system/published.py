"""published.py - the calls of a configuration service as its design publishes them, with exactly its names."""
import re

from kit import World, check, equal

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
SCOPE = "payment-service/production"
KEY = f"/config/{SCOPE}/database.url"
ITEM = ["service_name", "environment", "config_key", "config_value", "value_type", "version", "head_version", "revision", "updated_at", "description"]


def setup():
    world = World("published").start()
    for value in ("postgres://db-1", "postgres://db-2", "postgres://db-3"):
        world.ok("PUT", KEY, {"config_value": value, "value_type": "string", "change_description": f"to {value[-4:]}", "description": "where payments are kept"})
    world.ok("PUT", f"/config/{SCOPE}/limits.rate", {"config_value": "3600", "value_type": "number"})
    world.ok("PUT", "/config/payment-service/development/feature.new", {"config_value": "true", "value_type": "boolean"})
    release(world)
    return world


def release(world):
    rollout = world.start_rollout("payment-service/prod", "all-at-once")
    world.wait_state(rollout, "completed")


def has(body, names, what):
    equal([n for n in names if n not in body], [], f"fields that are missing from {what}: {body}")


def test_get(world):
    """GET of a key: its ten fields, an ETag, 404 where there is none; development and production are dev and prod"""
    answer = world.api("GET", KEY)
    equal(answer.status, 200, "status")
    has(answer.body, ITEM, "the item")
    equal({n: answer[n] for n in ("service_name", "environment", "config_key", "config_value", "value_type", "version", "head_version", "description")},
          {"service_name": "payment-service", "environment": "prod", "config_key": "database.url", "config_value": "postgres://db-3", "value_type": "string",
           "version": 3, "head_version": 3, "description": "where payments are kept"}, "the item")
    check(re.fullmatch(TIME, answer["updated_at"]), f"updated_at is {answer['updated_at']}")
    check(isinstance(answer["revision"], int), "revision is a number")
    equal(world.api("GET", KEY, headers={"If-None-Match": answer.headers["ETag"]}).status, 304, "with its ETag")
    equal(world.api("GET", KEY.replace("production", "prod")).body, answer.body, "prod and production")
    number = world.ok("GET", f"/config/{SCOPE}/limits.rate")
    equal((number["config_value"], number["value_type"]), ("3600", "number"), "a number is text, and says its type")
    flag = world.ok("GET", "/config/payment-service/development/feature.new")
    equal((flag["environment"], flag["config_value"], flag["value_type"]), ("dev", "true", "boolean"), "development")
    equal(world.api("GET", f"/config/{SCOPE}/nosuch").status, 404, "a key that is not there")


def test_batch(world):
    """POST /config/batch with service_name, environment, config_keys: configs and missing"""
    answer = world.api("POST", "/config/batch", {"service_name": "payment-service", "environment": "production", "config_keys": ["limits.rate", "nosuch", "database.url"]})
    equal(answer.status, 200, "status")
    equal([c["config_key"] for c in answer["configs"]], ["limits.rate", "database.url"], "configs")
    for item in answer["configs"]:
        has(item, ITEM, "an item")
    equal(answer["missing"], ["nosuch"], "missing")


def test_put(world):
    """PUT of a key: the item and config_id, changed, released, rollout; a value that is there already; a stale version"""
    version = world.ok("GET", f"{KEY}?revision=head")["version"]
    body = {"config_value": "postgres://db-4", "value_type": "string", "change_description": "a larger machine", "description": "where payments are kept",
            "encrypt": False, "expected_version": version, "base": "head"}
    answer = world.api("PUT", KEY, body)
    equal(answer.status, 200, f"status of {answer}")
    has(answer.body, [*ITEM, "config_id", "changed", "released", "rollout"], "the answer")
    equal((answer["version"], answer["changed"], answer["released"], answer["rollout"]), (version + 1, True, False, None), "a draft in production")
    again = world.ok("PUT", KEY, {"config_value": "postgres://db-4"})
    equal((again["version"], again["changed"], again["config_id"]), (version + 1, False, answer["config_id"]), "the same again")
    stale = world.api("PUT", KEY, body)
    equal((stale.status, stale["code"], stale["current_version"]), (409, "version_conflict", version + 1), "a stale expected_version")
    new = world.api("PUT", "/config/payment-service/development/cache.ttl", {"config_value": 30})
    equal((new.status, new["config_value"], new["value_type"], new["version"]), (201, "30", "number", 1), "a native number in development")
    check(new["rollout"], "development releases by itself: the answer names the rollout")


def test_history_and_rollback(world):
    """GET …/history, then POST …/rollback with target_version: a new version, and what it goes back to"""
    history = world.ok("GET", f"{KEY}/history")
    equal(history["config_key"], "database.url", "config_key")
    for v in history["versions"]:
        has(v, ["version", "config_value", "change_description", "created_at", "created_by", "revision"], "a version")
    equal([v["version"] for v in history["versions"]], list(range(len(history["versions"]), 0, -1)), "newest first, without gaps")
    equal(history["versions"][-1]["change_description"], "to db-1", "change_description")
    newest = history["versions"][0]["version"]
    answer = world.api("POST", f"{KEY}/rollback", {"target_version": 1})
    equal(answer.status, 200, f"status of {answer}")
    has(answer.body, ["version", "previous_version", "rolled_back_to", "updated_at"], "the answer")
    equal((answer["version"], answer["previous_version"], answer["rolled_back_to"]), (newest + 1, newest, 1), "versions")
    equal(world.ok("GET", f"{KEY}?revision=head")["config_value"], "postgres://db-1", "its value")
    equal(len(world.ok("GET", f"{KEY}/history")["versions"]), newest + 1, "the history is only longer")


def test_subscribe(world):
    """POST /config/subscribe: subscription_id, subscribed_keys, status, last_notified_at, under both sets of names"""
    for body in ({"service_name": "payment-service", "environment": "production", "config_keys": ["database.*"], "callback_url": "https://example.com/hook"},
                 {"service": "payment-service", "environment": "production", "keys": ["database.*"], "url": "https://example.com/hook"}):
        answer = world.api("POST", "/config/subscribe", body)
        equal(answer.status, 201, f"status of {answer}")
        equal((answer["subscribed_keys"], answer["status"], answer["last_notified_at"]), (["database.*"], "active", None), "the subscription")
        equal(answer.headers["Location"], f"/api/v1/subscriptions/{answer['subscription_id']}", "Location")
        shown = world.ok("GET", f"/subscriptions/{answer['subscription_id']}")
        equal(shown, {k: v for k, v in answer.body.items() if k != "secret"}, "shown again, without the secret")
    both = world.api("POST", "/config/subscribe", {**body, "service_name": "payment-service"})
    equal((both.status, both["errors"][0]["pointer"]), (422, "/service_name"), "one thing said twice")


def test_delete(world):
    """DELETE of a key: success and message; it is a version, and still there until that is released"""
    answer = world.api("DELETE", f"/config/{SCOPE}/limits.rate")
    equal((answer.status, answer["success"]), (200, True), f"status of {answer}")
    check("limits.rate" in answer["message"], f"message: {answer['message']}")
    equal(world.api("GET", f"/config/{SCOPE}/limits.rate").status, 200, "what is released stays")
    equal(world.api("GET", f"/config/{SCOPE}/limits.rate?revision=head").status, 404, "the head is without it")
    release(world)
    equal(world.api("GET", f"/config/{SCOPE}/limits.rate").status, 404, "released")
