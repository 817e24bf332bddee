"""Messages with pictures and sounds, as OpenAI-compatible endpoints take them.

{"type": "text", "text": "…"}
{"type": "text", "text": "m1"}
{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}
{"type": "input_audio", "input_audio": {"data": "…", "format": "wav"}}
"""

from __future__ import annotations

import base64
from collections.abc import Collection

from finemem_env.backends.base import Message
from finemem_env.media import sniff
from finemem_env.types import Medium


def message_content(message: Message, kinds: Collection[str]) -> str | list[dict[str, object]]:
    """The content of a message: its text, and behind it the media of these kinds, by name."""
    parts = [(one, part) for one in message.media if one.kind in kinds and (part := _part(one))]
    if not parts:
        return message.content
    content: list[dict[str, object]] = [{"type": "text", "text": message.content}]
    for medium, part in parts:
        content += [{"type": "text", "text": medium.name}, part]
    return content


def _part(medium: Medium) -> dict[str, object] | None:
    """The bytes of a medium as they are; None where there are none."""
    sniffed = sniff(medium.data) if medium.data else None
    if sniffed is None:
        return None
    data = base64.b64encode(medium.data).decode("ascii")
    if sniffed.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": data, "format": sniffed.name}}
    return {"type": "image_url", "image_url": {"url": f"data:{sniffed.mime};base64,{data}"}}
