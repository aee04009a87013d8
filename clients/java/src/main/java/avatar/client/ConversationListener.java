// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import avatar.v1.AudioChunk;
import avatar.v1.ConverseResponse;
import avatar.v1.Frame;
import avatar.v1.GoAway;
import avatar.v1.Interrupted;
import avatar.v1.Notice;
import avatar.v1.ReplyFinished;
import avatar.v1.ReplyText;
import avatar.v1.SessionStarted;
import avatar.v1.SpeechStarted;
import avatar.v1.SpeechStopped;
import avatar.v1.SpokenText;
import avatar.v1.ToolCalls;
import avatar.v1.Transcript;
import avatar.v1.TurnCompleted;
import avatar.v1.TurnStarted;

/**
 * What comes in a conversation, in order, one at a time. Override what is of interest.
 *
 * <p>The stream is read on when a method returns. A method that is busy for longer slows the service down, which then
 * leaves out frames and, after ten seconds, ends the stream. A method that throws ends it with {@code CANCELLED}.
 * Media of turns that were interrupted do not come.
 */
public interface ConversationListener {
  /** The session exists; always first. */
  default void onSessionStarted(SessionStarted started) {}

  /** The user speaks. */
  default void onSpeechStarted(SpeechStarted started) {}

  /** The user has stopped speaking. */
  default void onSpeechStopped(SpeechStopped stopped) {}

  /** What was understood of the user. */
  default void onTranscript(Transcript transcript) {}

  /** A turn has begun. */
  default void onTurnStarted(TurnStarted started) {}

  /** The next piece of the reply's text. */
  default void onReplyText(ReplyText text) {}

  /** A word and when it is heard, for captions. */
  default void onSpokenText(SpokenText text) {}

  /** A piece of the voice, before the frame of its time. */
  default void onAudio(AudioChunk audio) {}

  /** A picture. */
  default void onFrame(Frame frame) {}

  /** The turn's last media have come; they are still being played. */
  default void onReplyFinished(ReplyFinished finished) {}

  /** A turn was stopped: be silent at once. The service is told by itself how far it was played. */
  default void onInterrupted(Interrupted interrupted) {}

  /** A turn is over, however it ended. */
  default void onTurnCompleted(TurnCompleted completed) {}

  /** The chat model asks for tools: answer with {@link Conversation#sendToolResults}. */
  default void onToolCalls(ToolCalls calls) {}

  /** Something that the user may be shown. */
  default void onNotice(Notice notice) {}

  /** The service will end the stream: {@link AvatarClient#resume} soon. */
  default void onGoAway(GoAway goAway) {}

  /** Any response that no other method takes, newer ones included. */
  default void onOther(ConverseResponse response) {}

  /** The stream has ended: well if {@code error} is null. */
  default void onEnd(AvatarException error) {}
}
