/**
 * One media connection: one offer, one answer, never a renegotiation. Its sending m-lines exist from the start; a track
 * is attached and taken away without SDP. Its receive slots are filled by the RTC server.
 */

import type { JoinAnswer, JoinParameters, ParticipationId, Profile, Purpose } from "../wire.ts";
import { joinAt } from "./join.ts";
import { isForwarded, offeredLines, startSharp } from "./profile.ts";
import { decodeSlotMap, SlotTable } from "./slots.ts";

/** Label of the data channel that carries slot maps. */
const SLOTS_CHANNEL = "slots";
const CAMERA_MAX_BPS = 1_500_000;
const RECEIVES_MS = 1_000;

export type SendPurpose = Extract<Purpose, "microphone" | "camera" | "screen">;

export interface ConnectionEvents {
  path(state: RTCPeerConnectionState): void;
  slots(): void;
  /** The server has closed the connection. */
  closed(): void;
}

export class MediaConnection {
  readonly join: JoinParameters;
  readonly slots = new SlotTable();
  answerSdp = "";
  readonly #pc: RTCPeerConnection;
  readonly #channel: RTCDataChannel;
  /** Whose picture has come. */
  readonly #moved = new Set<ParticipationId>();
  readonly #senders = new Map<SendPurpose, RTCRtpSender>();

  constructor(join: JoinParameters, events: ConnectionEvents) {
    this.join = join;
    this.#pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: join.turn ?? [] });
    this.#pc.onconnectionstatechange = () => events.path(this.#pc.connectionState);
    this.#channel = this.#pc.createDataChannel(SLOTS_CHANNEL);
    this.#channel.onclose = () => events.closed();
    this.#channel.onmessage = ({ data }) => {
      const map = decodeSlotMap(data);
      if (map && this.slots.apply(map)) events.slots();
    };
  }

  get path(): RTCPeerConnectionState {
    return this.#pc.connectionState;
  }

  /** Creates the offer, posts it to the join endpoint, and applies the answer. */
  async open(tracks: ReadonlyMap<SendPurpose, MediaStreamTrack>): Promise<void> {
    const purposes = this.#offerLines(this.join.profile, tracks);
    await this.#pc.setLocalDescription();
    const request = { sdp: this.#localSdp(), profile: this.join.profile, purposes: purposes() };
    const answer: JoinAnswer = await joinAt(this.join, request);
    this.answerSdp = answer.sdp;
    await this.#pc.setRemoteDescription({ type: "answer", sdp: startSharp(answer.sdp) });
    this.slots.apply(answer.slots);
  }

  async setTrack(purpose: SendPurpose, track: MediaStreamTrack | null): Promise<void> {
    await this.#senders.get(purpose)?.replaceTrack(track);
  }

  /** The track of a receive slot. */
  track(mid: string): MediaStreamTrack | undefined {
    return this.#receivers().find((transceiver) => transceiver.mid === mid)?.receiver.track;
  }

  /** The tracks of all audio slots, whichever participations are in them. */
  audioTracks(): MediaStreamTrack[] {
    return this.#receivers()
      .map((transceiver) => transceiver.receiver.track)
      .filter((track) => track.kind === "audio");
  }

  /** How loud a slot is at present, 0 to 1 (RFC 6464). */
  level(mid: string): number {
    const receiver = this.#receivers().find((transceiver) => transceiver.mid === mid)?.receiver;
    return receiver?.getSynchronizationSources()[0]?.audioLevel ?? 0;
  }

  /** Rises as long as anything comes in on the path. */
  async signsOfLife(sends: boolean): Promise<number> {
    const reports = await this.#senders.get("microphone")?.getStats();
    return signsIn(reports?.values() ?? [], sends);
  }

  /** Whether frames of a participation have come into a receive slot, and none does now. */
  isStill(mid: string, participation: ParticipationId): boolean {
    const receiver = this.#receivers().find((transceiver) => transceiver.mid === mid)?.receiver;
    const lastMs = receiver?.getSynchronizationSources()[0]?.timestamp ?? 0;
    if (lastMs <= justNowMs()) return this.#moved.has(participation);
    this.#moved.add(participation);
    return false;
  }

  /** Whether a picture or sound has come in just now. */
  receives(): boolean {
    const sinceMs = justNowMs();
    return this.#receivers().some(({ receiver }) =>
      receiver.getSynchronizationSources().some(({ timestamp }) => timestamp > sinceMs),
    );
  }

  close(): void {
    this.#pc.onconnectionstatechange = null;
    this.#channel.onclose = null;
    this.#pc.close();
  }

  #receivers(): RTCRtpTransceiver[] {
    return this.#pc.getTransceivers().filter((transceiver) => transceiver.direction === "recvonly");
  }

  #localSdp(): string {
    return this.#pc.localDescription?.sdp ?? "";
  }

  #offerLines(profile: Profile, tracks: ReadonlyMap<SendPurpose, MediaStreamTrack>): () => Record<string, Purpose> {
    const lines = offeredLines(profile).map(({ kind, direction, purpose }) => {
      const sendEncodings = purpose === "camera" ? [{ maxBitrate: CAMERA_MAX_BPS }] : undefined;
      const track = tracks.get(purpose as SendPurpose);
      const transceiver = this.#pc.addTransceiver(track ?? kind, { direction, sendEncodings });
      preferForwarded(transceiver, kind, direction);
      if (direction === "sendonly") this.#senders.set(purpose as SendPurpose, transceiver.sender);
      return { transceiver, purpose };
    });
    return () => Object.fromEntries(lines.map(({ transceiver, purpose }) => [transceiver.mid ?? "", purpose]));
  }
}

/** The fields of statistics that count incoming data. */
export interface Report {
  type: string;
  bytesReceived?: number;
  responsesReceived?: number;
}

/**
 * Who sends is sent reports on it all the time; who does not may get nothing but the answers to the browser's own checks
 * (RFC 7675). For others those say too little: they come also where everything else is sent to an address that this
 * device had before. Firefox before 154 counts the bytes of pairs alone.
 */
export function signsIn(reports: Iterable<Report>, sends: boolean): number {
  let signs = 0;
  for (const { type, bytesReceived, responsesReceived } of reports) {
    if (type !== "transport" && type !== "candidate-pair") continue;
    signs += (bytesReceived ?? 0) + (sends ? 0 : (responsesReceived ?? 0));
  }
  return signs;
}

/** Since when what comes in has come just now, by the clock of frames and packets. */
function justNowMs(): number {
  return performance.timeOrigin + performance.now() - RECEIVES_MS;
}

function preferForwarded(transceiver: RTCRtpTransceiver, kind: "audio" | "video", direction: string): void {
  const side = direction === "sendonly" ? RTCRtpSender : RTCRtpReceiver;
  const codecs = (side.getCapabilities?.(kind)?.codecs ?? []).filter(isForwarded);
  if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs);
}
