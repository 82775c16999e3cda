"""LiteLLM as a client, in its own environment: one line of JSON for each call asked for on standard input. Knows
nothing of the gateway."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks its makers for prices before it does anything

import litellm

litellm.suppress_debug_info = True


def completion(arguments: dict) -> dict:
    """What `litellm.completion` gives: a whole answer, the text of a stream, or its own error."""
    try:
        answer = litellm.completion(**arguments, num_retries=0, max_retries=0)
        if arguments.get("stream"):
            chunks = [chunk.model_dump() for chunk in answer]
            texts = [choice["delta"]["content"] or "" for chunk in chunks for choice in chunk["choices"]]
            return {"text": "".join(texts)}
        return {"answer": answer.model_dump()}
    except Exception as error:
        return {"error": type(error).__name__, "status": getattr(error, "status_code", None), "message": str(error)}


print("{}", flush=True)  # ready
for line in sys.stdin:
    print(json.dumps(completion(json.loads(line))), flush=True)
