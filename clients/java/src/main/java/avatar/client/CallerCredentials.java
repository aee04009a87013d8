// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/** Says with each call who calls. Use it with TLS: in plain text everybody on the way can read it. */
public final class CallerCredentials extends CallCredentials {
  private final Metadata.Key<String> header;
  private final Supplier<String> value;

  private CallerCredentials(String header, Supplier<String> value) {
    this.header = Metadata.Key.of(header, Metadata.ASCII_STRING_MARSHALLER);
    this.value = value;
  }

  /** A JWT. {@code token} is asked for it at each call, so that a client outlives the token that it began with. */
  public static CallerCredentials token(Supplier<String> token) {
    return new CallerCredentials("authorization", () -> "Bearer " + token.get());
  }

  /** An API key. */
  public static CallerCredentials apiKey(String key) {
    return new CallerCredentials("x-api-key", () -> key);
  }

  @Override
  public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
    executor.execute(
        () -> {
          try {
            Metadata headers = new Metadata();
            headers.put(header, value.get());
            applier.apply(headers);
          } catch (RuntimeException error) {
            applier.fail(Status.UNAUTHENTICATED.withDescription("no credential could be had").withCause(error));
          }
        });
  }

  @Override
  public void thisUsesUnstableApi() {}
}
