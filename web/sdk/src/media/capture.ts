/** Microphone and camera. Neither is ever a condition of a call: what is not available is reported and left out. */

import { ConvokeError, deviceError } from "../core/errors.ts";

export type Device = "microphone" | "camera";

export interface Captured {
  microphone?: MediaStreamTrack;
  camera?: MediaStreamTrack;
  problems: { device: Device; error: ConvokeError }[];
}

export type MediaDevicesLike = Pick<MediaDevices, "getUserMedia">;

const CAMERA: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const MICROPHONE: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Opens what is wanted: both in one question to the person, and each alone if that fails. */
export async function capture(
  want: readonly Device[],
  devices: MediaDevicesLike | undefined = globalThis.navigator?.mediaDevices,
): Promise<Captured> {
  if (!devices) return { problems: want.map((device) => ({ device, error: new ConvokeError("page_insecure") })) };
  if (want.length === 0) return { problems: [] };
  try {
    return tracksOf(await devices.getUserMedia(constraints(want)));
  } catch (cause) {
    if (want.length === 1) return { problems: want.map((device) => ({ device, error: deviceError(cause) })) };
  }
  const parts = await Promise.all(want.map((device) => capture([device], devices)));
  return Object.assign({}, ...parts, { problems: parts.flatMap((part) => part.problems) }) as Captured;
}

function constraints(want: readonly Device[]): MediaStreamConstraints {
  return { audio: want.includes("microphone") && MICROPHONE, video: want.includes("camera") && CAMERA };
}

function tracksOf(stream: MediaStream): Captured {
  return { microphone: stream.getAudioTracks()[0], camera: stream.getVideoTracks()[0], problems: [] };
}
