// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import avatar.v1.AudioChunk;
import avatar.v1.Frame;
import com.google.protobuf.util.Durations;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/**
 * Holds media until they are due, for a window and a loudspeaker: give it what {@link ConversationListener#onAudio} and
 * {@link ConversationListener#onFrame} get, and {@link #take} on each tick. Media of interrupted turns are dropped.
 * Thread-safe. The service's lead, at most 5 s, bounds what is held.
 */
public final class PlayOut {
  /** What the moment has come for: the picture to show, if it is to change, and the audio to be heard. */
  public record Due(Optional<Frame> frame, List<AudioChunk> audio) {}

  private record Media(long turnId, long offsetNanos, Object message) {}

  private final PlayOutClock clock;
  private final Deque<Media> held = new ArrayDeque<>();

  /** Holds nothing yet; {@code clock} is {@link Conversation#clock}. */
  public PlayOut(PlayOutClock clock) {
    this.clock = clock;
  }

  /** Holds a piece of the voice. */
  public synchronized void add(AudioChunk audio) {
    held.add(new Media(audio.getTurnId(), Durations.toNanos(audio.getOffset()), audio));
  }

  /** Holds a picture. */
  public synchronized void add(Frame frame) {
    held.add(new Media(frame.getTurnId(), Durations.toNanos(frame.getOffset()), frame));
  }

  /**
   * What is due.
   *
   * @param aheadNanos takes what is due so much later too: what a loudspeaker wants to have in hand
   */
  public synchronized Due take(long aheadNanos) {
    Frame frame = null;
    List<AudioChunk> audio = new ArrayList<>();
    held.removeIf(media -> clock.isInterrupted(media.turnId));
    while (!held.isEmpty() && isDue(held.getFirst(), aheadNanos)) {
      Object message = held.removeFirst().message;
      if (message instanceof AudioChunk chunk) {
        audio.add(chunk);
      } else {
        frame = (Frame) message;
      }
    }
    return new Due(Optional.ofNullable(frame), audio);
  }

  private boolean isDue(Media media, long aheadNanos) {
    if (media.turnId == 0) {
      return !clock.isPlaying(); // frames of the silent avatar follow the turn before them
    }
    return media.offsetNanos - aheadNanos <= clock.playedNanos(media.turnId);
  }
}
