import assert from "node:assert/strict";
import { test } from "node:test";
import { PlayOutClock } from "avatar-client";

test("a turn is played in real time, as far as its audio has come", () => {
  const clock = new PlayOutClock();
  clock.add(1, 0.5, 10);
  assert.deepEqual(clock.reports(10.2).map(({ position }) => Number(position.toFixed(3))), [0.2]);
  assert.deepEqual(clock.reports(11), [{ turnId: 1, position: 0.5, stopped: false }]);
  clock.add(1, 0.5, 12);
  assert.equal(clock.reports(12.1)[0]?.position.toFixed(3), "0.600");
});

test("a turn that is played to its end is reported once, as stopped", () => {
  const clock = new PlayOutClock();
  clock.add(1, 0.5, 0);
  clock.finish(1, 0.1);
  assert.equal(clock.endsIn(0.1).toFixed(3), "0.400");
  assert.deepEqual(clock.reports(0.6), [{ turnId: 1, position: 0.5, stopped: true }]);
  assert.deepEqual(clock.reports(0.7), []);
});

test("an interrupted turn is reported where it stopped, and its media are flushed", () => {
  const clock = new PlayOutClock();
  clock.add(1, 2, 0);
  clock.interrupt(1, 0.3);
  assert.deepEqual(clock.reports(1), [{ turnId: 1, position: 0.3, stopped: true }]);
  assert.ok(clock.isFlushed(1));
  assert.ok(!clock.isFlushed(2) && !clock.isFlushed(0));
});

test("a turn that was interrupted before anything of it was played is reported at 0", () => {
  const clock = new PlayOutClock();
  clock.interrupt(3, 1);
  assert.deepEqual(clock.reports(1), [{ turnId: 3, position: 0, stopped: true }]);
});

test("a player's own position counts, up to what has come", () => {
  const clock = new PlayOutClock();
  clock.add(1, 1, 0);
  clock.correct(1, 0.1, 0.5);
  assert.equal(clock.reports(0.7)[0]?.position.toFixed(3), "0.300");
  clock.correct(1, 5, 0.8);
  assert.equal(clock.reports(0.8)[0]?.position, 1);
  clock.correct(2, 0.5, 0.8);
  assert.equal(clock.reports(0.8)[0]?.turnId, 1);
});

test("a break stops play-out, and what came of the turns before the resume is void", () => {
  const clock = new PlayOutClock();
  clock.add(4, 2, 0);
  assert.deepEqual(clock.freeze(0.5), { turnId: 4, position: 0.5, stopped: true });
  assert.deepEqual(clock.reports(2), []);
  clock.restart(4);
  assert.ok(clock.isFlushed(4));
  clock.add(5, 1, 3);
  assert.equal(clock.reports(3.25)[0]?.position, 0.25);
});

test("the voice of the next turn ends the one before it", () => {
  const clock = new PlayOutClock();
  clock.add(1, 0.5, 0);
  clock.add(2, 0.5, 0.1);
  const reports = clock.reports(0.7);
  assert.deepEqual(reports[0], { turnId: 1, position: 0.5, stopped: true });
  assert.equal(reports[1]?.turnId, 2);
  assert.equal(reports[1]?.position.toFixed(3), "0.200");
});
