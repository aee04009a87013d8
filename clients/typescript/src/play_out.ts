// Where the listener is. The clock follows the audio: a turn plays from its first audio on, in real time, waits when it
// runs dry, and ends where `replyFinished` says. All times are seconds; none is read here.

/** How far a turn was played. */
export interface Playback {
  turnId: number;
  position: number;
  stopped: boolean;
}

interface Turn {
  turnId: number;
  received: number;
  finished: boolean;
}

const EPSILON = 1e-6;

/** Play-out as it is told to the service. Turns play one after another, in the order in which their audio comes. */
export class PlayOutClock {
  #turns: Turn[] = [];
  #position = 0;
  #now = 0;
  #ended: Playback[] = [];
  #last: Playback | undefined;
  #frozen = false;
  #flushed = 0;

  /** Whether media of the turn are to be dropped: it was interrupted, or broke off with its stream. */
  isFlushed(turnId: number): boolean {
    return turnId > 0 && turnId <= this.#flushed;
  }

  /** Takes note of received audio. */
  add(turnId: number, duration: number, now: number): void {
    this.#advance(now);
    const last = this.#turns.at(-1);
    if (last?.turnId === turnId) last.received += duration;
    else this.#turns.push({ turnId, received: duration, finished: false });
  }

  /** Takes note that all audio of a turn has come. */
  finish(turnId: number, now: number): void {
    this.#advance(now);
    for (const turn of this.#turns) turn.finished ||= turn.turnId === turnId;
    this.#advance(now);
  }

  /** Stops `turnId` and all before it; the next `reports` tell how far it was played. */
  interrupt(turnId: number, now: number): void {
    this.#advance(now);
    const current = this.#turns[0];
    this.#flushed = Math.max(this.#flushed, turnId);
    this.#end(turnId, current?.turnId === turnId ? this.#position : 0);
    if (current && current.turnId <= turnId) this.#position = 0;
    this.#turns = this.#turns.filter((turn) => turn.turnId > turnId);
  }

  /** Takes note of what a player has really played of a turn; from there the clock goes on by itself. */
  correct(turnId: number, position: number, now: number): void {
    this.#advance(now);
    const turn = this.#turns[0];
    if (turn?.turnId === turnId && !this.#frozen) this.#position = Math.min(position, turn.received);
  }

  /** Stops all, as the stream has broken: returns what was played of the last turn, undefined if nothing was. */
  freeze(now: number): Playback | undefined {
    this.#advance(now);
    this.#frozen = true;
    const turn = this.#turns[0];
    return turn ? { turnId: turn.turnId, position: this.#position, stopped: true } : this.#last;
  }

  /** Begins anew on another stream: what came of the turns up to `lastTurnId` is void, and not reported. */
  restart(lastTurnId: number): void {
    this.#turns = [];
    this.#ended = [];
    this.#last = undefined;
    this.#position = 0;
    this.#frozen = false;
    this.#flushed = Math.max(this.#flushed, lastTurnId);
  }

  /** Seconds until the turn that is played ends; infinite while that is not known. */
  endsIn(now: number): number {
    this.#advance(now);
    const turn = this.#turns[0];
    return turn?.finished && !this.#frozen ? turn.received - this.#position : Infinity;
  }

  /** What to tell the service: turns that ended since the last call, and the one that is played. */
  reports(now: number): Playback[] {
    this.#advance(now);
    const reports = this.#ended.splice(0);
    const turn = this.#turns[0];
    if (turn && !this.#frozen) reports.push({ turnId: turn.turnId, position: this.#position, stopped: false });
    return reports;
  }

  #advance(now: number): void {
    let elapsed = Math.max(0, now - this.#now);
    this.#now = Math.max(now, this.#now);
    while (!this.#frozen && this.#turns[0]) {
      const turn = this.#turns[0];
      const step = Math.min(elapsed, turn.received - this.#position);
      this.#position += step;
      elapsed -= step;
      // Audio of a later turn ends the one before it, should its `replyFinished` be missing.
      const isOver = turn.finished || this.#turns.length > 1;
      if (!isOver || this.#position < turn.received - EPSILON) return;
      this.#end(turn.turnId, this.#position);
      this.#turns.shift();
      this.#position = 0;
    }
  }

  #end(turnId: number, position: number): void {
    this.#last = { turnId, position, stopped: true };
    this.#ended.push(this.#last);
  }
}
