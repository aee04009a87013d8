"""Keep a conversation through broken connections: break yours while it speaks, and see it go on from the next word."""

from avatar_client import AvatarClient, ConnectionLost, Resumed, SpokenText, TurnCompleted

with AvatarClient("127.0.0.1:50051") as client, client.converse(resume_within_s=60.0) as conversation:
    conversation.send_text("Tell me a story.")
    for event in conversation:
        match event:
            case SpokenText(text=text):
                print(text, end="", flush=True)
            case ConnectionLost(cause=cause):
                print(f"\n[{cause}]")
            case Resumed(outage_s=outage_s):
                print(f"[resumed after {outage_s:.1f} s]")
            case TurnCompleted():
                conversation.end_input()
