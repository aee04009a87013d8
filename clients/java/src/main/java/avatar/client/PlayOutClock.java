// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import avatar.v1.AudioChunk;
import avatar.v1.PlaybackReport;
import com.google.protobuf.util.Durations;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * Where play-out stands. A turn plays in real time from its first audio on, waits when it runs dry, and ends with its
 * last sample; turns play one after another. Who has a loudspeaker tells it what was really heard. Thread-safe.
 */
public final class PlayOutClock {
  private static final class Turn {
    final long id;
    long samples;
    boolean finished;

    Turn(long id) {
      this.id = id;
    }
  }

  private final LongSupplier nanoTime;
  private final Deque<Turn> turns = new ArrayDeque<>(); // the first one is being played
  private final List<PlaybackReport> ended = new ArrayList<>();
  private int rateHertz = 24_000;
  private long positionNanos;
  private long nowNanos;
  private long interruptedId;
  private long playedId;
  private PlaybackReport last = PlaybackReport.getDefaultInstance();

  /** A clock with nothing to play; {@code nanoTime} is {@link System#nanoTime} but in tests. */
  public PlayOutClock(LongSupplier nanoTime) {
    this.nanoTime = nanoTime;
    this.nowNanos = nanoTime.getAsLong();
  }

  /** Sets the rate of the voice in samples a second. */
  public synchronized void setRate(int hertz) {
    rateHertz = hertz;
  }

  /** Takes note of audio that has come. */
  public synchronized void add(AudioChunk audio) {
    advance();
    if (turns.isEmpty() || turns.getLast().id != audio.getTurnId()) {
      turns.add(new Turn(audio.getTurnId()));
    }
    turns.getLast().samples += audio.getSampleCount();
  }

  /** Takes note that all audio of a turn has come. */
  public synchronized void finish(long turnId) {
    advance();
    turns.stream().filter(turn -> turn.id == turnId).forEach(turn -> turn.finished = true);
  }

  /** Stops {@code turnId} and all turns before it. */
  public synchronized void interrupt(long turnId) {
    advance();
    interruptedId = Math.max(interruptedId, turnId);
    long position = 0;
    while (!turns.isEmpty() && turns.getFirst().id <= turnId) {
      position = turns.removeFirst().id == turnId ? positionNanos : 0;
      positionNanos = 0;
    }
    ended.add(last = report(turnId, position, true));
  }

  /** Whether media of a turn are to be dropped, because it was interrupted. Idle frames, of turn 0, never are. */
  public synchronized boolean isInterrupted(long turnId) {
    return 0 < turnId && turnId <= interruptedId;
  }

  /** Takes note of how much of a turn has really been heard; between two notes it plays on. */
  public synchronized void heard(long turnId, long nanos) {
    advance();
    if (!turns.isEmpty() && turns.getFirst().id == turnId) {
      positionNanos = Math.min(nanos, length(turns.getFirst()));
    }
  }

  /** Nanoseconds of a turn that have been played: -1 before it begins, the greatest number once it has ended. */
  public synchronized long playedNanos(long turnId) {
    advance();
    if (!turns.isEmpty() && turns.getFirst().id == turnId) {
      return positionNanos;
    }
    return turnId <= Math.max(playedId, interruptedId) ? Long.MAX_VALUE : -1;
  }

  /** Whether a turn has begun to play and has not ended. */
  public synchronized boolean isPlaying() {
    advance();
    return !turns.isEmpty();
  }

  /** What the service is to be told: turns that have ended since the last call, and the one being played. */
  public synchronized List<PlaybackReport> reports() {
    advance();
    List<PlaybackReport> reports = new ArrayList<>(ended);
    ended.clear();
    if (!turns.isEmpty()) {
      reports.add(last = report(turns.getFirst().id, positionNanos, false));
    }
    return reports;
  }

  /** How far the last turn was played, for a resume; without a {@code turn_id} if nothing was. */
  public synchronized PlaybackReport played() {
    advance();
    PlaybackReport played = turns.isEmpty() ? last : report(turns.getFirst().id, positionNanos, true);
    return played.toBuilder().setStopped(true).build();
  }

  private void advance() {
    long now = nanoTime.getAsLong();
    long elapsed = now - nowNanos;
    nowNanos = now;
    while (!turns.isEmpty()) {
      Turn turn = turns.getFirst();
      long step = Math.min(elapsed, length(turn) - positionNanos);
      positionNanos += step;
      elapsed -= step;
      boolean dry = positionNanos >= length(turn);
      if (!dry || !(turn.finished || turns.size() > 1)) {
        return;
      }
      ended.add(last = report(turn.id, positionNanos, true));
      playedId = turn.id;
      turns.removeFirst();
      positionNanos = 0;
    }
  }

  private long length(Turn turn) {
    return turn.samples * 1_000_000_000L / rateHertz;
  }

  private static PlaybackReport report(long turnId, long nanos, boolean stopped) {
    return PlaybackReport.newBuilder()
        .setTurnId(turnId)
        .setPosition(Durations.fromNanos(nanos))
        .setStopped(stopped)
        .build();
  }
}
