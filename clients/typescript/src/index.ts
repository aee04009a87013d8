// A client of `avatar.v1` for Node.
//
//     const client = new AvatarClient({ server: "127.0.0.1:50051" });
//     const conversation = client.converse({ avatar: "avatars/ada" });
//     conversation.sendText("How far is the moon?");
//     for await (const event of conversation) {
//       if (event.type === "replyText") process.stdout.write(event.text);
//       if (event.type === "turnCompleted") conversation.endInput();
//     }

export { AvatarClient, type ClientOptions, type ConverseOptions, type SpeakEvent, type TlsFiles } from "./client.js";
export { type Asking, Conversation, type Saying } from "./conversation.js";
export { AvatarError, type ErrorCode, type ErrorFacts } from "./errors.js";
export type { ConnectionLost, ConversationEvent, EventOfType, Resumed } from "./events.js";
export { ConversationState, TurnOutcome, TurnSource } from "./gen/avatar/v1/converse_pb.js";
export { AudioEncoding, FrameEncoding, InterruptionReason } from "./gen/avatar/v1/media_pb.js";
export { EchoHandling, GoAwayReason, Role, TurnTakingMode } from "./gen/avatar/v1/session_pb.js";
export { Code, NoticeReason, Stage } from "./gen/avatar/v1/status_pb.js";
export { type Playback, PlayOutClock } from "./play_out.js";
export type { Input, Plain } from "./plain.js";
