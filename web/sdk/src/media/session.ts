/**
 * The media of one call, over as many connections as it takes. A path that breaks is replaced by a fresh join with fresh
 * parameters; until the new one is there the old one stays, so that its last pictures do. It never gives up by itself.
 */

import type { PathState } from "../call/state.ts";
import { Backoff, MEDIA_STEPS } from "../core/backoff.ts";
import { ConvokeError } from "../core/errors.ts";
import type { JoinParameters, ParticipationId, Source } from "../wire.ts";
import { MediaConnection, type SendPurpose } from "./connection.ts";
import { diagnose } from "./diagnose.ts";
import { Pulse } from "./pulse.ts";

export interface SessionShell {
  /** Fresh parameters from the service; rejects while there are none to be had. */
  parameters(): Promise<JoinParameters>;
  path(state: PathState, error?: ConvokeError): void;
  /** Who is in which slot has changed, or the connection has. */
  changed(): void;
}

const CONNECT_TIMEOUT_MS = 12_000;
/** A path that is merely disturbed may come back by itself this long. */
const DISTURBED_MS = 2_500;
const FAILED_AFTER_ATTEMPTS = 3;
/** Without a word from the service a call that was left is closed after this. */
const LINGER_MS = 2_000;

export class MediaSession {
  readonly #shell: SessionShell;
  readonly #tracks = new Map<SendPurpose, MediaStreamTrack>();
  readonly #backoff = new Backoff(MEDIA_STEPS);
  #current: MediaConnection | undefined;
  /** The one that is being made. */
  #next: MediaConnection | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Fresh parameters are being asked for. */
  #asking = false;
  /** Counts connections, so that parameters that were asked for before the last one come to nothing. */
  #turn = 0;
  readonly #pulse = new Pulse({
    signs: async () => (await this.#current?.signs_of_life()) ?? 0,
    flows: (flows) => this.#flows(flows),
    dead: () => !this.#next && !this.#timer && this.#lost(0),
  });
  /** Nothing came in on the path when it was last looked at. */
  #doubtful = false;
  /** The path is to be replaced, though the browser may still call it connected. */
  #broken = false;
  #stopped = false;
  /** Nothing is forwarded yet, and a failure is no reason for another attempt. */
  #warming = false;

  constructor(shell: SessionShell) {
    this.#shell = shell;
  }

  /** Prepares the path while it rings: no device is opened, nothing flows. */
  warm(join: JoinParameters): void {
    if (this.#current || this.#next || this.#stopped) return;
    this.#warming = true;
    void this.#connect(join);
  }

  /** Joins. A path that was warmed for the same participation is kept. */
  start(join: JoinParameters): void {
    const wasWarm = this.#warming;
    this.#warming = false;
    const warmed = this.#current ?? this.#next;
    if (wasWarm && warmed?.join.participation === join.participation && isAlive(warmed)) return this.#tell();
    if (this.#current?.path === "connected" && !this.#broken && !wasWarm) return;
    void this.#connect(join);
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

  /** The network may be back: do not wait any longer. */
  hint(): void {
    if (!this.#timer || this.#next || this.#asking || this.#current?.path === "connected") return;
    this.#later(0);
  }

  /** Signalling was lost, or is back: the path is doubtful until something comes in on it. */
  suspect(): void {
    this.#pulse.suspect();
  }

  /** For good. The connections that stand may do so until `over`, and not for long: nothing comes of them any more. */
  stop(over?: Promise<unknown>): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#pulse.stop();
    if (over) void Promise.race([over, pause(LINGER_MS)]).then(() => this.#close());
    else this.#close();
  }

  /** The page goes away, or sleeps: what comes after that begins anew. */
  suspend(): void {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pulse.stop();
    this.#close();
  }

  #close(): void {
    this.#current?.close();
    this.#next?.close();
    this.#current = this.#next = undefined;
  }

  async #connect(join: JoinParameters): Promise<void> {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#next?.close();
    const connection = new MediaConnection(join, {
      path: (state) => this.#pathChanged(connection, state),
      slots: () => connection === this.#current && this.#shell.changed(),
      closed: () => connection === this.#current && !this.#next && !this.#stopped && this.#lost(0),
    });
    this.#next = connection;
    this.#shell.path(this.#current ? "lost" : "connecting");
    this.#timer = setTimeout(() => this.#failed(connection, diagnosis(connection)), CONNECT_TIMEOUT_MS);
    try {
      await connection.open(this.#tracks);
      for (const [purpose, track] of this.#tracks) await connection.setTrack(purpose, track);
    } catch (error) {
      this.#failed(connection, typed(error));
    }
  }

  #pathChanged(connection: MediaConnection, state: RTCPeerConnectionState): void {
    if (this.#stopped) return;
    if (connection === this.#next && state === "connected") return this.#arrived(connection);
    if (connection === this.#next && state === "failed") return this.#failed(connection, diagnosis(connection));
    if (connection !== this.#current || this.#next) return;
    if (state === "connected") this.#recovered();
    else if (state === "disconnected") this.#lost(DISTURBED_MS);
    else if (state === "failed" || state === "closed") this.#lost(0);
  }

  #arrived(connection: MediaConnection): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#current?.close();
    this.#current = connection;
    this.#next = undefined;
    this.#backoff.reset();
    this.#pulse.start();
    this.#tell();
  }

  #recovered(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tell();
  }

  #tell(): void {
    if (this.#current?.path === "connected") {
      this.#broken = this.#doubtful = false;
      this.#shell.path("up");
    }
    this.#shell.changed();
  }

  #flows(flows: boolean): void {
    if (this.#current?.path !== "connected" || this.#next || this.#warming) return;
    const doubted = this.#broken || this.#doubtful;
    if (flows && doubted) return this.#recovered();
    if (flows || doubted) return;
    this.#doubtful = true;
    this.#shell.path("doubtful");
  }

  #failed(connection: MediaConnection, error: ConvokeError): void {
    if (connection !== this.#next || this.#stopped) return;
    clearTimeout(this.#timer);
    connection.close();
    this.#next = undefined;
    if (this.#warming) return;
    const wait_ms = this.#backoff.next_ms();
    const given = this.#backoff.attempt >= FAILED_AFTER_ATTEMPTS || error.code === "media_loopback_firefox";
    this.#shell.path(given ? "failed" : this.#current ? "lost" : "connecting", error);
    this.#later(wait_ms);
  }

  #lost(patience_ms: number): void {
    if (this.#warming) {
      this.#pulse.stop();
      this.#current?.close();
      this.#current = undefined;
      return;
    }
    this.#broken = true;
    this.#shell.path("lost");
    if (!this.#asking) this.#later(patience_ms);
  }

  #later(wait_ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#again(), wait_ms);
  }

  async #again(): Promise<void> {
    this.#timer = undefined;
    this.#asking = true;
    const turn = this.#turn;
    const join = await this.#shell.parameters().catch(() => undefined);
    this.#asking = false;
    const recovered = this.#current?.path === "connected" && !this.#broken;
    if (this.#stopped || turn !== this.#turn || recovered) return;
    if (join) await this.#connect(join);
    else this.#later(this.#backoff.next_ms());
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function isAlive(connection: MediaConnection): boolean {
  return connection.path !== "failed" && connection.path !== "closed" && connection.path !== "disconnected";
}

function diagnosis(connection: MediaConnection): ConvokeError {
  return diagnose({ userAgent: navigator.userAgent, answer_sdp: connection.answer_sdp });
}

function typed(error: unknown): ConvokeError {
  return error instanceof ConvokeError ? error : new ConvokeError("media_unsupported", String(error), error);
}
