"""What an agent is, the scripted agents by name, and how a third party's is found.

An agent has two methods, `reset(info)` and `act(observation, info) -> str`, and no base class.
A `PrivilegedAgent` has a third one, `attach(env)`, called once before the first reset: it may look
into the environment, so its score is a bound and not a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym

from finemem_env.errors import ConfigError, nearest
from finemem_env.factory import SessionFactory
from finemem_env.registry import load_reference

__all__ = [
    "AGENTS",
    "CONFIGURED",
    "MESSAGES",
    "STORE",
    "Agent",
    "AgentError",
    "AgentSpec",
    "AnsweringAgent",
    "Info",
    "ModelError",
    "PrivilegedAgent",
    "agent_name",
    "answers_itself",
    "make_agent",
    "searches_itself",
]

Info = Mapping[str, Any]
MESSAGES = "messages/1"  # versions of the reader and of the retriever that an agent replaces
STORE = "store/1"


@runtime_checkable
class Agent(Protocol):
    """A memory manager: reads an observation, replies with operations on the memory."""

    def reset(self, info: Info) -> None:
        """Forget the last episode; `info` is what the environment's reset returned."""
        ...

    def act(self, observation: str, info: Info) -> str:
        """Operations for this step, as text (see `info["instructions"]`)."""
        ...


@runtime_checkable
class PrivilegedAgent(Agent, Protocol):
    """An agent that looks inside the environment, such as the oracle."""

    def attach(self, env: gym.Env[str, str]) -> None:
        """Receive the environment that it will act in."""
        ...


@runtime_checkable
class AnsweringAgent(PrivilegedAgent, Protocol):
    """An agent that answers or searches itself: `attach` puts it into that part's place."""

    def detach(self, env: gym.Env[str, str]) -> None:
        """Give the place back, after every episode."""
        ...


class AgentError(Exception):
    """The agent broke: what it raised, or what it returned instead of text."""


class ModelError(Exception):
    """A model or server behind the agent could not be reached, which says nothing about it."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One line of the registry: `factory` is "module:Class", imported when it is asked for."""

    factory: str
    description: str


AGENTS: dict[str, AgentSpec] = {
    "skip": AgentSpec("baselines.managers.scripted:Skip", "stores nothing: the floor"),
    "random": AgentSpec("baselines.managers.scripted:Random", "valid operations at random, seeded"),
    "store_chunks": AgentSpec(
        "baselines.managers.scripted:StoreChunks",
        "stores every chunk whole until the memory is full",
    ),
    "store_sentences": AgentSpec(
        "baselines.managers.scripted:StoreSentences",
        "stores every sentence until the memory is full",
    ),
    "fifo": AgentSpec(
        "baselines.managers.scripted:Fifo", "stores every chunk, deletes the oldest to make room"
    ),
    "first_sentence": AgentSpec(
        "baselines.managers.scripted:FirstSentence", "stores the first sentence of every paragraph"
    ),
    "rag": AgentSpec(
        "baselines.managers.rag:Rag", "stores passages verbatim; when full, a random sample of all"
    ),
    "long_context": AgentSpec(
        "baselines.managers.long_context:LongContext", "keeps the last N tokens as one window"
    ),
    "memagent_extractive": AgentSpec(
        "baselines.managers.blocks:ExtractiveMemAgent",
        "one block of fixed size written anew at every chunk, by picking sentences (no model)",
    ),
    "mem1_extractive": AgentSpec(
        "baselines.managers.blocks:ExtractiveMem1",
        "a state of constant size replaced at every chunk, by picking sentences (no model)",
    ),
    "salience": AgentSpec(
        "baselines.managers.salience:Salience",
        "keeps the sentences most likely to be asked about, replaces superseded ones; any text",
    ),
    "selective": AgentSpec(
        "baselines.managers.selective:Selective",
        "stores the kinds of facts that are asked, updates superseded ones, keeps tallies",
    ),
    "oracle": AgentSpec(
        "baselines.managers.oracle:Oracle",
        "reads the questions and golds (privileged): the ceiling",
    ),
}
# Memory systems that an adapter is here for: `--agent mem0 --agent-args '{"backend": …}'` is
# `--agent store --agent-args '{"store": "mem0", "arguments": {"backend": …}}'`.
STORES: dict[str, AgentSpec] = {
    "bm25": AgentSpec("baselines.stores.plain:Bm25Store", "passages, found by BM25; no model"),
    "vector": AgentSpec(
        "baselines.stores.plain:VectorStore",
        "a plain vector store: passages, found by embeddings; embeddings",
    ),
    "mem0": AgentSpec("baselines.stores.mem0:Mem0Store", "Mem0; backend, embeddings"),
    "langmem": AgentSpec("baselines.stores.langmem:LangMemStore", "LangMem; backend, embeddings"),
    "a_mem": AgentSpec("baselines.stores.a_mem:AMemStore", "A-MEM; backend, embeddings"),
    "llama_index": AgentSpec(
        "baselines.stores.llama_index:LlamaIndexStore",
        "LlamaIndex's fact extraction block; backend, embeddings",
    ),
    "txtai": AgentSpec(
        "baselines.stores.txtai:TxtaiStore", "passages in a txtai index, found by its BM25"
    ),
    "graphiti": AgentSpec(
        "baselines.stores.graphiti:GraphitiStore", "Graphiti, Zep's engine; backend, embeddings"
    ),
    "letta": AgentSpec(
        "baselines.stores.letta:LettaStore",
        "Letta: an agent on a server that edits its memory; backend, embeddings",
    ),
}
# Agents that need arguments, such as a model, controls, and those of one source alone. They play
# only when they are asked for.
CONFIGURED: dict[str, AgentSpec] = {
    "llm": AgentSpec(
        "baselines.managers.llm:Llm",
        "a prompted language model; backend: an endpoint or a local folder",
    ),
    "memagent": AgentSpec(
        "baselines.managers.blocks:MemAgent", "one block that a language model overwrites; backend"
    ),
    "mem1": AgentSpec(
        "baselines.managers.blocks:Mem1",
        "a constant-size state that a language model replaces; backend",
    ),
    "messages": AgentSpec(
        "baselines.managers.messages:Messages",
        "an agent with send_message(text, memorizing), as MemoryAgentBench runs them; agent: its "
        "module:Class",
    ),
    "store": AgentSpec(
        "baselines.managers.store:Store",
        "a memory system with add, items and search; store: its name (docs/baselines.md) or its "
        "module:Class",
    ),
    **{
        name: AgentSpec("baselines.managers.store:Store", spec.description)
        for name, spec in STORES.items()
        if name != "bm25"  # `rag` with a search of its own
    },
    "scrambled": AgentSpec(
        "baselines.managers.scrambled:Scrambled",
        "the items of another agent on another episode (privileged): a negative control",
    ),
    "seeing": AgentSpec(
        "baselines.managers.seeing:Seeing",
        "writes down what the pictures and sounds of the source `media` show, read by code",
    ),
    "sb3": AgentSpec(
        "baselines.sb3:Sb3Agent", "a checkpoint of python -m baselines.sb3; checkpoint: its folder"
    ),
    "grpo": AgentSpec("agents.policy:Manager", "a run of python -m agents.grpo; run: its folder"),
}


def answers_itself(versions: Mapping[str, str]) -> bool:
    """Whether an agent answered in the reader's place, from a memory that nobody else sees."""
    return versions.get("reader", "").startswith(f"{MESSAGES}/")


def searches_itself(versions: Mapping[str, str]) -> bool:
    """Whether an agent searched in the retriever's place."""
    return versions.get("retriever", "").startswith(f"{STORE}/")


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


def agent_name(name: str) -> str:
    """The registered spelling of `name` (case, "-" and "_" ignored), or a "module:Class" as it is.

    Raises:
        ConfigError: neither a registered name nor of the form "module:Class".
    """
    known_agents = {**AGENTS, **CONFIGURED}
    for known in known_agents:
        if _plain(known) == _plain(name):
            return known
    module, _, attribute = name.partition(":")
    if module and attribute:
        return name
    hint = nearest("agent", name, known_agents)
    raise ConfigError(f"{hint} An agent of your own is named package.module:Class.")


def make_agent(name: str, arguments: Mapping[str, Any] | None = None) -> Agent:
    """Build the agent called `name`, with keyword `arguments` for its constructor.

    Raises:
        ConfigError: an unknown name, a module or class that cannot be imported, a class without
            the two methods, or arguments that its constructor does not take.
    """
    known = agent_name(name)
    spec = {**AGENTS, **CONFIGURED}.get(known)
    factory = load_reference("agent", spec.factory if spec else name)
    keywords = dict(arguments or {})
    if known in STORES:
        keywords = {"store": known, "arguments": keywords}
    try:
        agent = factory(**keywords)
    except TypeError as error:
        raise ConfigError(
            f"agent {name!r} with arguments {dict(arguments or {})}: {error}."
        ) from error
    if not isinstance(agent, Agent):
        raise ConfigError(
            f"agent {name!r}: it needs the methods reset(info) and act(observation, info)."
        )
    return agent


def factory_of(env: gym.Env[str, str]) -> SessionFactory:
    """What makes the sessions of an environment: its source, reader and retriever.

    Raises:
        ConfigError: not an environment of this suite.
    """
    factory = getattr(env.unwrapped, "factory", None)
    if not isinstance(factory, SessionFactory):
        raise ConfigError(f"{env}: expected an environment of this suite, with a reader.")
    return factory
