"""Calls of the server's events without a page."""

import json
import urllib.request
from typing import Any


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def post(url: str, value: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(value).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def call(address: str, trigger: str, changes: dict[str, Any], session: str) -> Any:
    """Calls what an event of a component does, without a page."""
    config = get(f"{address}config")
    components = {c["id"]: c["props"] for c in config["components"]}
    names = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
    kind, event = trigger.split(".")
    found = next(d for d in config["dependencies"] if [names[kind], event] in d["targets"])
    data = []
    for number in found["inputs"]:
        props = components[number]
        data.append(changes.get(props.get("elem_id"), props.get("value")))
    body = {"data": data, "fn_index": found["id"], "session_hash": session}
    if not found["queue"]:
        return post(f"{address}gradio_api/run/predict", body)
    post(f"{address}gradio_api/queue/join", body)
    url = f"{address}gradio_api/queue/data?session_hash={session}"
    with urllib.request.urlopen(url, timeout=20) as events:
        for line in events:
            message = json.loads(line.removeprefix(b"data: ")) if line.strip() else {}
            if message.get("msg") == "process_completed":
                return message["output"]
    raise AssertionError("no answer")
