"""What it costs to remember the steps of an environment, beside storing them by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.embedded.server import EmbeddedServer
from benchmarks.measuring import Figure, Work, compare

STEPS = 600
ROUNDS = 5

Stored = Callable[[int, Any, Any, Any, bool, bool], object]


def figures() -> Iterator[Figure]:
    """Measure the wrapper of Gymnasium's CartPole."""
    by_hand = "a step of CartPole-v1 remembered, against store_state of the same by hand"
    plainly = "a step of CartPole-v1 remembered, against redis-py's pipeline HSET of its JSON"
    if find_spec("gymnasium") is None:
        why = "gymnasium is not installed"
        yield Figure(by_hand, "0.8x or more", "left out", True, why)
        yield Figure(plainly, "for comparison", "left out", True, why)
        return
    with TemporaryDirectory() as folder:
        config = MemoryConfig(path=Path(folder), engine="embedded", search=False)
        with AgentMemorySystem(config) as memory, EmbeddedServer.open(Path(folder)) as server:
            client = redis.Redis(unix_socket_path=server.socket_path)
            agents = (f"agent {number}" for number in itertools.count())
            ours = partial(_remembered, memory, agents)
            ratio = compare(ours, partial(_by_hand, memory, agents), ROUNDS)
            measured = f"{ratio.median:.2f}x"
            yield Figure(by_hand, "0.8x or more", measured, ratio.median >= 0.8, ratio.spread)
            ratio = compare(ours, partial(_plainly, client, agents), ROUNDS)
            note = f"{ratio.spread}; it makes vectors and indexes, which the plain way does not"
            yield Figure(plainly, "for comparison", f"{ratio.median:.2f}x", True, note)
            client.close()


def _remembered(memory: AgentMemorySystem, agents: Iterator[str]) -> Work:
    # Beside its own dependencies, since the package is not there for everyone.
    from agent_memory.integrations.gymnasium import RememberEpisodes  # noqa: PLC0415

    env = RememberEpisodes(_cart_pole(), memory, agent_id=next(agents))
    return partial(_live, env, lambda *_: None)


def _by_hand(memory: AgentMemorySystem, agents: Iterator[str]) -> Work:
    agent = memory.get_memory_agent(next(agents))

    def store(at: int, seen: Any, action: Any, reward: Any, ended: bool, cut: bool) -> None:
        contents = {"observation": seen, "action": action, "reward": float(reward)}
        where = {"episode": 0, "episode_step": at}
        agent.store_state(contents | {"terminated": ended, "truncated": cut} | where, at)

    return partial(_live, _cart_pole(), store)


def _plainly(client: redis.Redis, agents: Iterator[str]) -> Work:
    agent = next(agents)

    def store(at: int, seen: Any, action: Any, reward: Any, ended: bool, cut: bool) -> None:
        contents = {"observation": seen.tolist(), "action": int(action), "reward": reward}
        text = json.dumps(contents | {"terminated": ended, "truncated": cut})
        with client.pipeline() as pipe:
            pipe.hset(f"{agent}:{at}", mapping={"contents": text})
            pipe.execute()

    return partial(_live, _cart_pole(), store)


def _cart_pole() -> Any:
    import gymnasium  # noqa: PLC0415  # not there for everyone

    env = gymnasium.make("CartPole-v1")
    env.action_space.seed(1)
    return env


def _live(env: Any, store: Stored) -> None:
    seen, _ = env.reset(seed=1)
    for step in range(STEPS):
        action = env.action_space.sample()
        then, reward, ended, cut, _ = env.step(action)
        store(step, seen, action, reward, ended, cut)
        seen = env.reset()[0] if ended or cut else then


if __name__ == "__main__":
    for figure in figures():
        print(figure)
