// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import avatar.v1.AvatarServiceGrpc;
import avatar.v1.ConverseConfig;
import avatar.v1.PlaybackReport;
import avatar.v1.Resume;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** A connection to the service. May be used by many threads, for many conversations at once. */
public final class AvatarClient implements AutoCloseable {
  /** Bytes that the service may send ahead of a listener that is busy: a quarter of a second of video, not several. */
  private static final int WINDOW_BYTES = 256 * 1024;

  private static final long CLOSE_WITHIN_S = 5;
  /** During calls: proxies drop silent connections without a word, and a network may vanish. */
  private static final long SIGN_OF_LIFE_EVERY_S = 20;

  private static final long SIGN_OF_LIFE_WITHIN_S = 10;

  private final ManagedChannel channel;
  private final AvatarServiceGrpc.AvatarServiceStub stub;
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "avatar-playback-reports");
            thread.setDaemon(true);
            return thread;
          });

  private AvatarClient(ManagedChannel channel, CallCredentials caller) {
    this.channel = channel;
    this.stub = AvatarServiceGrpc.newStub(channel).withCallCredentials(caller);
  }

  /** Connects to {@code HOST:PORT} in plain text, for a service on this machine or behind a mesh's own sidecar. */
  public static AvatarClient connect(String target) {
    return connect(target, InsecureChannelCredentials.create(), null);
  }

  /**
   * Connects to {@code HOST:PORT}.
   *
   * @param credentials for example {@code TlsChannelCredentials.newBuilder().trustManager(ca).build()}
   * @param caller a token or a key, see {@link CallerCredentials}; null for none
   */
  public static AvatarClient connect(String target, ChannelCredentials credentials, CallCredentials caller) {
    ManagedChannel channel =
        NettyChannelBuilder.forTarget(target, credentials)
            .flowControlWindow(WINDOW_BYTES)
            .keepAliveTime(SIGN_OF_LIFE_EVERY_S, TimeUnit.SECONDS)
            .keepAliveTimeout(SIGN_OF_LIFE_WITHIN_S, TimeUnit.SECONDS)
            .build();
    return new AvatarClient(channel, caller);
  }

  /**
   * Begins a conversation.
   *
   * @param config everything may be left out
   * @param listener is told what comes
   */
  public Conversation converse(ConverseConfig config, ConversationListener listener) {
    return new Conversation(stub, config, listener, timer);
  }

  /**
   * Goes on with a session whose stream has ended, on a new stream.
   *
   * @param resumeToken {@link Conversation#resumeToken} of the stream before; works once
   * @param played {@link Conversation#played} of the stream before
   */
  public Conversation resume(String resumeToken, PlaybackReport played, ConversationListener listener) {
    Resume.Builder resume = Resume.newBuilder().setResumeToken(resumeToken);
    if (played.getTurnId() > 0) {
      resume.setPlayback(played);
    }
    return converse(ConverseConfig.newBuilder().setResume(resume).build(), listener);
  }

  /** The generated client for all other calls, such as {@code blocking().listAvatars(...)}. */
  public AvatarServiceGrpc.AvatarServiceBlockingStub blocking() {
    return AvatarServiceGrpc.newBlockingStub(channel).withCallCredentials(stub.getCallOptions().getCredentials());
  }

  /** Ends what is still open and closes the connection. */
  @Override
  public void close() {
    timer.shutdownNow();
    channel.shutdownNow();
    try {
      channel.awaitTermination(CLOSE_WITHIN_S, TimeUnit.SECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }
}
