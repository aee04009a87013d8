"""Let the avatar call a function of yours: ask it for the weather."""

from avatar_client import AvatarClient, ReplyText, Tool, TurnCompleted

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def get_weather(city: str) -> dict[str, object]:
    """Look the weather up; here, it is always fine."""
    return {"city": city, "celsius": 21, "sky": "clear"}


tools = {"get_weather": Tool(get_weather, "Tells the weather in a city.", CITY)}
with AvatarClient("127.0.0.1:50051") as client, client.converse(tools=tools) as conversation:
    conversation.send_text("What is the weather in Rome?")
    for event in conversation:
        if isinstance(event, ReplyText):
            print(event.text, end="", flush=True)
        if isinstance(event, TurnCompleted) and event.outcome != "AWAITING_TOOLS":
            conversation.end_input()
