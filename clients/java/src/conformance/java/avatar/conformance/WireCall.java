// SPDX-License-Identifier: Apache-2.0

package avatar.conformance;

import avatar.client.AvatarException;
import avatar.v1.AvatarServiceGrpc;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** One call by its name, whose requests are bytes. Asks for a response only when one is to be read. */
final class WireCall {
  /** How a call ended. */
  record End(Status status, avatar.v1.Status details) {}

  private static final Object ENDED = new Object();

  private final MethodDescriptor<?, ?> method;
  private final ClientCall<byte[], byte[]> call;
  private final LinkedBlockingQueue<Object> responses = new LinkedBlockingQueue<>(); // one asked for, and the end
  private final CompletableFuture<End> end = new CompletableFuture<>();
  private boolean atEnd;
  private boolean closed;

  WireCall(Channel channel, String name, Metadata metadata, long deadlineMs) {
    method =
        AvatarServiceGrpc.getServiceDescriptor().getMethods().stream()
            .filter(one -> one.getBareMethodName().equals(name))
            .findFirst()
            .orElseThrow();
    MethodDescriptor<byte[], byte[]> raw =
        MethodDescriptor.<byte[], byte[]>newBuilder(new Bytes(), new Bytes())
            .setFullMethodName(method.getFullMethodName())
            .setType(method.getType())
            .build();
    call = channel.newCall(raw, CallOptions.DEFAULT.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS));
    call.start(new Listener(), metadata);
  }

  /** An empty request of this call. */
  Message request() {
    return prototype(method.getRequestMarshaller());
  }

  /** Sends one request; what takes one alone is half-closed with it. A stream that has ended takes none. */
  void send(byte[] request) {
    if (closed || end.isDone()) {
      return;
    }
    call.sendMessage(request);
    if (method.getType().clientSendsOneMessage()) {
      halfClose();
    }
  }

  void halfClose() {
    closed = true;
    call.halfClose();
  }

  void cancel() {
    closed = true;
    call.cancel("cancelled by the script", null);
  }

  /** The next response, or null at the end of the call. */
  Message read(long deadlineNanos) throws InterruptedException, TimeoutException, InvalidProtocolBufferException {
    if (atEnd) {
      return null;
    }
    call.request(1);
    Object response = responses.poll(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
    if (response == null) {
      throw new TimeoutException();
    }
    if (response == ENDED) {
      atEnd = true;
      return null;
    }
    return prototype(method.getResponseMarshaller()).getParserForType().parseFrom((byte[]) response);
  }

  /** How the call ended, once {@link #read} has told that it did. */
  End end() {
    return end.join();
  }

  private static Message prototype(MethodDescriptor.Marshaller<?> marshaller) {
    return (Message) ((MethodDescriptor.PrototypeMarshaller<?>) marshaller).getMessagePrototype();
  }

  private final class Listener extends ClientCall.Listener<byte[]> {
    @Override
    public void onMessage(byte[] message) {
      responses.add(message);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      end.complete(new End(status, AvatarException.details(trailers)));
      responses.add(ENDED);
    }
  }

  private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }
}
