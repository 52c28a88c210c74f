"""A caller's system in a process of its own, for tests that kill it.

``python receiver_program.py STORE PUBLIC_KEY WHAT [ARGUMENT]`` prints one JSON line per thing that happens.

- ``trigger RUN_ID``: trigger a run, and then do nothing
- ``serve [LIMITS]``: serve the endpoint with uvicorn; the limits are JSON, the receiver's and uvicorn's settings
- ``wait REQUEST_ID``: wait for a completion
- ``handle fail|work``: serve, with a handler that fails or works
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from ringing import URL, FakeAirflow
from serving import serving

from ringback_receiver import Completion, Receiver


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def main(store: str, key: str, what: str, argument: str = "") -> None:
    limits = json.loads(argument) if what == "serve" and argument else {"receiver": {}, "uvicorn": {}}
    receiver = Receiver(URL, key, FakeAirflow(), store, **limits["receiver"])
    if what == "trigger":
        async with receiver:
            run = await receiver.trigger("sales", run_id=argument, metadata={"customer": 7})
            say(request_id=run.request_id)
            await asyncio.sleep(3600)
    elif what == "wait":
        async with receiver:
            run = await receiver.request(argument)
            say(waiting=run.run_id)
            completion = await run.completion(timeout=60)
            say(state=completion.state, result=completion.result, metadata=completion.metadata)
    else:
        if what == "handle":

            @receiver.on_completion("sales", name="report")
            def report(completion: Completion) -> None:
                say(handler=argument, event_id=completion.event_id)
                if argument == "fail":
                    raise RuntimeError("not today")

        async with serving(receiver, **limits["uvicorn"]) as client:
            say(url=str(client.base_url))
            await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
