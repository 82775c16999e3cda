"""A provider to run against: real sockets, real wire formats, a fault plan.

It answers any model id with text that follows from the conversation alone, so on every wire the same; counts tokens it
can vouch for, and keeps a log of its own truth for tests to compare with. It refuses what the real providers refuse,
in their words, and checks the signatures of thoughts that come back.

It speaks OpenAI chat and completions (openai_chat/), OpenAI Responses (responses/), Anthropic Messages (anthropic/),
Gemini generateContent (gemini/), Cohere chat (cohere/) and Amazon Bedrock's Converse (bedrock/); and the embeddings of
OpenAI, Gemini and Cohere (embeddings.py in their folders, vectors.py), which are a function of the text alone. It
shares nothing with the gateway's dialects, so that these are not judged by their own code. Each wire is a record
(wires.py): how its requests become a question (question.py) and how an answer (answer.py) becomes its frames
(framing.py). A wire's folder has tables.py, what may stand in a body (checked.py); request.py; history.py, what a
conversation has to be; shapes.py. What models of a name take is in traits.py.

A request sets its own pace and faults by the extra top-level member `simulator` (faults.Plan), on any wire, or at the
end of its last user message or the last text to embed, `#simulator {...}`, which comes through whatever translates the
request (plans.py). A request's way: serve.py, routes.py, exchange.py, the wire's `read`, plans.py, answer.py, the
wire's `frames`, framing.py, outlet.py; its trace: truth.py.
"""
