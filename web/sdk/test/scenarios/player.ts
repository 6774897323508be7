/** Plays one script: a real client between its person and the world. */

import { vi } from "vitest";
import { Client } from "../../src/client.ts";
import type { Track, Up } from "../../src/generated/signalling.ts";
import { Person } from "./person.ts";
import { type Json, replaced, type Scenario, type Step } from "./script.ts";
import { number, text } from "./signals.ts";
import { turns, World } from "./world.ts";

const VERBS = [
  "do",
  "wait",
  "nothing",
  "clock",
  "stands",
  "person",
  "signal",
  "repeat",
  "sends",
  "shows",
  "acknowledged",
];
/** What only says what has happened. */
const SAYS = ["sends", "shows", "acknowledged", "repeat"];
const CHECKED = ["meeting", "invitation", "user", "track", "reason"];

export class Player {
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #person = new Person();
  #client: Client;
  static #last = 0;
  readonly #device = `device-${Player.#last++}`;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#world = new World(scenario);
    this.#world.onDelivery = (down) => {
      if (down.type === "ended" && !down.user && !down.invitation)
        this.#person.hearsOfEnd(down.meeting ?? "", down.reason);
      if (down.type === "seen") this.#person.hearsOfSeen(down.invitation);
    };
    this.#client = this.#begin();
  }

  async play(): Promise<void> {
    await turns();
    await this.#playAll(this.#scenario.steps);
    this.#nothingIsLeft();
  }

  async #playAll(steps: readonly Step[]): Promise<void> {
    for (const [i, step] of steps.entries()) {
      try {
        await this.#step(step);
      } catch (error) {
        throw new Error(`step ${i + 1} ${JSON.stringify(step)}: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  async #step(step: Step): Promise<void> {
    const verb = VERBS.find((word) => word in step);
    if (!verb) throw new Error("there is no such step");
    if (!SAYS.includes(verb)) this.#nothingIsLeft();
    await this.#do(verb, step);
    await turns();
    this.#person.concludes();
    if (verb === "nothing") this.#nothingIsLeft();
  }

  async #do(verb: string, step: Step): Promise<void> {
    switch (verb) {
      case "do":
        return this.#act(text(step, "do"));
      case "wait":
      case "nothing":
        return this.#wait(number(step, verb, 0));
      case "clock":
        return void vi.setSystemTime(Date.now() + number(step, "clock", 0));
      case "stands":
        this.#world.stands = (step.stands ?? undefined) as Step | undefined;
        return;
      case "person":
        return this.#acts(step);
      case "signal":
        return this.#world.send(step);
      case "repeat":
        return this.#repeat(step);
      case "sends":
        return this.#sends(step);
      case "shows":
        return this.#shows(step);
      default:
        return this.#acknowledged(number(step, "acknowledged", 0));
    }
  }

  /** Everything that was shown and sent was named. */
  #nothingIsLeft(): void {
    const [shown] = this.#person.shown;
    if (shown) throw new Error(`shown and not named: ${JSON.stringify(this.#named(shown))}`);
    const free = (up: Up) => this.#scenario.free.includes(up.type);
    const sent = this.#world.sent.find((up) => !free(up));
    if (sent) throw new Error(`sent and not named: ${JSON.stringify(this.#named(sent as unknown as Json))}`);
  }

  #begin(): Client {
    const me = this.#scenario.me;
    const client = new Client({
      account: "account",
      credentials: async () => ({
        client_id: this.#device,
        username: "u",
        password: "p",
        expires_at_ms: 0,
        endpoints: { mqtt_ws: "ws://world" },
        user: me,
        name: me,
      }),
      mqtt: async () => this.#world.mqtt,
    });
    this.#person.watches(client);
    void client.connect();
    return client;
  }

  async #act(what: string): Promise<void> {
    if (what === "connect") return this.#world.connect();
    if (what === "disconnect") return this.#world.disconnect();
    if (what !== "restart") throw new Error(`nobody can ${what}`);
    this.#world.restart();
    this.#client = this.#begin();
  }

  /** By parts, so that what is answered in between is done with at its time. */
  async #wait(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) {
      await vi.advanceTimersByTimeAsync(Math.min(left, 500));
      await turns();
    }
  }

  #acts(step: Step): void {
    const what = text(step, "person");
    const { names } = this.#world;
    const meeting = () => names.id(text(step, "meeting"));
    const invitation = () => names.id(text(step, "invitation"));
    const track = (step.track ?? "audio") as Track;
    switch (what) {
      case "call":
        return this.#person.follows(this.#client.call(text(step, "user"), { video: step.media !== "audio" }));
      case "accept":
        return void this.#person.ring(invitation()).accept();
      case "reject":
        return void this.#person.ring(invitation()).reject();
      case "seen":
        return void this.#client.seen(invitation());
      case "leave":
        return void this.#person.call(meeting())?.leave();
      case "join":
        return this.#person.follows(this.#client.rejoin(meeting()));
      case "mute":
        this.#person.mutes = true;
        void this.#person.call(meeting())?.mute(track);
        this.#person.mutes = false;
        return;
      case "unmute":
        return void this.#person.call(meeting())?.unmute(track);
      default:
        throw new Error(`nobody can ${what}`);
    }
  }

  async #repeat(step: Step): Promise<void> {
    const index = (step.index ?? "k") as string;
    for (let k = 1; k <= number(step, "repeat", 0); k++) {
      await this.#playAll((step.steps as Step[]).map((each) => replaced(each, { [index]: k }) as Step));
    }
  }

  #sends(step: Step): void {
    const type = text(step, "sends");
    const { names, sent } = this.#world;
    const at = sent.findIndex((up) => up.type === type);
    const up = sent[at];
    if (!up) throw new Error(`sent is ${JSON.stringify(sent)}`);
    sent.splice(at, 1);
    if (typeof step.meeting === "string" && up.meeting && !names.has(step.meeting))
      names.bind(step.meeting, up.meeting);
    const said = this.#named(up as unknown as Json) as Step;
    const wrong = CHECKED.find((field) => field in step && said[field] !== step[field]);
    if (wrong) throw new Error(`sent is ${JSON.stringify(said)}`);
    if (typeof step.not_same_id_as === "string" && names.id(step.not_same_id_as) === up.id)
      throw new Error("the same id");
    if (typeof step.as === "string") names.bind(step.as, up.id);
  }

  #shows(step: Step): void {
    const wanted: Step = step.shows === "ring" ? { resumed: false, ...step } : step;
    const { shown } = this.#person;
    const fits = (seen: Step) => {
      const said = this.#named(seen) as Step;
      return Object.entries(wanted).every(([name, value]) => JSON.stringify(said[name]) === JSON.stringify(value));
    };
    const at = shown.findIndex(fits);
    if (at < 0) throw new Error(`shown is ${JSON.stringify(this.#named(shown))}`);
    shown.splice(at, 1);
  }

  #acknowledged(wanted: number): void {
    const count = this.#world.acknowledged;
    this.#world.acknowledged = 0;
    if (count !== wanted) throw new Error(`${count} were acknowledged`);
  }

  #named(value: Json): Json {
    return this.#world.names.inNames(value);
  }
}
