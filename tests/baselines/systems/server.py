"""A loopback server for memory libraries: extracts every sentence, embeds by hashed words.

It knows the prompts of the libraries by what stands in them. What a library makes of it shows that
adapter and library fit together; it says nothing about the library with a language model.
`python -m tests.baselines.systems.server PORT` serves until it is stopped.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from typing import Any

from baselines.managers.scripted import pack
from finemem_env.text import approx_tokens, split_sentences
from tests.backends.servers import Response, Seen, ServerBase, chat_completion

DIMENSIONS = 64
NARRATOR, STORY = "Narrator of the text", "World of the story"
# Graphiti asks by the name of a form. Every fact stands between the same two entities.
GRAPHITI: dict[str, Any] = {
    "ExtractedEntities": {
        "extracted_entities": [
            {"name": NARRATOR, "entity_type_id": 0},
            {"name": STORY, "entity_type_id": 0},
        ]
    },
    "NodeResolutions": {"entity_resolutions": []},
    "EdgeDuplicate": {"duplicate_facts": [], "contradicted_facts": []},
    "EdgeTimestamps": {"valid_at": None, "invalid_at": None},
    "SummarizedEntities": {"summaries": []},
}


def vector(text: str) -> list[float]:
    """Counts of words, each at a place that its hash decides."""
    row = [0.01] * DIMENSIONS
    for word in re.findall(r"\w+", text.casefold()):
        row[int(hashlib.md5(word.encode()).hexdigest(), 16) % DIMENSIONS] += 1.0
    return row


class MemoryServer(ServerBase):
    """Chat completions and embeddings.

    Attributes:
        down: paths that answer with status 503.
        told: every text that was extracted from.
    """

    def __init__(self, port: int = 0) -> None:
        self.down: set[str] = set()
        self.told: list[str] = []
        super().__init__(port)

    def respond(self, seen: Seen) -> Response:
        if any(seen.path.endswith(path) for path in self.down):
            return Response(b'{"error": {"message": "down"}}', 503)
        if seen.path.endswith("/embeddings"):
            return self._embed(seen.json)
        return Response(_counted(seen.body, self._chat(seen.json)))

    def _embed(self, body: Any) -> Response:  # noqa: ANN401
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        rows = [
            {"object": "embedding", "index": i, "embedding": vector(text)}
            for i, text in enumerate(texts)
        ]
        tokens = sum(map(approx_tokens, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        reply = {"object": "list", "model": "words", "data": rows, "usage": usage}
        return Response(json.dumps(reply).encode())

    def _chat(self, body: Any) -> bytes:  # noqa: ANN401
        first, last = (str(body["messages"][place]["content"]) for place in (0, -1))
        form = body.get("response_format", {}).get("json_schema", {}).get("name")
        if form in GRAPHITI or form == "ExtractedEdges":
            return _json(GRAPHITI.get(form) or self._facts(last))
        tools = [one["function"]["name"] for one in body.get("tools", [])]
        if "archival_memory_insert" in tools:
            return self._letta(body["messages"])
        if "## New Messages" in last:
            return self._mem0(last)
        if tools:
            return self._langmem(last)
        if "Content for analysis:" in last:
            note = last.split("Content for analysis:")[1].strip()
            words = re.findall(r"[A-Z]\w+", note)[:3]
            return _json({"keywords": words, "context": "Something was said.", "tags": ["told"]})
        if "memory evolution agent" in last:
            return self._evolve(last)
        if "fact extraction system" in last:
            facts = "".join(f"<fact>{one}</fact>" for one in self._sentences(first))
            return chat_completion(f"<facts>{facts}</facts>")
        if "fact condensing system" in last:
            kept = re.findall(r"<fact>(.*?)</fact>", last, re.DOTALL)[:5]
            return chat_completion("".join(f"<fact>{one}</fact>" for one in kept))
        raise AssertionError(f"no library's prompt: {last[:200]}")

    def _sentences(self, text: str) -> list[str]:
        self.told.append(text)
        return list(split_sentences(text.strip()))

    def _mem0(self, prompt: str) -> bytes:
        told = prompt.split("## New Messages\n")[1].split("\n\n## Observation Date")[0]
        told = re.sub(r"^\s*user: ?", "", told)
        memories = [{"id": str(i), "text": one} for i, one in enumerate(self._sentences(told))]
        return _json({"memory": memories})

    def _facts(self, prompt: str) -> dict[str, Any]:
        (told,) = re.findall(r"<CURRENT_MESSAGE>\n(.*)\n</CURRENT_MESSAGE>", prompt, re.DOTALL)
        ends = {"source_entity_name": NARRATOR, "target_entity_name": STORY}
        return {
            "edges": [
                {**ends, "relation_type": "TELLS_OF", "fact": one} for one in self._sentences(told)
            ]
        }

    def _langmem(self, prompt: str) -> bytes:
        (told,) = re.findall(r"<session_[^>]+>\n(.*)\n</session_", prompt, re.DOTALL)
        told = re.sub(r"^=+ ?Human Message ?=+\n", "", told.strip())
        calls = [
            {
                "id": f"c{i}",
                "type": "function",
                "function": {"name": "Memory", "arguments": json.dumps({"content": one})},
            }
            for i, one in enumerate(self._sentences(told))
        ]
        return chat_completion(None, tool_calls=calls)

    def _letta(self, messages: Any) -> bytes:  # noqa: ANN401
        """One tool call after the other: the first sentence into the block, the rest archived."""
        users = [i for i, one in enumerate(messages) if one["role"] == "user"]
        turn = max(i for i in users if '"type": "' not in messages[i]["content"])  # no heartbeat
        done = sum(one["role"] == "tool" for one in messages[turn:])
        sentences = list(split_sentences(messages[turn]["content"]))
        plan: list[tuple[str, dict[str, Any]]] = [
            ("archival_memory_insert", {"content": piece})
            for piece in pack(sentences[1:] or sentences, 80)
        ]
        if sentences[1:]:
            plan.append(("memory_insert", {"label": "human", "new_str": sentences[0]}))
        if done < len(plan):
            name, given = plan[done]
            given |= {"request_heartbeat": True}
        else:
            self.told.append(messages[turn]["content"])
            name, given = "send_message", {"message": "Noted."}
        function = {"name": name, "arguments": json.dumps({"thinking": "So be it.", **given})}
        call = {"id": f"c{len(messages)}", "type": "function", "function": function}
        return chat_completion(None, tool_calls=[call])

    def _evolve(self, prompt: str) -> bytes:
        """Every neighbour gets a new context, so that older notes change."""
        count = len(re.findall(r"^\s*memory_id:", prompt, re.MULTILINE))
        return _json(
            {
                "should_evolve": True,
                "actions": ["update_neighbor"],
                "suggested_connections": [],
                "tags_to_update": ["told"],
                "new_context_neighborhood": ["Something was said before."] * count,
                "new_tags_neighborhood": [["told", "twice"]] * count,
            }
        )


def _counted(asked: bytes, reply: bytes) -> bytes:
    """The reply with its tokens and those of the prompt, tools included, as they are estimated."""
    body, answer = json.loads(asked), json.loads(reply)
    prompt = json.dumps([body["messages"], body.get("tools", [])], ensure_ascii=False)
    message = json.dumps(answer["choices"][0]["message"], ensure_ascii=False)
    answer["usage"]["prompt_tokens"] = approx_tokens(prompt)
    answer["usage"]["completion_tokens"] = approx_tokens(message)
    return json.dumps(answer).encode()


def _json(value: object) -> bytes:
    return chat_completion(json.dumps(value))


if __name__ == "__main__":
    with MemoryServer(int(sys.argv[1])):
        threading.Event().wait()
