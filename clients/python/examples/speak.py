"""Have an avatar speak a text, and keep it as a video."""

from avatar_client import AvatarClient, Recorder

with AvatarClient("127.0.0.1:50051") as client:
    for avatar in client.list_avatars():
        print(avatar.name, avatar.state)
    with client.speak("The moon is near.", unpaced=True) as speech, Recorder("moon.mp4", speech.media) as video:
        for event in speech:
            video.add(event)
print(f"moon.mp4: {video.duration_s:.1f} s")
