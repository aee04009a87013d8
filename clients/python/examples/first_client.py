"""Ask one question: print the reply as it comes, and keep the answer as a video."""

from avatar_client import AvatarClient, Recorder, ReplyText

with AvatarClient("127.0.0.1:50051") as client, client.converse() as conversation:
    conversation.send_text("What is the capital of France?")
    conversation.end_input()
    with Recorder("answer.mp4", conversation.media) as video:
        for event in conversation:
            video.add(event)
            if isinstance(event, ReplyText):
                print(event.text, end="", flush=True)
