// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import avatar.v1.AvatarServiceGrpc;
import avatar.v1.ConfigUpdate;
import avatar.v1.ConverseConfig;
import avatar.v1.ConverseRequest;
import avatar.v1.ConverseResponse;
import avatar.v1.Interrupt;
import avatar.v1.PlaybackReport;
import avatar.v1.Say;
import avatar.v1.SessionStarted;
import avatar.v1.ToolResults;
import avatar.v1.UserAudio;
import avatar.v1.UserText;
import avatar.v1.UtteranceEnded;
import avatar.v1.UtteranceStarted;
import com.google.protobuf.ByteString;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * An open {@code Converse} stream. Thread-safe.
 *
 * <p>Reads one response at a time, tells the service every 200 ms how far play-out has come, and drops media of turns
 * that were interrupted. What is sent after the stream's end is lost without an error: {@link #await} tells why it
 * ended.
 */
public final class Conversation implements AutoCloseable {
  private static final long REPORT_EVERY_MS = 200;
  /** How long audio waits for a service that is slow to take it. */
  private static final long SEND_WITHIN_NANOS = TimeUnit.SECONDS.toNanos(10);

  private final ConversationListener listener;
  private final PlayOutClock clock = new PlayOutClock(System::nanoTime);
  private final CompletableFuture<Void> ended = new CompletableFuture<>();
  private final Future<?> reporting;
  private final Object sending = new Object();
  private ClientCallStreamObserver<ConverseRequest> requests; // its sending half is guarded by `sending`
  private boolean finished; // guarded by `sending`
  private volatile String resumeToken = "";
  private volatile Thread listening;

  Conversation(
      AvatarServiceGrpc.AvatarServiceStub stub,
      ConverseConfig config,
      ConversationListener listener,
      ScheduledExecutorService timer) {
    this.listener = listener;
    synchronized (sending) { // nobody sends before the configuration
      reporting = timer.scheduleAtFixedRate(this::report, REPORT_EVERY_MS, REPORT_EVERY_MS, TimeUnit.MILLISECONDS);
      stub.converse(new Responses());
      send(ConverseRequest.newBuilder().setConfig(config));
    }
  }

  /**
   * Sends a piece of the user's audio, best 20 ms to 100 ms, encoded as {@code input_audio} of the configuration says.
   * Waits while the service is slow to take it, unless the listener calls.
   *
   * @throws AvatarException with {@code DEADLINE_EXCEEDED} if the service has taken nothing for 10 s
   */
  public void sendAudio(ByteString data) throws InterruptedException {
    synchronized (sending) {
      awaitReady();
      send(ConverseRequest.newBuilder().setAudio(UserAudio.newBuilder().setData(data)));
    }
  }

  /** Sends what the user typed. It is answered, and stops what is being spoken. */
  public void sendText(String text) {
    sendText(UserText.newBuilder().setText(text).build());
  }

  /** As above, with a {@code request_id}: under the same one it may be sent again on a stream that resumes this one. */
  public void sendText(UserText text) {
    send(ConverseRequest.newBuilder().setText(text));
  }

  /** Has the avatar say something as it stands, after what it is saying. */
  public void say(String text) {
    say(Say.newBuilder().setText(text).build());
  }

  /** Has the avatar say something as it stands. */
  public void say(Say say) {
    send(ConverseRequest.newBuilder().setSay(say));
  }

  /** The user begins to speak; with manual turn taking alone. */
  public void beginUtterance() {
    send(ConverseRequest.newBuilder().setUtteranceStarted(UtteranceStarted.getDefaultInstance()));
  }

  /** The user has finished speaking; with manual turn taking alone. */
  public void endUtterance() {
    send(ConverseRequest.newBuilder().setUtteranceEnded(UtteranceEnded.getDefaultInstance()));
  }

  /** Stops what is being spoken. */
  public void interrupt() {
    send(ConverseRequest.newBuilder().setInterrupt(Interrupt.getDefaultInstance()));
  }

  /** Changes settings from the next turn on. */
  public void update(ConfigUpdate update) {
    send(ConverseRequest.newBuilder().setConfigUpdate(update));
  }

  /** Answers tool calls. */
  public void sendToolResults(ToolResults results) {
    send(ConverseRequest.newBuilder().setToolResults(results));
  }

  /** Says that nothing more comes: what was begun is answered, then the stream ends well. */
  public void finish() {
    synchronized (sending) {
      if (!finished && !ended.isDone()) {
        finished = true;
        requests.onCompleted();
      }
    }
  }

  /**
   * Waits for the stream's end.
   *
   * @throws AvatarException if it did not end well
   * @throws TimeoutException if it has not ended in time
   */
  public void await(Duration timeout) throws InterruptedException, TimeoutException {
    try {
      ended.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (ExecutionException error) {
      throw AvatarException.of(error.getCause());
    }
  }

  /** Cancels the stream if it has not ended. The session can be resumed. */
  @Override
  public void close() {
    synchronized (sending) {
      finished = true;
      if (!ended.isDone()) {
        requests.cancel("closed", null);
      }
    }
  }

  /** Where play-out stands; who has a loudspeaker tells it what was heard. */
  public PlayOutClock clock() {
    return clock;
  }

  /** What resumes the session: a secret that works once. Empty before the session has started, or if nothing does. */
  public String resumeToken() {
    return resumeToken;
  }

  /** How far the last turn was played, for a resume. */
  public PlaybackReport played() {
    return clock.played();
  }

  private void send(ConverseRequest.Builder request) {
    synchronized (sending) {
      if (!finished && !ended.isDone()) {
        requests.onNext(request.build());
      }
    }
  }

  private void awaitReady() throws InterruptedException {
    long deadline = System.nanoTime() + SEND_WITHIN_NANOS;
    while (!requests.isReady() && !ended.isDone() && Thread.currentThread() != listening) {
      long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
      if (left <= 0) {
        throw AvatarException.of(
            io.grpc.Status.DEADLINE_EXCEEDED.withDescription("the service takes no audio").asRuntimeException());
      }
      sending.wait(left);
    }
  }

  private void wakeSenders() {
    synchronized (sending) {
      sending.notifyAll();
    }
  }

  private void report() {
    clock.reports().forEach(report -> send(ConverseRequest.newBuilder().setPlaybackReport(report)));
  }

  private void started(SessionStarted started) {
    clock.setRate(started.getConfig().getOutputAudio().getSampleRateHertz());
    resumeToken = started.getResumeToken();
  }

  private void end(Throwable error) {
    AvatarException failure = error == null ? null : AvatarException.of(error);
    reporting.cancel(false);
    try {
      listener.onEnd(failure);
    } finally {
      if (failure == null) {
        ended.complete(null);
      } else {
        ended.completeExceptionally(failure);
      }
      wakeSenders();
    }
  }

  /** Takes responses off the stream, one at a time. */
  private final class Responses implements ClientResponseObserver<ConverseRequest, ConverseResponse> {
    @Override
    public void beforeStart(ClientCallStreamObserver<ConverseRequest> stream) {
      requests = stream;
      stream.disableAutoRequestWithInitial(1);
      stream.setOnReadyHandler(Conversation.this::wakeSenders);
    }

    @Override
    public void onNext(ConverseResponse response) {
      listening = Thread.currentThread();
      try {
        take(response);
      } finally {
        listening = null;
      }
      requests.request(1);
    }

    @Override
    public void onError(Throwable error) {
      end(error);
    }

    @Override
    public void onCompleted() {
      end(null);
    }

    private void take(ConverseResponse response) {
      switch (response.getPayloadCase()) {
        case AUDIO -> {
          if (!clock.isInterrupted(response.getAudio().getTurnId())) {
            clock.add(response.getAudio());
            listener.onAudio(response.getAudio());
          }
        }
        case FRAME -> {
          if (!clock.isInterrupted(response.getFrame().getTurnId())) {
            listener.onFrame(response.getFrame());
          }
        }
        case INTERRUPTED -> {
          clock.interrupt(response.getInterrupted().getTurnId());
          report();
          listener.onInterrupted(response.getInterrupted());
        }
        case REPLY_FINISHED -> {
          clock.finish(response.getReplyFinished().getTurnId());
          listener.onReplyFinished(response.getReplyFinished());
        }
        case SESSION_STARTED -> {
          started(response.getSessionStarted());
          listener.onSessionStarted(response.getSessionStarted());
        }
        case GO_AWAY -> {
          resumeToken = response.getGoAway().getResumeToken();
          listener.onGoAway(response.getGoAway());
        }
        case SPEECH_STARTED -> listener.onSpeechStarted(response.getSpeechStarted());
        case SPEECH_STOPPED -> listener.onSpeechStopped(response.getSpeechStopped());
        case TRANSCRIPT -> listener.onTranscript(response.getTranscript());
        case TURN_STARTED -> listener.onTurnStarted(response.getTurnStarted());
        case REPLY_TEXT -> listener.onReplyText(response.getReplyText());
        case SPOKEN_TEXT -> listener.onSpokenText(response.getSpokenText());
        case TURN_COMPLETED -> listener.onTurnCompleted(response.getTurnCompleted());
        case TOOL_CALLS -> listener.onToolCalls(response.getToolCalls());
        case NOTICE -> listener.onNotice(response.getNotice());
        default -> listener.onOther(response);
      }
    }
  }
}
