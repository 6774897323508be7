/**
 * Sounds: the ring of an incoming call, the tone of an outgoing one, and the end of one, each distinct. All are
 * made here, from sines. A browser keeps them silent until the page is touched: then `unlock` succeeds.
 */

import type { CallState } from "@convoke/sdk";
import { progressOf } from "@convoke/sdk";
import { effect } from "@preact/signals";
import type { Model } from "./model.ts";
import { isTalking } from "./people-in-call.ts";

interface Note {
  atS: number;
  forS: number;
  hz: number;
  gain: number;
}

interface Tune {
  notes: readonly Note[];
  /** The tune begins again after this. */
  everyS: number;
}

const bell = (atS: number, hz: number): Note => ({ atS, forS: 0.55, hz, gain: 0.22 });
const knock = (atS: number): Note => ({ atS, forS: 0.3, hz: 587, gain: 0.1 });
const tone = (atS: number, forS: number): Note => ({ atS, forS, hz: 425, gain: 0.09 });

const TUNES = {
  ring: {
    notes: [bell(0, 784), bell(0.16, 988), bell(0.32, 1175), bell(0.8, 784), bell(0.96, 988), bell(1.12, 1175)],
    everyS: 3,
  },
  dial: { notes: [tone(0, 1)], everyS: 4 },
  /** The callee is off: it does not ring anywhere. */
  wait: { notes: [tone(0, 0.12)], everyS: 6 },
} satisfies Record<string, Tune>;

/** A second ring beside the first, or one in a call. */
const KNOCK: readonly Note[] = [knock(0), knock(0.2)];
const BUSY: readonly Note[] = [tone(0, 0.3), tone(0.6, 0.3), tone(1.2, 0.3)];
const FAREWELL: readonly Note[] = [bell(0, 660), bell(0.13, 494)];

type TuneName = keyof typeof TUNES;

export class Sounds {
  #context: AudioContext | undefined;
  #playing: TuneName | undefined;
  #knocked: ReadonlySet<string> = new Set();
  #timer: ReturnType<typeof setInterval> | undefined;
  #out: GainNode | undefined;

  /** Called from a touch; true if the browser lets the page sound. */
  async unlock(): Promise<boolean> {
    try {
      this.#context ??= new AudioContext();
      await this.#context.resume();
    } catch {
      return false;
    }
    return this.#context.state === "running";
  }

  /** Plays what fits the model, from now on. */
  follow(model: Model): void {
    effect(() => this.#play(tuneOf(model)));
    effect(() => this.#knock(model));
  }

  ended(state: CallState): void {
    const refused =
      state.end?.reason === "declined" || Object.values(state.progress).some(({ type }) => type === "busy");
    this.#once(refused && !state.joinedAtMs ? BUSY : FAREWELL);
  }

  /** A ring that is not to disturb is heard once. */
  #knock(model: Model): void {
    const ringing = model.ringing.value.map(({ key }) => key);
    const quiet = isSpared(model) ? ringing : ringing.slice(1);
    const isHeard = model.loud.value && quiet.some((key) => !this.#knocked.has(key));
    if (isHeard) this.#once(KNOCK);
    this.#knocked = new Set(isHeard ? quiet : quiet.filter((key) => this.#knocked.has(key)));
  }

  #play(name: TuneName | undefined): void {
    if (name === this.#playing) return;
    this.#playing = name;
    clearInterval(this.#timer);
    this.#out?.disconnect();
    this.#out = undefined;
    if (!name) return;
    const { notes, everyS } = TUNES[name];
    this.#once(notes);
    this.#timer = setInterval(() => this.#once(notes), everyS * 1_000);
  }

  #once(notes: readonly Note[]): void {
    const context = this.#context;
    if (context?.state !== "running") return;
    this.#out ??= context.createGain();
    this.#out.connect(context.destination);
    for (const note of notes) sound(context, this.#out, note);
  }
}

/** In a call, here or elsewhere, rings are not loud. */
function isSpared({ call, busyElsewhere }: Model): boolean {
  return isTalking(call.value) || busyElsewhere.value;
}

function tuneOf(model: Model): TuneName | undefined {
  const first = model.ringing.value[0];
  if (first && !isSpared(model)) return model.loud.value && !model.silenced.value.has(first.key) ? "ring" : undefined;
  if (model.testRings.value) return "ring";
  const call = model.call.value;
  if (call?.phase !== "calling") return undefined;
  const progress = Object.keys(call.progress).map((user) => progressOf(call, user).type);
  if (progress.includes("ringing")) return "dial";
  return progress.includes("waiting") ? "wait" : undefined;
}

function sound(context: AudioContext, out: AudioNode, { atS, forS, hz, gain }: Note): void {
  const startS = context.currentTime + atS + 0.02;
  const oscillator = context.createOscillator();
  const envelope = context.createGain();
  oscillator.frequency.value = hz;
  envelope.gain.setValueAtTime(0, startS);
  envelope.gain.linearRampToValueAtTime(gain, startS + 0.02);
  envelope.gain.setValueAtTime(gain, startS + Math.max(0.02, forS - 0.3));
  envelope.gain.exponentialRampToValueAtTime(0.0005, startS + forS);
  oscillator.connect(envelope).connect(out);
  oscillator.start(startS);
  oscillator.stop(startS + forS + 0.05);
}
