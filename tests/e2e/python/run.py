"""Does what the tests ask with the OpenAI SDK of the interpreter it runs under: one request a line on standard input,
one answer a line on standard output. Knows nothing of the gateway."""

import asyncio
import json
import sys
import traceback
from typing import Any

import asynchronous
import openai
import synchronous


def failure(error: Exception) -> dict[str, Any]:
    """What a caller can see of the SDK's own error."""
    return {
        "class": type(error).__name__,
        "message": getattr(error, "message", str(error)),
        "status": getattr(error, "status_code", None),
        **{name: getattr(error, name, None) for name in ("code", "param", "type", "request_id")},
        "retry_after": error.response.headers.get("retry-after") if isinstance(error, openai.APIStatusError) else None,
    }


def main() -> None:
    """Until the input ends."""
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            request = json.loads(line)
            report: dict[str, Any] = {}  # filled as it goes on, so that it tells of what came before an error
            try:
                if request["is_async"]:
                    runner.run(asynchronous.OPERATIONS[request["operation"]](request, report))
                else:
                    synchronous.OPERATIONS[request["operation"]](request, report)
            except openai.OpenAIError as error:
                report["error"] = failure(error)
            except Exception:
                report["crash"] = traceback.format_exc()
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    print(json.dumps({"version": openai.__version__}), flush=True)
    main()
