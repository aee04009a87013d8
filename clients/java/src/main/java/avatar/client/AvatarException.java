// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import avatar.v1.Status;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.Durations;
import io.grpc.Metadata;
import java.time.Duration;
import java.util.Optional;

/** A call that failed: its gRPC status, and what the service says of it. */
public final class AvatarException extends RuntimeException {
  private static final long serialVersionUID = 1;
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  private final io.grpc.Status.Code code;
  private final transient Status status;

  private AvatarException(io.grpc.Status grpc, Status status, Throwable cause) {
    super(said(grpc), cause);
    this.code = grpc.getCode();
    this.status = status;
  }

  private static String said(io.grpc.Status grpc) {
    StringBuilder said = new StringBuilder(grpc.getCode().name());
    if (grpc.getDescription() != null) {
      said.append(": ").append(grpc.getDescription());
    }
    if (grpc.getCause() != null) { // such as a refused connection
      said.append(" (").append(grpc.getCause().getMessage()).append(')');
    }
    return said.toString();
  }

  /** What {@code error}, as gRPC raises it, says. */
  public static AvatarException of(Throwable error) {
    if (error instanceof AvatarException already) {
      return already;
    }
    return new AvatarException(
        io.grpc.Status.fromThrowable(error), details(io.grpc.Status.trailersFromThrowable(error)), error);
  }

  /** What trailing metadata say of a failure; an empty message where they say nothing. */
  public static Status details(Metadata trailers) {
    byte[] details = trailers == null ? null : trailers.get(DETAILS);
    try {
      return details == null ? Status.getDefaultInstance() : Status.parseFrom(details);
    } catch (InvalidProtocolBufferException error) {
      return Status.getDefaultInstance(); // a proxy's own, or a newer one: the code stays
    }
  }

  /** The gRPC status code. */
  public io.grpc.Status.Code code() {
    return code;
  }

  /** Why, to branch on, such as {@code SESSIONS_EXHAUSTED}; empty if the service did not say. */
  public String reason() {
    return status.getErrorInfo().getReason();
  }

  /** Path of the request's field at fault; empty if it is none. */
  public String field() {
    return status.getField();
  }

  /** How long to wait before another try; empty if none is useful. */
  public Optional<Duration> retryAfter() {
    return status.hasRetryDelay()
        ? Optional.of(Duration.ofNanos(Durations.toNanos(status.getRetryDelay())))
        : Optional.empty();
  }
}
