"""The official SDKs behind one face: a question (question.py) is asked in the SDK's own words, with its own helpers,
and what it says comes back in the same form from all of them. What goes on in a conversation is the SDK's own objects,
given back as it documents it."""

from .chat import Chat
from .gemini import Gemini
from .messages import Messages
from .question import Official
from .responses import Responses

CLIENTS: dict[str, type[Official]] = {
    "chat": Chat,
    "responses": Responses,
    "messages": Messages,
    "gemini": Gemini,
}
