"""Embeddings in each form, and their parts as tests write them."""

import base64
import json
import struct
from typing import Any

from faregate.core.chat import ChatRequest
from faregate.dialects import Asked
from faregate.dialects.embeddings import Form
from faregate.dialects.embeddings.cohere import CohereEmbeddings
from faregate.dialects.embeddings.gemini import GeminiEmbeddings
from faregate.dialects.embeddings.openai import OpenAIEmbeddings

OPENAI, GEMINI, COHERE = OpenAIEmbeddings(), GeminiEmbeddings(), CohereEmbeddings()
FORMS: dict[str, Form] = {form.name: form for form in (OPENAI, GEMINI, COHERE)}
ONE, BATCH = Asked("m:embedContent"), Asked("m:batchEmbedContents")
TEXTS = ("the first", "größer 🥊")
VECTORS = [[0.5, -0.25], [1.0, 3.0]]


def bytes_of(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def openai(**members: Any) -> ChatRequest:
    return OPENAI.parse_request(bytes_of({"model": "m", "input": list(TEXTS), **members}))


def content(text: str, **members: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}]}, **members}


def batch(*texts: str, **members: Any) -> ChatRequest:
    return GEMINI.parse_request(bytes_of({"requests": [content(text, **members) for text in texts]}), BATCH)


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def answer(*vectors: Any, model: Any = "m", **members: Any) -> bytes:
    """OpenAI's, as it comes from OpenAI but for spaces of its own."""
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return bytes_of({"object": "list", "data": data, "model": model, "usage": usage, "more": 1, **members})


def forwarded(body: bytes, request: ChatRequest, *, exact: bool = True) -> Any:
    return json.loads(OPENAI.forward_result(body, request, exact=exact).body)


def cohere_answer(vectors: Any, meta: Any = None) -> bytes:
    return bytes_of({"embeddings": {"float": vectors}, "meta": meta})


def gemini_answer(vectors: Any, usage: Any = None) -> bytes:
    return bytes_of({"embeddings": [{"values": vector} for vector in vectors], "usageMetadata": usage})
