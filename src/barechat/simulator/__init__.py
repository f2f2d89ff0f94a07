"""A server of the Chat Completions API to test against: answers like it, refuses like it, fails as it is told.

It imports nothing else of barechat, so that the client can't be judged by its own knowledge.

    from barechat.simulator import Simulator

    with Simulator() as simulator:
        simulator.fail_next(status=429, headers={"retry-after": "1"})
        ...  # a client of simulator.url
        print(simulator.requests)
"""

try:
    import aiohttp  # noqa: F401 - absent without the extra `simulator`
except ModuleNotFoundError as error:
    raise ImportError("the simulator needs aiohttp: pip install 'barechat[simulator]'", name="aiohttp") from error

from barechat.simulator.journal import Record
from barechat.simulator.scenario import ScenarioError
from barechat.simulator.server import Simulator, scenario_summaries

__all__ = ["Record", "ScenarioError", "Simulator", "scenario_summaries"]
