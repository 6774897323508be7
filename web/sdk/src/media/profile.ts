/** The offer of a terminal: its sending m-lines and the receive slots of its profile. */

import type { Profile, Purpose } from "../wire.ts";

/** Video and audio receive slots by profile. */
export const SLOTS_BY_PROFILE: Record<Profile, { video: number; audio: number }> = {
  call: { video: 1, audio: 1 },
  meeting: { video: 9, audio: 3 },
  large: { video: 16, audio: 4 },
};

const CAMERA_START_KBPS = 1_000;

export interface OfferedLine {
  kind: "audio" | "video";
  direction: "sendonly" | "recvonly";
  purpose: Purpose;
}

/** The m-lines in the order in which they are offered. */
export function offeredLines(profile: Profile): OfferedLine[] {
  const { video, audio } = SLOTS_BY_PROFILE[profile];
  return [
    { kind: "audio", direction: "sendonly", purpose: "microphone" },
    { kind: "video", direction: "sendonly", purpose: "camera" },
    { kind: "video", direction: "sendonly", purpose: "screen" },
    ...Array.from({ length: video }, () => ({ kind: "video", direction: "recvonly", purpose: "video_slot" }) as const),
    ...Array.from({ length: audio }, () => ({ kind: "audio", direction: "recvonly", purpose: "audio_slot" }) as const),
  ];
}

/**
 * The answer with a hint to Chromium's encoder, which else begins at 300 kbit/s with a quarter of the picture's width
 * and takes 20 s to find out that there is room for all of it. Its estimator still falls at once where there is not.
 */
export function startSharp(answerSdp: string): string {
  return answerSdp.replace(
    /^a=rtpmap:(\d+) VP8\/90000\r\n/gm,
    (line, payloadType) => `${line}a=fmtp:${payloadType} x-google-start-bitrate=${CAMERA_START_KBPS}\r\n`,
  );
}

/** Codecs that the RTC server forwards, with what repairs them; fewer keep the offer small. */
export function isForwarded(codec: { mimeType: string }): boolean {
  return /^(audio\/opus|video\/vp8|video\/rtx)$/i.test(codec.mimeType);
}
