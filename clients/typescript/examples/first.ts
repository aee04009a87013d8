import { AvatarClient } from "avatar-client";

const client = new AvatarClient({ server: process.argv[2] ?? "127.0.0.1:50051" });
const conversation = client.converse({ avatar: "avatars/ada" });
conversation.sendText("How far is the moon?");
for await (const event of conversation) {
  if (event.type === "replyText") process.stdout.write(event.text);
  if (event.type === "audio") console.log(` ${event.data.length} bytes of voice for ${event.offset} s`);
  if (event.type === "interrupted") console.log("drop what waits to be played"); // so on `connectionLost`
  if (event.type === "turnCompleted") conversation.endInput();
}
client.close();
