// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import static avatar.client.Tests.check;

import avatar.v1.AudioChunk;
import avatar.v1.Frame;
import avatar.v1.PlaybackReport;
import com.google.protobuf.util.Durations;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/** Play-out, on a clock that tests move. */
final class PlayOutTest {
  private static final long MS = 1_000_000;

  void aTurnPlaysInRealTimeAndWaitsWhereItRunsDry() {
    Played played = new Played();
    played.audio(1, 3);
    played.pass(50);
    check(played.clock.playedNanos(1) == 50 * MS, played.clock.playedNanos(1));
    played.pass(500);
    check(played.clock.playedNanos(1) == 120 * MS, played.clock.playedNanos(1));
    played.audio(1, 1);
    played.pass(10);
    check(played.clock.playedNanos(1) == 130 * MS, played.clock.playedNanos(1));
    check(played.clock.isPlaying());
  }

  void aTurnEndsWithItsLastSampleAndTheNextOneBegins() {
    Played played = new Played();
    played.audio(1, 2);
    played.clock.finish(1);
    played.audio(2, 2);
    played.pass(100);
    check(played.clock.playedNanos(1) == Long.MAX_VALUE);
    check(played.clock.playedNanos(2) == 20 * MS, played.clock.playedNanos(2));
    List<PlaybackReport> reports = played.clock.reports();
    check(reports.equals(List.of(report(1, 80, true), report(2, 20, false))), reports);
    check(played.clock.reports().equals(List.of(report(2, 20, false))), "an end is told once");
  }

  void anInterruptedTurnIsReportedAsStoppedAndItsMediaAreDropped() {
    Played played = new Played();
    played.audio(1, 10);
    played.frame(1, 5);
    played.pass(90);
    played.clock.interrupt(1);
    check(played.clock.reports().equals(List.of(report(1, 90, true))));
    check(played.clock.isInterrupted(1) && !played.clock.isInterrupted(2) && !played.clock.isInterrupted(0));
    check(played.clock.played().equals(report(1, 90, true)), played.clock.played());
    PlayOut.Due due = played.playOut.take(10_000 * MS);
    check(due.audio().isEmpty() && due.frame().isEmpty(), due);
  }

  void whatWasReallyHeardCounts() {
    Played played = new Played();
    played.audio(1, 10);
    played.pass(200);
    played.clock.heard(1, 150 * MS);
    played.pass(10);
    check(played.clock.playedNanos(1) == 160 * MS, played.clock.playedNanos(1));
    played.clock.heard(1, 9_000 * MS);
    check(played.clock.playedNanos(1) == 400 * MS, "not more than has come");
  }

  void mediaAreTakenWhenTheyAreDue() {
    Played played = new Played();
    for (int index = 0; index < 4; index++) {
      played.audio(1, 1);
      played.frame(1, index);
    }
    PlayOut.Due first = played.playOut.take(0);
    check(first.audio().size() == 1 && first.frame().orElseThrow().getIndex() == 0, first);
    check(played.playOut.take(0).frame().isEmpty(), "the picture stays");
    played.pass(85);
    PlayOut.Due later = played.playOut.take(0);
    check(later.audio().size() == 2 && later.frame().orElseThrow().getIndex() == 2, later);
    check(played.playOut.take(40 * MS).audio().size() == 1, "ahead, for the loudspeaker");
  }

  void idleFramesComeAfterTheTurn() {
    Played played = new Played();
    played.audio(1, 1);
    played.playOut.take(0);
    played.frame(0, 0);
    check(played.playOut.take(0).frame().isEmpty());
    played.clock.finish(1);
    played.pass(40);
    check(played.playOut.take(0).frame().isPresent());
  }

  private static PlaybackReport report(long turnId, long ms, boolean stopped) {
    return PlaybackReport.newBuilder()
        .setTurnId(turnId)
        .setPosition(Durations.fromMillis(ms))
        .setStopped(stopped)
        .build();
  }

  /** A clock and a play-out of 24 kHz and 25 fps. */
  private static final class Played {
    private final AtomicLong now = new AtomicLong();
    private final PlayOutClock clock = new PlayOutClock(now::get);
    private final PlayOut playOut = new PlayOut(clock);
    private long turnId;
    private int chunks;

    void pass(long ms) {
      now.addAndGet(ms * MS);
    }

    void audio(long turn, int count) {
      chunks = turn == turnId ? chunks : 0;
      turnId = turn;
      for (int i = 0; i < count; i++, chunks++) {
        AudioChunk.Builder audio = AudioChunk.newBuilder().setTurnId(turn).setIndex(chunks).setSampleCount(960);
        clock.add(audio.setOffset(Durations.fromMillis(40L * chunks)).build());
        playOut.add(audio.build());
      }
    }

    void frame(long turn, int index) {
      Frame.Builder frame = Frame.newBuilder().setTurnId(turn).setIndex(index);
      playOut.add(frame.setOffset(Durations.fromMillis(40L * index)).build());
    }
  }
}
