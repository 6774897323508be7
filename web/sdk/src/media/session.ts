/**
 * The media of one call, over as many connections as it takes. A path that breaks is replaced by a fresh join with fresh
 * parameters; until the new one is there the old one stays, so that its last pictures do, and goes on if it comes back. It
 * tries without end.
 *
 * Without signalling there are no fresh parameters: a path that breaks meanwhile waits for its return, which brings them.
 */

import type { PathState } from "../call/state.ts";
import { Backoff, MEDIA_STEPS } from "../core/backoff.ts";
import { ConvokeError } from "../core/errors.ts";
import { Wait } from "../core/timer.ts";
import type { JoinParameters, ParticipationId, Source } from "../wire.ts";
import { MediaConnection, type SendPurpose } from "./connection.ts";
import { diagnose } from "./diagnose.ts";
import { PathMonitor } from "./path-monitor.ts";

/** What a media session needs of its call, and tells it. */
export interface SessionContext {
  /** Fresh parameters from the service; rejects while there are none to be had. */
  parameters(): Promise<JoinParameters>;
  path(state: PathState, error?: ConvokeError): void;
  /** The slots have changed, or the connection has. */
  changed(): void;
  /** Nothing comes in any more, or something does again. */
  receiving(isReceiving: boolean): void;
}

/** Time for an attempt: the second and later ones have more, for those who are slow and not cut off. */
const CONNECT_MS = [6_000, 8_000, 12_000] as const;
/** An attempt that has taken so long when signalling comes back began while the way was cut. */
const YOUNG_MS = 1_000;
/** A path that is merely disturbed may come back by itself this long. */
const DISTURBED_MS = 2_500;
/** A path that does not come about, or has stood before, has failed when an attempt fails after this. */
const FAILED_MS = { first: 2_000, again: 6_000 };
/** The loss of a path that has stood for less is one more failure: it is not joined again without a pause. */
const STOOD_MS = 3_000;
/** Signalling that is back brings parameters; if not, they are asked for after this. */
const ASK_MS = 1_500;
/** Without a word from the service a call that was left is closed after this. */
const LINGER_MS = 2_000;

export class MediaSession {
  readonly #context: SessionContext;
  readonly #tracks = new Map<SendPurpose, MediaStreamTrack>();
  readonly #backoff = new Backoff(MEDIA_STEPS);
  #current: MediaConnection | undefined;
  /** The one that is being made. */
  #next: MediaConnection | undefined;
  readonly #attempt = new Wait();
  readonly #retry = new Wait();
  #beganMs = 0;
  #arrivedMs = 0;
  /** A path that was lost is not joined again before this. */
  #notBeforeMs = 0;
  /** Fresh parameters are being asked for. */
  #asking = false;
  /** Those that the service has just sent of itself. */
  #fresh: JoinParameters | undefined;
  /** Counts connections, so that parameters that were asked for before the last one come to nothing. */
  #generation = 0;
  readonly #monitor = new PathMonitor({
    signs: async () => (await this.#current?.signsOfLife(this.#tracks.size > 0)) ?? 0,
    isQuiet: () => this.#tracks.size === 0,
    receiving: (isReceiving) => this.#handleReceiving(isReceiving),
    dead: () => this.#dead(),
  });
  /** Nothing came in on the path when it was last looked at. */
  #doubtful = false;
  /** The path is to be replaced, though the browser may still call it connected. */
  #broken = false;
  #signalling: "up" | "down" | "back" = "up";
  /** Since when there has been no path; undefined while there is one. */
  #withoutMs: number | undefined;
  #wasUp = false;
  /** What the last attempt came to, until there is a path. */
  #error: ConvokeError | undefined;
  #stopped = false;
  /** Nothing is forwarded yet, and a failure is no reason for another attempt. */
  #warming = false;

  constructor(context: SessionContext) {
    this.#context = context;
  }

  /** Prepares the path while it rings: no device is opened, nothing flows. */
  warm(join: JoinParameters): void {
    if (this.#current || this.#next || this.#stopped) return;
    this.#warming = true;
    void this.#connect(join);
  }

  /**
   * Joins. A path that was warmed for the same participation is kept, and so is one on which something comes in: where
   * signalling was lost and is back, that has to show at once.
   */
  start(join: JoinParameters): void {
    const wasWarm = this.#warming;
    this.#warming = false;
    const isBack = this.#signalling === "back";
    if (isBack) this.#signalling = "up";
    const warmed = this.#current ?? this.#next;
    if (wasWarm && warmed?.join.participation === join.participation && isAlive(warmed)) {
      if (!isBack) return this.#reportPath();
    } else if (wasWarm || !warmed) {
      return void this.#connect(join);
    }
    if (isBack) this.#prove(join);
    else if (!this.#next && (this.#broken || this.#current?.path !== "connected")) void this.#connect(join);
  }

  async setTrack(purpose: SendPurpose, track: MediaStreamTrack | undefined): Promise<void> {
    if (track) this.#tracks.set(purpose, track);
    else this.#tracks.delete(purpose);
    const connections = [this.#current, this.#next].filter((connection) => connection !== undefined);
    await Promise.all(connections.map((connection) => connection.setTrack(purpose, track ?? null)));
  }

  /** The picture or sound of a participation, if it is in a slot. */
  track(participation: ParticipationId, source: Source): MediaStreamTrack | undefined {
    const mid = this.#current?.slots.midOf(participation, source);
    return mid === undefined ? undefined : this.#current?.track(mid);
  }

  audioTracks(): MediaStreamTrack[] {
    return this.#current?.audioTracks() ?? [];
  }

  level(participation: ParticipationId): number {
    const mid = this.#current?.slots.midOf(participation, "microphone");
    return mid === undefined ? 0 : (this.#current?.level(mid) ?? 0);
  }

  /** Whether the picture of a participation, which has been there, has stopped. */
  isStill(participation: ParticipationId): boolean {
    const mid = this.#current?.slots.midOf(participation, "camera");
    return mid !== undefined && (this.#current?.isStill(mid, participation) ?? false);
  }

  /** Whether pictures or sound have come in within the last moments. */
  receives(): boolean {
    return this.#current?.receives() ?? false;
  }

  /** The network may be back, or another: find out at once. */
  retryNow(): void {
    if (this.#isWanted() && !this.#next && !this.#asking) this.#later(0);
    else if (this.#tracks.size > 0) this.#monitor.probe();
  }

  /** The person asks for an attempt now. */
  retry(): void {
    if (!this.#isWanted()) return;
    this.#dropNext();
    this.#backoff.reset();
    if (!this.#asking) this.#later(0);
  }

  signalling(state: "up" | "down"): void {
    if (state === "down") {
      this.#signalling = "down";
      this.#fresh = undefined;
    } else if (this.#signalling === "down") {
      this.#signalling = "back";
      if (this.#isWanted()) this.#later(ASK_MS);
    }
  }

  /** For good. The connections that stand may do so until `over`, and not for long: nothing comes of them any more. */
  stop(over?: Promise<unknown>): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#rest();
    if (over) void Promise.race([over, pause(LINGER_MS)]).then(() => this.#close());
    else this.#close();
  }

  /** The page goes away, or is suspended: media starts from the beginning after that. */
  suspend(): void {
    this.#generation += 1;
    this.#rest();
    this.#close();
  }

  /** There is no path, and there is to be one. */
  #isWanted(): boolean {
    return this.#withoutMs !== undefined && !this.#warming && !this.#stopped;
  }

  #rest(): void {
    this.#attempt.cancel();
    this.#retry.cancel();
    this.#monitor.stop();
  }

  #close(): void {
    this.#current?.close();
    this.#next?.close();
    this.#current = this.#next = undefined;
  }

  async #connect(join: JoinParameters): Promise<void> {
    this.#generation += 1;
    this.#fresh = undefined;
    this.#retry.cancel();
    this.#next?.close();
    const connection = new MediaConnection(join, {
      path: (state) => this.#pathChanged(connection, state),
      slots: () => connection === this.#current && this.#context.changed(),
      closed: () => connection === this.#current && !this.#stopped && this.#lost(0),
    });
    this.#next = connection;
    this.#beganMs = performance.now();
    this.#withoutMs ??= this.#current && !this.#broken ? undefined : this.#beganMs;
    this.#showAttempt();
    const timeoutMs = CONNECT_MS[Math.min(this.#backoff.attempt, CONNECT_MS.length - 1)] ?? CONNECT_MS[0];
    this.#attempt.start(timeoutMs, () => this.#failed(connection, diagnosis(connection)));
    try {
      await connection.open(this.#tracks);
      for (const [purpose, track] of this.#tracks) await connection.setTrack(purpose, track);
    } catch (error) {
      this.#failed(connection, typed(error));
    }
  }

  /** What failed before goes on to be shown while it is tried again. */
  #showAttempt(): void {
    if (this.#error) this.#context.path("failed", this.#error);
    else if (!this.#current) this.#context.path("connecting");
    else if (this.#broken) this.#context.path("lost");
  }

  /** Signalling was away. Where nothing comes in now, path or attempt were of the time before. */
  #prove(join: JoinParameters): void {
    if (this.#next) {
      if (performance.now() - this.#beganMs > YOUNG_MS) void this.#connect(join);
    } else if (this.#broken || this.#current?.path !== "connected") {
      void this.#connect(join);
    } else {
      this.#fresh = join;
      this.#monitor.probe();
    }
  }

  #pathChanged(connection: MediaConnection, state: RTCPeerConnectionState): void {
    if (this.#stopped) return;
    if (connection === this.#next && state === "connected") return this.#arrived(connection);
    if (connection === this.#next && state === "failed") return this.#failed(connection, diagnosis(connection));
    if (connection !== this.#current) return;
    if (state === "disconnected") this.#lost(DISTURBED_MS);
    else if (state === "failed" || state === "closed") this.#lost(0);
  }

  #arrived(connection: MediaConnection): void {
    this.#attempt.cancel();
    this.#current?.close();
    this.#current = connection;
    this.#next = undefined;
    this.#arrivedMs = performance.now();
    this.#monitor.start();
    this.#reportPath();
    this.#context.receiving(true);
  }

  #recovered(): void {
    this.#retry.cancel();
    this.#reportPath();
    this.#context.receiving(true);
  }

  #reportPath(): void {
    if (this.#current?.path === "connected") {
      this.#broken = this.#doubtful = false;
      this.#withoutMs = this.#error = undefined;
      this.#wasUp = true;
      this.#context.path("up");
    }
    this.#context.changed();
  }

  #handleReceiving(isReceiving: boolean): void {
    if (isReceiving) this.#fresh = undefined;
    if (this.#current?.path !== "connected" || this.#warming) return;
    const doubted = this.#broken || this.#doubtful;
    if (isReceiving && doubted) return this.#recovered();
    if (isReceiving || doubted) return;
    this.#doubtful = true;
    this.#context.path("doubtful");
    this.#context.receiving(false);
  }

  #dead(): void {
    if (!this.#next && !this.#retry.isOn && !this.#asking) this.#lost(0);
  }

  #failed(connection: MediaConnection, error: ConvokeError): void {
    if (connection !== this.#next || this.#stopped) return;
    this.#dropNext();
    if (this.#warming || (this.#current?.path === "connected" && !this.#broken)) return;
    const waitMs = this.#backoff.nextMs();
    const withoutMs = performance.now() - (this.#withoutMs ?? performance.now());
    const isFailed = withoutMs >= (this.#wasUp ? FAILED_MS.again : FAILED_MS.first);
    if (isFailed || error.code === "media_loopback_firefox") this.#error = error;
    this.#showAttempt();
    this.#later(waitMs);
  }

  #dropNext(): void {
    this.#attempt.cancel();
    this.#next?.close();
    this.#next = undefined;
  }

  #lost(waitMs: number): void {
    if (this.#warming) {
      this.#monitor.stop();
      this.#current?.close();
      this.#current = undefined;
      return;
    }
    const nowMs = performance.now();
    if (!this.#broken) this.#notBeforeMs = nowMs + this.#pauseAfterLossMs();
    this.#broken = true;
    this.#withoutMs ??= nowMs;
    if (!this.#error) this.#context.path("lost");
    this.#context.receiving(false);
    if (!this.#asking && !this.#next) this.#later(Math.max(waitMs, this.#notBeforeMs - nowMs));
  }

  #pauseAfterLossMs(): number {
    if (performance.now() - this.#arrivedMs < STOOD_MS) return this.#backoff.nextMs();
    this.#backoff.reset();
    return 0;
  }

  #later(waitMs: number): void {
    this.#retry.start(waitMs, () => void this.#again());
  }

  async #again(): Promise<void> {
    if (this.#stopped || this.#next || this.#signalling === "down") return;
    const generation = this.#generation;
    const join = this.#fresh ?? (await this.#ask());
    const recovered = this.#current?.path === "connected" && !this.#broken;
    if (this.#stopped || generation !== this.#generation || recovered) return;
    if (join) await this.#connect(join);
    else this.#later(this.#backoff.nextMs());
  }

  async #ask(): Promise<JoinParameters | undefined> {
    this.#asking = true;
    const join = await this.#context.parameters().catch(() => undefined);
    this.#asking = false;
    return join;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function isAlive(connection: MediaConnection): boolean {
  return connection.path !== "failed" && connection.path !== "closed" && connection.path !== "disconnected";
}

function diagnosis(connection: MediaConnection): ConvokeError {
  return diagnose({ userAgent: navigator.userAgent, answerSdp: connection.answerSdp });
}

function typed(error: unknown): ConvokeError {
  return error instanceof ConvokeError ? error : new ConvokeError("media_unsupported", String(error), error);
}
