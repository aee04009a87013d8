// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import static avatar.client.Tests.check;

import avatar.v1.AudioChunk;
import avatar.v1.AudioFormat;
import avatar.v1.ConverseConfig;
import avatar.v1.Frame;
import avatar.v1.Interrupted;
import avatar.v1.ListAvatarsRequest;
import avatar.v1.Notice;
import avatar.v1.ReplyFinished;
import avatar.v1.SessionStarted;
import avatar.v1.TurnCompleted;
import avatar.v1.TurnOutcome;
import avatar.v1.TurnStarted;
import avatar.v1.UserText;
import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Conversations with a real server. */
final class ConversationTest {
  private static final String LONG =
      "The moon turns with us, so that one face of it is all that we ever see. "
          + "The other one is dark to us, but not to the sun.";
  private static final String SHORT = "One two three.";
  private static final Duration WITHIN = Duration.ofSeconds(30);

  private final AvatarClient client;

  ConversationTest(String server) {
    client = AvatarClient.connect(server);
  }

  void aTextIsSaidAndTheServiceLearnsThatAllOfItWasHeard() throws Exception {
    Heard heard = new Heard();
    try (Conversation conversation = client.converse(ConverseConfig.getDefaultInstance(), heard)) {
      conversation.say(SHORT);
      ReplyFinished reply = heard.await(ReplyFinished.class);
      TurnCompleted turn = heard.await(TurnCompleted.class);
      long voice = heard.audio.stream().mapToLong(AudioChunk::getSampleCount).sum() * 1_000 / 24_000;
      check(voice == Durations.toMillis(reply.getMediaDuration()), voice, reply);
      check(turn.getOutcome() == TurnOutcome.TURN_OUTCOME_COMPLETED, turn);
      check(turn.getHeardText().equals(SHORT) && !turn.getHeardEstimated(), "play-out was not reported", turn);
      conversation.finish();
      conversation.await(WITHIN);
    }
    check(heard.ends.equals(List.of("well")), heard.ends);
  }

  void aTextsTurnBearsTheNameThatItWasGiven() throws Exception {
    Heard heard = new Heard();
    try (Conversation conversation = client.converse(ConverseConfig.getDefaultInstance(), heard)) {
      conversation.sendText(UserText.newBuilder().setText("How far is the moon?").setRequestId("q1").build());
      TurnStarted turn = heard.await(TurnStarted.class);
      check(turn.getRequestId().equals("q1"), turn);
    }
  }

  void nothingOfATurnComesAfterItsInterruption() throws Exception {
    Heard heard = new Heard();
    try (Conversation conversation = client.converse(ConverseConfig.getDefaultInstance(), heard)) {
      conversation.say(LONG);
      heard.awaitAudio(15);
      TimeUnit.MILLISECONDS.sleep(700);
      conversation.interrupt();
      heard.await(Interrupted.class);
      int before = heard.media;
      TurnCompleted turn = heard.await(TurnCompleted.class);
      check(turn.getOutcome() == TurnOutcome.TURN_OUTCOME_INTERRUPTED, turn);
      check(!turn.getHeardText().isEmpty() && LONG.startsWith(turn.getHeardText()), turn);
      check(heard.media == before, "media of an interrupted turn came");
      check(conversation.played().getTurnId() == 1 && conversation.played().getStopped(), conversation.played());
    }
  }

  void aSessionGoesOnAfterItsStreamHasEnded() throws Exception {
    Heard heard = new Heard();
    Heard resumed = new Heard();
    Conversation first = client.converse(ConverseConfig.getDefaultInstance(), heard);
    String session = heard.await(SessionStarted.class).getSessionId();
    first.say(LONG);
    heard.awaitAudio(15);
    TimeUnit.MILLISECONDS.sleep(700);
    first.close();
    try (Conversation second = client.resume(first.resumeToken(), first.played(), resumed)) {
      SessionStarted started = resumed.await(SessionStarted.class);
      check(started.getResumed() && started.getSessionId().equals(session), started);
      check(started.getLastTurnId() == 1, started);
      resumed.awaitAudio(5);
      check(resumed.audio.get(0).getTurnId() == 2, "the rest of turn 1 is said as turn 2");
      check(!second.resumeToken().equals(first.resumeToken()));
    }
    check(heard.ends.equals(List.of("CANCELLED")), heard.ends);
  }

  void aRefusalTellsWhy() throws Exception {
    ConverseConfig wrong =
        ConverseConfig.newBuilder().setInputAudio(AudioFormat.newBuilder().setSampleRateHertz(7_000)).build();
    AvatarException refused = failed(client.converse(wrong, new Heard()));
    check(refused.code() == Code.INVALID_ARGUMENT && refused.reason().equals("FIELD_INVALID"), refused);
    check(refused.field().equals("config.input_audio.sample_rate_hertz"), refused.field());
    check(refused.retryAfter().isEmpty(), refused.retryAfter());
  }

  void whoSendsTooMuchIsToldWhenToTryAgain() throws Exception {
    Conversation conversation = client.converse(ConverseConfig.getDefaultInstance(), new Heard());
    for (int i = 0; i < 3_000; i++) {
      conversation.sendAudio(ByteString.copyFrom(new byte[320]));
    }
    AvatarException refused = failed(conversation);
    check(refused.reason().equals("MESSAGE_RATE_EXCEEDED") && refused.retryAfter().isPresent(), refused);
  }

  void aBusyListenerIsWaitedForAndMissesNoSound() throws Exception {
    long busyMs = 2_500;
    Heard heard =
        new Heard() {
          @Override
          public void onAudio(AudioChunk chunk) {
            super.onAudio(chunk);
            if (chunk.getIndex() == 3) {
              pause(busyMs);
            }
          }
        };
    try (Conversation conversation = client.converse(ConverseConfig.getDefaultInstance(), heard)) {
      conversation.say(LONG.substring(0, 72));
      heard.awaitAudio(0);
      long began = System.nanoTime();
      TurnCompleted turn = heard.await(TurnCompleted.class);
      long tookMs = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
      long voiceMs = 40L * heard.audio.size();
      check(turn.getOutcome() == TurnOutcome.TURN_OUTCOME_COMPLETED && !turn.getHeardEstimated(), turn);
      check(tookMs >= voiceMs + busyMs - 500, "it was told that nothing could be heard", tookMs, voiceMs);
    }
    for (int index = 0; index < heard.audio.size(); index++) {
      check(heard.audio.get(index).getIndex() == index, index);
    }
  }

  void aListenerThatThrowsEndsTheStream() throws Exception {
    Conversation conversation =
        client.converse(
            ConverseConfig.getDefaultInstance(),
            new ConversationListener() {
              @Override
              public void onSessionStarted(SessionStarted started) {
                throw new IllegalStateException("on purpose");
              }
            });
    check(failed(conversation).code() == Code.CANCELLED);
  }

  void sendingAfterTheEndIsHarmless() throws Exception {
    Conversation conversation = client.converse(ConverseConfig.getDefaultInstance(), new Heard());
    conversation.finish();
    conversation.await(WITHIN);
    conversation.sendText("too late");
    conversation.sendAudio(ByteString.copyFrom(new byte[2]));
    conversation.finish();
    conversation.close();
    conversation.close();
  }

  void otherCallsAreTheGeneratedClients() {
    check(client.blocking().listAvatars(ListAvatarsRequest.getDefaultInstance()).getAvatarsCount() > 0);
  }

  void aServerThatIsNotThereIsNamed() throws Exception {
    try (AvatarClient nowhere = AvatarClient.connect("127.0.0.1:1")) {
      AvatarException refused = failed(nowhere.converse(ConverseConfig.getDefaultInstance(), new Heard()));
      check(refused.code() == Code.UNAVAILABLE && refused.getMessage().contains("127.0.0.1:1"), refused.getMessage());
    }
  }

  private static AvatarException failed(Conversation conversation) throws Exception {
    try (conversation) {
      conversation.await(WITHIN);
    } catch (AvatarException error) {
      return error;
    }
    throw new AssertionError("it ended well");
  }

  private static void pause(long ms) {
    try {
      TimeUnit.MILLISECONDS.sleep(ms);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  /** Keeps what comes, for a test to wait for. */
  private static class Heard implements ConversationListener {
    final List<AudioChunk> audio = new ArrayList<>();
    final List<String> ends = new ArrayList<>();
    volatile int media;
    private final BlockingQueue<Object> events = new LinkedBlockingQueue<>();

    <E> E await(Class<E> kind) throws InterruptedException {
      for (Object event; (event = events.poll(WITHIN.toSeconds(), TimeUnit.SECONDS)) != null; ) {
        if (kind.isInstance(event)) {
          return kind.cast(event);
        }
        check(!(event instanceof AvatarException), event);
      }
      throw new AssertionError("no " + kind.getSimpleName());
    }

    void awaitAudio(int index) throws InterruptedException {
      while (await(AudioChunk.class).getIndex() < index) {
        // read on
      }
    }

    @Override
    public void onSessionStarted(SessionStarted started) {
      events.add(started);
    }

    @Override
    public void onAudio(AudioChunk chunk) {
      media++;
      audio.add(chunk);
      events.add(chunk);
    }

    @Override
    public void onFrame(Frame frame) {
      media++;
    }

    @Override
    public void onTurnStarted(TurnStarted started) {
      events.add(started);
    }

    @Override
    public void onInterrupted(Interrupted interrupted) {
      events.add(interrupted);
    }

    @Override
    public void onReplyFinished(ReplyFinished finished) {
      events.add(finished);
    }

    @Override
    public void onTurnCompleted(TurnCompleted completed) {
      events.add(completed);
    }

    @Override
    public void onNotice(Notice notice) {
      events.add(notice);
    }

    @Override
    public void onEnd(AvatarException error) {
      ends.add(error == null ? "well" : error.code().name());
      if (error != null) {
        events.add(error);
      }
    }
  }
}
